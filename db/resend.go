package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// WorkflowSend is the workflow that the outbox starts for an e-mail that is not a line's first: a resend or the news of
// a refund. Its subject is the delivery's ID.
const WorkflowSend = "SendFollowUpEmail"

// Resend stores a new e-mail with the same keys, to another address if one is given, and has it sent. Where the e-mail
// before came back, or one about the order as a whole, the other address becomes the order's, as if the customer had
// given it (CorrectAddress). For a line whose keys are ours but whose e-mail does not go out, the new e-mail takes the
// place of the old one. KindConflict when the line has no keys to send, or its e-mail is being sent at this moment.
func (d *DB) Resend(ctx context.Context, fulfillmentID, to, by string, render RenderMail) (deliveryID string,
	err error,
) {
	var changeID string
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		changeID = ""
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if to != "" && !l.erased() {
			var done bool
			if done, changeID, deliveryID, err = d.resendCorrected(ctx, tx, l, to, by, render); done || err != nil {
				return err
			}
			if changeID != "" { // it is the order's address now
				if l, err = lockLine(ctx, tx, fulfillmentID); err != nil {
					return err
				}
			}
		}
		deliveryID, err = d.resend(ctx, tx, l, to, by, render)
		return err
	})
	if err == nil && changeID != "" {
		_ = d.carryOn(ctx, changeID, carriedAtOnce, render) // it is done, and housekeeping carries on
	}
	return deliveryID, err
}

// resend is Resend of a locked line.
func (d *DB) resend(ctx context.Context, tx *sqlx.Tx, l *line, to, by string, render RenderMail) (deliveryID string,
	err error,
) {
	undelivered := l.hasUnsentKeys()
	if l.Status != keyturn.LineDelivered && !undelivered {
		return "", keyturn.Errorf(keyturn.KindConflict, "the line is %s: there are no keys to send again", l.Status)
	}
	if undelivered {
		wait, err := sendingFor(ctx, tx, l.ID, "")
		if err != nil {
			return "", err
		}
		if wait > 0 {
			return "", keyturn.Errorf(keyturn.KindConflict, "the e-mail is being sent at this moment: look again in a minute")
		}
	}
	out, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, to: to, render: render})
	if err != nil {
		return "", err
	}
	if err := logAccess(ctx, tx, by, "resend", l.ID); err != nil {
		return "", err
	}
	if undelivered {
		l.NextAttemptAt, l.WakeAt = nil, &l.Now
		return out.ID, l.save(ctx, tx, by, "resend")
	}
	return out.ID, enqueue(ctx, tx, WorkflowSend, out.ID)
}

// hasUnsentKeys says that the line has keys whose e-mail is still to go out.
func (l *line) hasUnsentKeys() bool {
	return l.ObtainedAt != nil && l.Status.Open() && l.Status != keyturn.LineCanceling
}

// resendCorrected is Resend to another address for a line whose e-mail came back: then it is done. Where one about the
// order as a whole came back, the address changes, too; keys that were delivered are still to be sent there.
func (d *DB) resendCorrected(ctx context.Context, tx *sqlx.Tx, l *line, to, by string, render RenderMail) (done bool,
	changeID, deliveryID string, err error,
) {
	a := addressChange{d: d, tx: tx, line: l, address: to, by: by, render: render}
	if err := a.lockOrder(ctx, `o.id = $1`, l.OrderID); err != nil {
		return false, "", "", err
	}
	lost, err := a.lost(ctx)
	if err != nil {
		return false, "", "", err
	}
	if lost = lost && l.Status == keyturn.LineDelivered; !lost {
		if a.line = nil; a.order.CancelReason == nil {
			lost, err = a.lost(ctx)
		}
	}
	if err != nil || !lost || a.was.Email == to {
		return false, "", "", err
	}
	if err := a.store(ctx, 0); err != nil {
		return false, "", "", err
	}
	deliveryID, err = a.carryOut(ctx)
	return a.line != nil || l.Status != keyturn.LineDelivered, a.id, deliveryID, err
}

// sendingFor is how long another process may still be sending an e-mail with the line's keys, other than this one.
func sendingFor(ctx context.Context, tx *sqlx.Tx, lineID, otherThan string) (time.Duration, error) {
	var seconds float64
	err := tx.GetContext(ctx, &seconds, `
		SELECT coalesce(extract(epoch FROM max(lease_until) - clock_timestamp()), 0) FROM deliveries
		WHERE line_id = $1 AND kind = 'keys' AND status = 'SENDING' AND CAST(id AS text) <> $2`, lineID, otherThan)
	return time.Duration(max(seconds, 0) * float64(time.Second)), err
}

// seenToSQL is the condition on the e-mail y that a person has closed the alert which said that it does not go out:
// they reached the customer otherwise, and nobody tries any more.
const seenToSQL = `EXISTS (SELECT FROM alerts a WHERE a.line_id = y.line_id AND a.cause = '` +
	string(keyturn.AlertUndelivered) + `'
	AND a.closed_by IS NOT NULL AND a.closed_at > y.created_at)`

