package db

import (
	"context"
	"encoding/json"
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

// CorrectAddress gives an order another address, because an e-mail of the line came back: from now on its e-mails go
// there, and those of its lines that came back are made anew, with the same keys. The old address is told. Where a
// product never shows its keys, whoever has the page's address must not get them by e-mail either: then it waits for
// AcceptAddress. The caller has checked the address.
//
// KindNotFound as for CustomerPageOf; KindConflict for a line none of whose e-mails came back, or that is not paid;
// KindInvalid for the order's present address; KindRateLimited after MostCorrections.
func (d *DB) CorrectAddress(ctx context.Context, token, fulfillmentID, address string, render RenderMail) (Correction,
	error,
) {
	var out Correction
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := d.lockLinesOf(ctx, tx, token); err != nil {
			return err
		}
		o, c, err := d.orderByToken(ctx, tx, token)
		if err != nil {
			return err
		}
		l, err := d.lineByToken(ctx, tx, token, fulfillmentID)
		if err != nil {
			return err
		}
		a := addressChange{d: d, tx: tx, orderID: o.ID, line: l, address: address, by: byCustomer, render: render}
		if err := a.refuse(ctx, c); err != nil {
			return err
		}
		if err := a.store(ctx, o.Corrections+1); err != nil {
			return err
		}
		lines, err := a.affected(ctx)
		if err != nil {
			return err
		}
		out = CorrectionDone
		for _, l := range lines {
			if l.product.PageKeys == keyturn.PageKeysNever {
				out = CorrectionAsked
				return a.ask(ctx)
			}
		}
		_, err = a.carryOut(ctx, lines)
		return err
	})
	return out, err
}

// AcceptAddress carries out the correction that the customer of the line's order has asked for last, and gives the ID
// of the line's new e-mail. KindNotFound when none waits.
func (d *DB) AcceptAddress(ctx context.Context, fulfillmentID, by string, render RenderMail) (deliveryID string,
	err error,
) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		a, err := d.changeOf(ctx, tx, fulfillmentID, by, render)
		if err != nil {
			return err
		}
		var asked []struct {
			ID      string `db:"id"`
			Address []byte `db:"address"`
		}
		if err := tx.SelectContext(ctx, &asked, `
			SELECT id, address FROM address_changes h WHERE order_id = $1 AND done_at IS NULL AND address <> ''
				AND `+newestChangeSQL+` ORDER BY at DESC LIMIT 1`, a.orderID); err != nil {
			return err
		}
		if len(asked) == 0 {
			return keyturn.Errorf(keyturn.KindNotFound, "no address waits for a yes: the customer has not given one")
		}
		dk, err := d.keyOfCustomer(ctx, tx, a.line.CustomerID)
		if err != nil {
			return err
		}
		plain, err := dk.Open(asked[0].Address, changePlace(asked[0].ID))
		if err != nil {
			return err
		}
		a.id, a.address = asked[0].ID, string(plain)
		deliveryID, err = a.carryOutAll(ctx)
		return err
	})
	return deliveryID, err
}

// newestChangeSQL is the condition on the change h of an order's address that none was made after it.
const newestChangeSQL = `NOT EXISTS (SELECT FROM address_changes m WHERE m.order_id = h.order_id AND m.at > h.at)`

