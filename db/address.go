package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// MostCorrections is how often a customer may give another address for an order whose e-mails came back.
const MostCorrections = 3

// Correction says what became of an address that a customer gave.
type Correction string

// What may become of one.
const (
	CorrectionDone  Correction = "done"  // what came back is on its way to it
	CorrectionAsked Correction = "asked" // it waits for a person's yes: a product of the order never shows its keys
)

// CorrectAddress gives an order another address, because an e-mail of the line came back, or without a line one about
// the order as a whole: from now on its e-mails go there, and those that came back are made anew, with the same keys.
// The old address is told. Where a product of the order never shows its keys, whoever has the page's address must not
// get them by e-mail either: then it waits for AcceptAddress. The caller has checked the address.
//
// KindNotFound as for CustomerPageOf; KindConflict where no such e-mail came back, or for a line that is not paid;
// KindInvalid for the order's present address; KindRateLimited after MostCorrections.
func (d *DB) CorrectAddress(ctx context.Context, token, fulfillmentID, address string, render RenderMail) (Correction,
	error,
) {
	var out Correction
	var a addressChange
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
		out = CorrectionDone
		a = addressChange{d: d, tx: tx, address: address, by: byCustomer, render: render}
		if fulfillmentID != "" {
			if a.line, err = d.lineByToken(ctx, tx, token, fulfillmentID); err != nil {
				return err
			}
		}
		if err := a.lockOrder(ctx, `o.page_hash = $1`, pageHash(token)); err != nil {
			return err
		}
		if err := a.refuse(ctx); err != nil {
			return err
		}
		if err := a.store(ctx, a.order.Corrections+1); err != nil {
			return err
		}
		never, err := a.neverShown(ctx)
		if err != nil {
			return err
		}
		if never {
			out = CorrectionAsked
			return a.ask(ctx)
		}
		_, err = a.carryOut(ctx)
		return err
	})
	if err != nil || out == CorrectionAsked {
		return out, err
	}
	_ = d.carryOn(ctx, a.id, carriedAtOnce, render) // it is done, and housekeeping carries on
	return out, nil
}

// AcceptAddress carries out the correction that the customer of the line's order has asked for last, and gives the ID
// of the new e-mail, or of the one that tells the old address. KindNotFound when none waits; KindConflict when it is
// another than expected, unless that is empty.
func (d *DB) AcceptAddress(ctx context.Context, fulfillmentID, expected, by string, render RenderMail) (
	deliveryID string, err error,
) {
	var a addressChange
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		a = addressChange{d: d, tx: tx, by: by, render: render}
		orderID, err := orderOfLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		asked, err := askedAddress(ctx, tx, orderID)
		if err != nil {
			return err
		}
		if asked == nil {
			return errNoneAsked
		}
		if asked.FulfillmentID != nil {
			if a.line, err = lockLine(ctx, tx, *asked.FulfillmentID); err != nil {
				return err
			}
		}
		if err := a.lockOrder(ctx, `o.id = $1`, orderID); err != nil {
			return err
		}
		// another may have been given meanwhile, or this one accepted
		now, err := askedAddress(ctx, tx, orderID)
		if err != nil {
			return err
		}
		if now == nil || now.ID != asked.ID {
			return errNoneAsked
		}
		a.id = asked.ID
		if a.address, err = d.openAsked(ctx, tx, a.order.CustomerID, asked); err != nil {
			return err
		}
		if expected != "" && expected != a.address {
			return keyturn.Errorf(keyturn.KindConflict, "the customer has given another address since: look at it again")
		}
		deliveryID, err = a.carryOut(ctx)
		return err
	})
	if err == nil {
		_ = d.carryOn(ctx, a.id, carriedAtOnce, render) // it is done, and housekeeping carries on
	}
	return deliveryID, err
}

var errNoneAsked = keyturn.Errorf(keyturn.KindNotFound, "no address waits for a yes: the customer has not given one")

// asked is an address that a customer gave and that waits for a person's yes.
type asked struct {
	ID            string    `db:"id"`
	FulfillmentID *string   `db:"fulfillment_id"` // of the line whose e-mail came back; nil: one about the whole order
	Address       []byte    `db:"address"`
	At            time.Time `db:"at"`
}

// askedAddress is the one that waits for a yes to the order's; nil: none does.
func askedAddress(ctx context.Context, q sqlx.QueryerContext, orderID string) (*asked, error) {
	var found []asked
	err := sqlx.SelectContext(ctx, q, &found, `
		SELECT h.id, h.address, h.at, l.fulfillment_id FROM address_changes h LEFT JOIN line_items l ON l.id = h.line_id
		WHERE h.order_id = $1 AND h.done_at IS NULL AND h.address <> '' AND `+newestChangeSQL+`
		ORDER BY h.at DESC LIMIT 1`, orderID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func (d *DB) openAsked(ctx context.Context, q sqlx.QueryerContext, customerID string, h *asked) (string, error) {
	dk, err := d.keyOfCustomer(ctx, q, customerID)
	if err != nil {
		return "", err
	}
	plain, err := dk.Open(h.Address, changePlace(h.ID))
	return string(plain), err
}

// newestChangeSQL is the condition on the change h of an order's address that none was made after it.
const newestChangeSQL = `NOT EXISTS (SELECT FROM address_changes m WHERE m.order_id = h.order_id AND m.at > h.at)`

func orderOfLine(ctx context.Context, tx *sqlx.Tx, fulfillmentID string) (id string, err error) {
	err = tx.GetContext(ctx, &id, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, fulfillmentID)
	return id, pg.NotFound(err, "there is no fulfillment %s", fulfillmentID)
}

// corrections are what an order's page shows of its addresses.
type corrections struct {
	Corrections int        `db:"corrections"`  // by the customer
	CorrectedAt *time.Time `db:"corrected_at"` // when it got its present address; nil: it came with it
	Asked       bool       `db:"asked"`        // one waits for a person's yes
}

const correctionsSQL = `
	(SELECT CAST(count(h.number) AS int) FROM address_changes h WHERE h.order_id = o.id) AS corrections,
	(SELECT max(h.done_at) FROM address_changes h WHERE h.order_id = o.id) AS corrected_at,
	EXISTS (SELECT FROM address_changes h WHERE h.order_id = o.id AND h.done_at IS NULL AND ` + newestChangeSQL + `) AS asked`