// toFollowSQL is the condition on the e-mail y of the line l, which is not the line's first, that it is still to go
// out. One whose customer was erased is empty.
const toFollowSQL = `y.status <> 'SENT' AND y.message <> '' AND (y.kind = 'canceled' OR l.status = 'DELIVERED')
	AND (y.kind = 'addressChanged' OR NOT EXISTS (
		SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = y.kind AND n.number > y.number))
		AND NOT ` + seenToSQL

// BeginSend takes the lease on a stored e-mail. A nil Delivery: it was sent already, a person has seen to it, it holds
// keys of a line that was refunded meanwhile, or its customer was erased. While another process sends, the error is
// KindConflict and wait says until when.
func (d *DB) BeginSend(ctx context.Context, deliveryID string) (out *Delivery, wait time.Duration, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out, wait = nil, 0
		var row struct {
			deliveryRow
			CustomerID string             `db:"customer_id"`
			LineStatus keyturn.LineStatus `db:"line_status"`
			SeenTo     bool               `db:"seen_to"`
			Now        time.Time          `db:"now"`
		}
		err := tx.GetContext(ctx, &row, `
			SELECT y.id, y.line_id, y.kind, y.message, y.status, y.lease_until, y.attempts, o.customer_id,
				l.status AS line_status, `+seenToSQL+` AS seen_to, clock_timestamp() AS now
			FROM deliveries y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
			WHERE y.id = $1 FOR UPDATE OF y, l`, deliveryID)
		if err != nil {
			return pg.NotFound(err, "there is no delivery %s", deliveryID)
		}
		refunded := row.LineStatus == keyturn.LineCanceling || row.LineStatus == keyturn.LineCanceled
		// keys do not follow their refund
		if row.Status == keyturn.DeliverySent || row.SeenTo || row.Kind == keyturn.DeliveryKeys && refunded ||
			len(row.Message) == 0 {
			return nil
		}
		if row.Status == keyturn.DeliverySending && row.LeaseUntil.After(row.Now) {
			wait = row.LeaseUntil.Sub(row.Now)
			return keyturn.Errorf(keyturn.KindConflict, "another process is sending this e-mail")
		}
		if row.Kind == keyturn.DeliveryKeys { // two at once would be two e-mails with the same keys under way
			if wait, err = sendingFor(ctx, tx, row.LineID, row.ID); err != nil {
				return err
			}
			if wait > 0 {
				return keyturn.Errorf(keyturn.KindConflict, "another process is sending another e-mail of the line")
			}
		}
		out, err = d.lease(ctx, tx, &line{CustomerID: row.CustomerID, Now: row.Now}, row.deliveryRow)
		return err
	})
	return out, wait, err
}

// FinishSend books what the mail server said about a stored e-mail. Operations are told of one that does not go out.
// The failure of a process that has lost its lease is not booked: another one sends it now, or has sent it.
func (d *DB) FinishSend(ctx context.Context, sent *Delivery, failed error) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if failed == nil {
			return pg.ExpectOne(tx.ExecContext(ctx, sentSQL, sent.ID))
		}
		var fulfillmentID string
		if err := tx.GetContext(ctx, &fulfillmentID,
			`SELECT fulfillment_id FROM line_items WHERE id = (SELECT line_id FROM deliveries WHERE id = $1)`,
			sent.ID); err != nil {
			return err
		}
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		kind := keyturn.KindOf(failed)
		var ours []string
		if err := tx.SelectContext(ctx, &ours, `
			UPDATE deliveries SET status = 'READY', lease_until = NULL, error = $2
			WHERE id = $1 AND status = 'SENDING' AND attempts = $3 RETURNING id`, sent.ID, string(kind), sent.try); err != nil ||
			len(ours) == 0 {
			return err
		}
		return openLineAlert(ctx, tx, l, keyturn.AlertUndelivered,
			"an e-mail that was to follow does not go out ("+string(kind)+"); it is tried until it does")
	})
}

// sentSQL books an accepted e-mail, and the keys of a replacement that it showed, unless the line was cancelled
// meanwhile.
var sentSQL = `
	WITH line AS MATERIALIZED (
		SELECT l.id FROM line_items l JOIN deliveries y ON y.line_id = l.id WHERE y.id = $1 AND y.kind = 'keys'
			AND l.status = 'DELIVERED'
	), shown AS (
		UPDATE pool_keys SET state = 'delivered', changed_at = now() WHERE state = 'claimed'
			AND line_id IN (SELECT id FROM line)
			AND id IN (SELECT new_key_id FROM replacements WHERE delivery_id = $1)
		RETURNING pool_id
	), stock AS (` + stock.DeliveredSQL + `
	), arrived AS (
		UPDATE alerts SET closed_at = now() WHERE closed_at IS NULL AND cause = '` + string(keyturn.AlertUndelivered) + `'
			AND line_id = (SELECT line_id FROM deliveries WHERE id = $1)
			AND NOT EXISTS (SELECT FROM deliveries y WHERE y.line_id = alerts.line_id AND y.id <> $1 AND y.status <> 'SENT'
				AND y.error IS NOT NULL
				AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = y.kind AND n.number > y.number))
	)
	UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now(), lease_until = NULL, error = NULL WHERE id = $1`
