package db

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

const (
	// carriedAtOnce is how many e-mails whoever changes an address makes anew; housekeeping makes the rest.
	carriedAtOnce = 20
	// changesPerRound is how many changes one round goes on with.
	changesPerRound = 100
)

// CarryAddresses goes on with changes of addresses: it makes anew what is to go to the new ones, one e-mail at a time,
// each in a transaction of its own. It may be repeated and run twice at once. One change that fails does not stop the
// others.
func (d *DB) CarryAddresses(ctx context.Context, render RenderMail) error {
	var ids []string
	if err := d.pg.SelectContext(ctx, &ids, `
		SELECT id FROM address_changes WHERE carry_at IS NOT NULL ORDER BY carry_at LIMIT $1`,
		changesPerRound); err != nil {
		return pg.AsKind(err)
	}
	var failed error
	for _, id := range ids {
		if err := d.carryOn(ctx, id, math.MaxInt, render); err != nil {
			failed = errors.Join(failed, fmt.Errorf("change %s of an address: %w", id, err))
		}
	}
	return failed
}

// carryOn makes anew what a change of an order's address is to bring to the new one: e-mails that came back, and those
// still to be sent to the old one. It ends a minute after the change, when nobody makes e-mails to the old address any
// more. A report about an e-mail that was made before has it go on.
func (d *DB) carryOn(ctx context.Context, id string, most int, render RenderMail) error {
	var found []struct {
		OrderID   string    `db:"order_id"`
		CarryAt   time.Time `db:"carry_at"`
		PaymentID *string   `db:"payment_id"`
		Settled   bool      `db:"settled"`
		Replaced  bool      `db:"replaced"` // by a newer change
	}
	if err := d.pg.SelectContext(ctx, &found, `
		SELECT h.order_id, h.carry_at, o.payment_id, h.done_at < clock_timestamp() - interval '1 minute' AS settled,
			NOT `+newestDoneSQL+` OR o.cancel_reason IS NOT NULL AS replaced
		FROM address_changes h JOIN orders o ON o.id = h.order_id
		WHERE h.id = $1 AND h.carry_at IS NOT NULL`, id); err != nil || len(found) == 0 {
		return pg.AsKind(err)
	}
	c := found[0]
	if !c.Replaced {
		more, err := d.carryLines(ctx, id, c.OrderID, most, render)
		if err == nil && c.PaymentID != nil {
			var mails bool
			mails, err = d.carryPayment(ctx, id, *c.PaymentID)
			more = more || mails
		}
		if err != nil || more || !c.Settled {
			return err
		}
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error { // unless a report has come meanwhile
		_, err := tx.ExecContext(ctx, `UPDATE address_changes SET carry_at = NULL WHERE id = $1 AND carry_at = $2`, id,
			c.CarryAt)
		return err
	})
}

// newestDoneSQL is the condition on the change h that it gave the order its present address.
const newestDoneSQL = `NOT EXISTS (SELECT FROM address_changes n WHERE n.order_id = h.order_id AND n.done_at > h.done_at)`

// madeBeforeSQL is the condition on the e-mail y that it was made before the change h, or by somebody who had read the
// old address before.
const madeBeforeSQL = `y.change_id IS DISTINCT FROM h.id AND y.created_at < h.done_at + interval '1 minute'`

// goesElsewhereSQL is the condition on the newest e-mail y with the keys of the line l that it is to be made anew for
// the change h.
var goesElsewhereSQL = `l.cancel_reason IS NULL AND y.kind = 'keys' AND ` + madeBeforeSQL + `
	AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = 'keys' AND n.number > y.number)
	AND (l.status = 'DELIVERED' AND ` + lostSQL + `
		OR l.status IN ('OBTAINED', 'RETRYING', 'HELD') AND l.obtained_at IS NOT NULL AND y.status <> 'SENT')`

// carryLines makes the e-mails of an order's lines anew, in their order. more says that there are others, or some whose
// old ones are being sent. A line whose e-mail cannot be made keeps its alert.
func (d *DB) carryLines(ctx context.Context, id, orderID string, most int, render RenderMail) (more bool, err error) {
	for after, n := 0, 0; ; n++ {
		var next []struct {
			FulfillmentID string `db:"fulfillment_id"`
			Position      int    `db:"position"`
		}
		//keyturn:autocommit it reads
		if err := d.pg.SelectContext(ctx, &next, `
			SELECT l.fulfillment_id, l.position
			FROM line_items l JOIN deliveries y ON y.line_id = l.id JOIN address_changes h ON h.id = $2
			WHERE l.order_id = $1 AND l.position > $3 AND `+goesElsewhereSQL+` ORDER BY l.position LIMIT 1`,
			orderID, id, after); err != nil || len(next) == 0 {
			return more, pg.AsKind(err)
		}
		if n == most {
			return true, nil
		}
		after = next[0].Position
		underWay, err := d.carryLine(ctx, next[0].FulfillmentID, id, render)
		if err != nil && !cannotBeMade(err) {
			return more, err
		}
		more = more || underWay
	}
}