// changeOf is a change of the address of a line's order, whose lines are locked.
func (d *DB) changeOf(ctx context.Context, tx *sqlx.Tx, fulfillmentID, by string, render RenderMail) (*addressChange,
	error,
) {
	var orderID string
	if err := tx.GetContext(ctx, &orderID, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`,
		fulfillmentID); err != nil {
		return nil, pg.NotFound(err, "there is no fulfillment %s", fulfillmentID)
	}
	if err := lockLines(ctx, tx, orderID); err != nil {
		return nil, err
	}
	l, err := lockLine(ctx, tx, fulfillmentID)
	return &addressChange{d: d, tx: tx, orderID: orderID, line: l, by: by, render: render}, err
}

// lockLines locks the lines of an order, in the order in which everybody locks several.
func lockLines(ctx context.Context, tx *sqlx.Tx, orderID string) error {
	_, err := tx.ExecContext(ctx, `SELECT FROM line_items WHERE order_id = $1 ORDER BY id FOR UPDATE`, orderID)
	return err
}

// lockLinesOf locks the lines of the order behind the link.
func (d *DB) lockLinesOf(ctx context.Context, tx *sqlx.Tx, token string) error {
	o, _, err := d.orderByToken(ctx, tx, token)
	if err != nil {
		return err
	}
	return lockLines(ctx, tx, o.ID)
}

// addressChange is one change of an order's address, in a transaction that has locked the order's lines.
type addressChange struct {
	d       *DB
	tx      *sqlx.Tx
	id      string
	orderID string
	line    *line // whose e-mail came back
	address string
	by      string
	render  RenderMail
}

// refuse refuses what a customer may not do.
func (a *addressChange) refuse(ctx context.Context, c storedCustomer) error {
	lost, err := a.lost(ctx)
	switch {
	case err != nil:
		return err
	case !lost || a.line.CancelReason != nil || !a.line.charged() || refundedLine(a.line):
		return keyturn.Errorf(keyturn.KindConflict, "no e-mail of the line came back that is still to be delivered")
	case c.Email == a.address:
		return keyturn.Errorf(keyturn.KindInvalid, "it is the order's address already")
	}
	return nil
}

func refundedLine(l *line) bool {
	return l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled
}

// lost says that the line's newest e-mail with the keys came back.
func (a *addressChange) lost(ctx context.Context) (lost bool, err error) {
	return lost, a.tx.GetContext(ctx, &lost, `SELECT EXISTS (SELECT FROM deliveries y WHERE y.line_id = $1 AND `+
		newestLostSQL+`)`, a.line.ID)
}

// newestLostSQL is the condition on the e-mail y that it is its line's newest with the keys, and came back.
var newestLostSQL = `y.kind = 'keys' AND ` + lostSQL + ` AND NOT EXISTS (
	SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = 'keys' AND n.number > y.number)`

// store stores the address. number is that of a customer's corrections; 0: an operator's.
func (a *addressChange) store(ctx context.Context, number int) error {
	if number > MostCorrections {
		return keyturn.Errorf(keyturn.KindRateLimited, "the order was given another address %d times", MostCorrections)
	}
	dk, err := a.d.keyOfCustomer(ctx, a.tx, a.line.CustomerID)
	if err != nil {
		return err
	}
	a.id = newID()
	sealed, err := dk.Seal([]byte(a.address), changePlace(a.id))
	if err != nil {
		return err
	}
	if _, err := a.tx.ExecContext(ctx, `
		INSERT INTO address_changes (id, order_id, number, line_id, address, by) VALUES ($1, $2, nullif($3, 0), $4, $5, $6)`,
		a.id, a.orderID, number, a.line.ID, sealed, a.by); err != nil {
		return err
	}
	return logAccess(ctx, a.tx, a.by, "address", a.line.ID)
}

func changePlace(id string) string { return "address_changes/" + id }

// ask tells operations that the change waits for them.
func (a *addressChange) ask(ctx context.Context) error {
	if err := closeLineAlert(ctx, a.tx, a.line, keyturn.AlertBounced); err != nil {
		return err
	}
	return openLineAlert(ctx, a.tx, a.line, keyturn.AlertBounced, "an e-mail came back, and the customer gave another "+
		"address on the order page. A product of the order never shows its keys there, so that the address waits for your yes")
}

// affected are the lines whose keys are not delivered to the present address: those whose newest e-mail came back, and
// those whose e-mail is still to go out.
func (a *addressChange) affected(ctx context.Context) ([]*line, error) {
	var ids []string
	if err := a.tx.SelectContext(ctx, &ids, `
		SELECT l.fulfillment_id FROM line_items l WHERE l.order_id = $1 AND l.cancel_reason IS NULL AND (
			l.status = 'DELIVERED' AND EXISTS (SELECT FROM deliveries y WHERE y.line_id = l.id AND `+newestLostSQL+`)
			OR l.status IN ('OBTAINED', 'RETRYING', 'HELD') AND l.obtained_at IS NOT NULL
				AND EXISTS (SELECT FROM deliveries y WHERE y.line_id = l.id AND y.kind = 'keys'))
		ORDER BY l.position`, a.orderID); err != nil {
		return nil, err
	}
	lines := make([]*line, len(ids))
	for i, id := range ids {
		var err error
		if lines[i], err = lockLine(ctx, a.tx, id); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

func (a *addressChange) carryOutAll(ctx context.Context) (string, error) {
	lines, err := a.affected(ctx)
	if err != nil {
		return "", err
	}
	return a.carryOut(ctx, lines)
}

// carryOut gives the order its new address, has the lines' e-mails made anew and the old address told, and gives the ID
// of the e-mail of the change's own line.
func (a *addressChange) carryOut(ctx context.Context, lines []*line) (deliveryID string, err error) {
	old, err := a.readdress(ctx)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		l.CustomerSealed = a.line.CustomerSealed
		out, err := a.d.newDelivery(ctx, a.tx, l, newMail{kind: keyturn.DeliveryKeys, render: a.render})
		if err != nil {
			return "", err
		}
		if l.ID == a.line.ID {
			deliveryID = out.ID
		}
		if l.Status == keyturn.LineDelivered {
			err = enqueue(ctx, a.tx, WorkflowSend, out.ID)
		} else { // its workflow sends the newest
			l.NextAttemptAt, l.WakeAt = nil, &l.Now
			err = l.save(ctx, a.tx, a.by, "the order has another address")
		}
		if err != nil {
			return "", err
		}
	}
	if deliveryID == "" {
		return "", keyturn.Errorf(keyturn.KindConflict, "the line is %s: there are no keys to send again", a.line.Status)
	}
	return deliveryID, a.tellOld(ctx, old)
}

// readdress changes the order's address, and gives the old one.
func (a *addressChange) readdress(ctx context.Context) (old string, err error) {
	c, dk, err := a.d.customer(a.line)
	if err != nil {
		return "", err
	}
	old, c.Email = c.Email, a.address
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	if a.line.CustomerSealed, err = dk.Seal(plain, "orders/"+a.orderID); err != nil {
		return "", err
	}
	if err := pg.ExpectOne(a.tx.ExecContext(ctx, `
		UPDATE orders SET customer = $2, email_tag = $3 WHERE id = $1 AND customer <> ''`,
		a.orderID, a.line.CustomerSealed, a.d.EmailTag(a.address))); err != nil {
		return "", err
	}
	return old, pg.ExpectOne(a.tx.ExecContext(ctx, `
		UPDATE address_changes SET done_at = clock_timestamp(), done_by = $2 WHERE id = $1 AND done_at IS NULL`, a.id, a.by))
}

// tellOld tells the old address all the same: a report may be wrong, or the change somebody else's.
func (a *addressChange) tellOld(ctx context.Context, old string) error {
	l, err := lockLine(ctx, a.tx, a.line.FulfillmentID) // as it is now
	if err != nil {
		return err
	}
	notice, err := a.d.newDelivery(ctx, a.tx, l,
		newMail{kind: keyturn.DeliveryAddressChanged, to: old, render: a.render})
	if err != nil {
		return err
	}
	return enqueue(ctx, a.tx, WorkflowSend, notice.ID)
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
