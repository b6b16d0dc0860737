package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// appendDelivered appends that a line which is marked as delivered is saved, and what goes along with it: its e-mail is
// sent, the keys in it were shown, and the customer has a licence. when is as in appendLineUpdate.
func (l *line) appendDelivered(w *pg.StmtBuilder, deliveryID, when string) error {
	if err := l.appendLineUpdate(w, byWorkflow, "", when); err != nil {
		return err
	}
	w.With("sent", `
		UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now(), lease_until = NULL, error = NULL
		FROM moved WHERE deliveries.id = ?`, deliveryID)
	l.appendShown(w)
	return nil
}

// appendShown appends that the customer has the keys of a line that is saved: nobody else gets them, and there is a
// licence.
func (l *line) appendShown(w *pg.StmtBuilder) {
	w.With("shown", `
		UPDATE pool_keys SET state = 'delivered', changed_at = now() FROM moved WHERE line_id = moved.id AND state = 'claimed'
		RETURNING pool_id`)
	w.With("stock", stock.DeliveredSQL+`
		RETURNING s.slot`)
	if l.LicenseID == nil {
		w.With("licensed", `
			INSERT INTO licenses (id, line_id, customer_id, product_id, status, source, expires_at)
			SELECT ?, id, ?, ?, 'Running', ?, CAST(? AS timestamptz) FROM moved
			ON CONFLICT (id) DO NOTHING`, l.FulfillmentID, l.CustomerID, l.ProductID, l.issuer(), l.ExpiresAt)
	}
	l.appendOrderCounts(w, "stock")
}

// FinishDelivery books what the mail server said, and returns what the line needs next. With failed nil it accepted the
// e-mail, and the line is delivered. exposed: it may have accepted it, so nobody else may ever get these keys. The
// failure of a process that has lost its lease is not the line's, because another one sends now. Idempotent: a line
// becomes DELIVERED once. KindConflict when an e-mail went out for a line that has been given up.
func (d *DB) FinishDelivery(
	ctx context.Context, fulfillmentID string, sent *Delivery, failed *StepFailure, exposed bool,
) (keyturn.Next, error) {
	if sent.line != nil && sent.line.LicenseID == nil && !sent.line.Awaited && failed == nil {
		if next, ok := d.finishFast(ctx, *sent.line, sent.ID); ok {
			return next, nil
		}
	}
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if l.Status == keyturn.LineDelivered { // by this e-mail, or by another one of a resend
			_, err := tx.ExecContext(ctx, `
				UPDATE deliveries SET status = CASE WHEN $2 THEN 'SENT' ELSE 'READY' END, exposed = exposed OR $3,
					sent_at = CASE WHEN $2 THEN now() END, lease_until = NULL,
					message = CASE WHEN NOT $2 AND `+revealedSQL+` THEN '' ELSE message END
				WHERE id = $1 AND status = 'SENDING' AND ($2 OR attempts = $4)`, sent.ID, failed == nil, exposed || failed == nil,
				sent.try)
			return err
		}
		if failed != nil {
			var ours bool
			if err := tx.GetContext(ctx, &ours, `
				UPDATE deliveries SET exposed = exposed OR $2, error = CASE WHEN attempts = $4 THEN $3 ELSE error END,
					status = CASE WHEN attempts = $4 THEN 'READY' ELSE status END,
					lease_until = CASE WHEN attempts <> $4 THEN lease_until END
				WHERE id = $1 RETURNING attempts = $4`, sent.ID, exposed, failed.Failure.Message, sent.try); err != nil {
				return err
			}
			if !ours || l.next().Do != keyturn.DoDeliver {
				return nil
			}
			l.Attempts++
			return d.fail(ctx, tx, l, *failed)
		}
		if l.Status != keyturn.LineObtained && l.Status != keyturn.LineRetrying {
			// The lease keeps a cancel away from an e-mail under way; a hold may have come meanwhile, and the e-mail is out.
			if l.Status != keyturn.LineHeld {
				return keyturn.Errorf(keyturn.KindConflict, "an e-mail went out for a line that is %s", l.Status)
			}
			l.Status = keyturn.LineRetrying
			if err := l.save(ctx, tx, byWorkflow, "the e-mail was already on its way"); err != nil {
				return err
			}
		}
		if l.Failures > 0 || l.Status != keyturn.LineObtained {
			if err := closeLineAlerts(ctx, tx, l); err != nil {
				return err
			}
		}
		if l.LicenseID != nil {
			if err := d.applyOperation(ctx, tx, l); err != nil {
				return err
			}
		}
		l.markDelivered()
		if err := l.wakeNext(ctx, tx); err != nil {
			return err
		}
		if l.CancelReason != nil { // the order was cancelled while the e-mail was under way: the relay takes the line back
			l.WakeAt = &l.Now
		}
		var w pg.StmtBuilder
		if err := l.appendDelivered(&w, sent.ID, ""); err != nil {
			return err
		}
		return l.runUpdate(ctx, tx, &w)
	})
}

// finishFast is FinishDelivery of an accepted e-mail on the fast path, for a line that is as it was when the lease was
// taken.
func (d *DB) finishFast(ctx context.Context, l line, deliveryID string) (keyturn.Next, bool) {
	l.Now = l.now()
	l.markDelivered()
	ok := d.runFast(ctx, &l, func(w *pg.StmtBuilder) error {
		return l.appendDelivered(w, deliveryID, ` AND NOT awaited`+undisturbed)
	})
	return l.next(), ok
}

// markDelivered notes that the line's e-mail is out.
func (l *line) markDelivered() {
	l.Status, l.DeliveredAt = keyturn.LineDelivered, &l.Now
	l.FailureJSON, l.NextAttemptAt, l.WakeAt, l.HeldUntil, l.Failures = nil, nil, nil, nil, 0
}