func (d *DB) carryLine(ctx context.Context, fulfillmentID, changeID string, render RenderMail) (underWay bool,
	err error,
) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		_, underWay, err = d.mailAnew(ctx, tx, l, changeID, byCarry, render)
		return err
	})
	return underWay, err
}

// byCarry is who makes e-mails anew for a change that somebody else has made.
const byCarry = "housekeeping"

// mailAnew makes the e-mail of a locked line anew for a change of its order's address, if it is to be. The one before
// is never replaced while it is being sent.
func (d *DB) mailAnew(ctx context.Context, tx *sqlx.Tx, l *line, changeID, by string, render RenderMail) (
	deliveryID string, underWay bool, err error,
) {
	var sending []bool
	if err := tx.SelectContext(ctx, &sending, `
		SELECT y.status = 'SENDING' AND y.lease_until > clock_timestamp()
		FROM line_items l JOIN deliveries y ON y.line_id = l.id JOIN address_changes h ON h.id = $2
		WHERE l.id = $1 AND `+goesElsewhereSQL, l.ID, changeID); err != nil || len(sending) == 0 || sending[0] {
		return "", len(sending) > 0 && sending[0], err
	}
	out, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, render: render})
	if err != nil {
		return "", false, err
	}
	if err := madeFor(ctx, tx, out.ID, changeID); err != nil {
		return "", false, err
	}
	if l.Status == keyturn.LineDelivered {
		return out.ID, false, enqueue(ctx, tx, WorkflowSend, out.ID)
	}
	l.NextAttemptAt, l.WakeAt = nil, &l.Now // its workflow sends the newest
	return out.ID, false, l.save(ctx, tx, by, "the order has another address")
}

// madeFor notes which change of its order's address an e-mail was made for.
func madeFor(ctx context.Context, tx *sqlx.Tx, deliveryID, changeID string) error {
	return pg.ExpectOne(tx.ExecContext(ctx, `UPDATE deliveries SET change_id = $2 WHERE id = $1`, deliveryID, changeID))
}

// carryPayment has e-mails about the order as a whole made anew: by the payment's workflow, as others are.
func (d *DB) carryPayment(ctx context.Context, changeID, paymentID string) (underWay bool, err error) {
	_, err = d.paymentStep(ctx, paymentID, func(tx *sqlx.Tx, p *payment) error {
		underWay = false
		var old []struct {
			ID      string                  `db:"id"`
			Kind    keyturn.PaymentMailKind `db:"kind"`
			Sending bool                    `db:"sending"`
		}
		if err := tx.SelectContext(ctx, &old, `
			SELECT y.id, y.kind, y.status = 'SENDING' AND y.due_at > clock_timestamp() AS sending
			FROM payment_mails y JOIN address_changes h ON h.id = $2
			WHERE y.payment_id = $1 AND `+madeBeforeSQL+` AND (`+newestMailLostSQL+`
				OR y.kind <> 'addressChanged' AND `+newestMailSQL+` AND y.due_at IS NOT NULL AND y.message <> '')`,
			paymentID, changeID); err != nil {
			return err
		}
		for _, m := range old {
			if m.Sending {
				underWay = true
				continue
			}
			if err := p.mailAnew(ctx, tx, m.ID, m.Kind, changeID); err != nil {
				return err
			}
		}
		if len(old) == 0 {
			return nil
		}
		if err := p.readMailDue(ctx, tx); err != nil {
			return err
		}
		return p.wake(ctx, tx)
	})
	return underWay, err
}

// mailAnew has an e-mail made anew for a change of the order's address. The one before is not tried any more.
func (p *payment) mailAnew(ctx context.Context, tx *sqlx.Tx, oldID string, kind keyturn.PaymentMailKind,
	changeID string,
) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE payment_mails SET status = 'READY', due_at = NULL, error = NULL WHERE id = $1 AND status <> 'SENT'`,
		oldID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO payment_mails (id, payment_id, kind, change_id, due_at) VALUES ($1, $2, $3, $4, clock_timestamp())
		ON CONFLICT (change_id, kind) WHERE change_id IS NOT NULL DO NOTHING`, newID(), p.ID, kind, changeID)
	return err
}
