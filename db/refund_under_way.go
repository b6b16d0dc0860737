package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// RefundMost is how long a refund that the provider has taken on may take. Then it counts as done, and a person looks.
const RefundMost = 10 * 24 * time.Hour

// RefundProgress is what a provider says of a refund that it has taken on and that has not come through.
type RefundProgress struct {
	ID     string // the provider's
	Failed bool   // for good
	// NeedsCustomer: the customer has to say where the money goes.
	NeedsCustomer bool
}

// whatBecame says which alert a refund that has not come through deserves; empty: it may take longer.
func (r RefundProgress) whatBecame(waited time.Duration) (cause keyturn.AlertCause, happened string) {
	switch {
	case r.Failed:
		return keyturn.AlertRefundFailed, "the refund " + r.ID + " failed at the payment provider: the customer has not " +
			"got the money"
	case waited >= RefundMost:
		return keyturn.AlertRefundPending, "the payment provider has taken on the refund " + r.ID +
			" ten days ago, and the customer has not got the money"
	}
	return "", ""
}

// needsCustomer is what a person hears of a refund that waits for the customer.
func (r RefundProgress) needsCustomer() string {
	return "the refund " + r.ID + " waits for the customer, whom the payment provider has asked where the money goes"
}

// RefundUnderWay books a line's refund that the provider has taken on. The line stays CANCELING until it has come
// through, ten days at most; it ends, with an alert, also where the refund failed for good.
func (d *DB) RefundUnderWay(ctx context.Context, fulfillmentID string, r RefundProgress, again time.Duration,
	render RenderMail,
) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if l.Status != keyturn.LineCanceling {
			return nil
		}
		var since time.Time
		err := tx.GetContext(ctx, &since, `
			UPDATE refunds SET under_way_since = coalesce(under_way_since, clock_timestamp()), error = NULL,
				key_failed_at = NULL, failed_at = CASE WHEN $2 THEN clock_timestamp() END
			WHERE line_id = $1 RETURNING under_way_since`, l.ID, r.Failed)
		if err != nil {
			return err
		}
		cause, happened := r.whatBecame(l.Now.Sub(since))
		if cause == "" {
			l.NextAttemptAt = ptr(l.Now.Add(again))
			if r.NeedsCustomer {
				err = openLineAlert(ctx, tx, l, keyturn.AlertRefund, r.needsCustomer())
			} else {
				err = closeLineAlert(ctx, tx, l, keyturn.AlertRefund)
			}
			if err != nil {
				return err
			}
			return l.save(ctx, tx, byWorkflow, "")
		}
		if err := openLineAlert(ctx, tx, l, cause, happened); err != nil {
			return err
		}
		return d.finishRefund(ctx, tx, l, refunded{id: r.ID}, render)
	})
}

// PaymentRefundUnderWay is RefundUnderWay for what a payment without an order is owed.
func (d *DB) PaymentRefundUnderWay(ctx context.Context, id string, r RefundProgress) (keyturn.PaymentNext, error) {
	return d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		var since []time.Time
		if err := tx.SelectContext(ctx, &since, `
			UPDATE payment_refunds SET under_way_since = coalesce(under_way_since, clock_timestamp()), error = NULL,
				key_failed_at = NULL, failed_at = CASE WHEN $2 THEN clock_timestamp() END
			WHERE payment_id = $1 AND status = 'PENDING' RETURNING under_way_since`, p.ID, r.Failed); err != nil ||
			len(since) == 0 {
			return err
		}
		cause, happened := r.whatBecame(p.Now.Sub(since[0]))
		switch {
		case cause == "" && r.NeedsCustomer:
			return p.alert(ctx, tx, keyturn.AlertRefund, r.needsCustomer())
		case cause == "":
			return closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertRefund)
		}
		p.Owed = false
		if _, err := tx.ExecContext(ctx, `
			UPDATE payment_refunds SET status = 'DONE', done_at = now(), provider_id = $2 WHERE payment_id = $1`,
			p.ID, r.ID); err != nil {
			return err
		}
		if err := closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertRefund); err != nil {
			return err
		}
		return p.alert(ctx, tx, cause, happened)
	})
}

// FailPaymentRefund books why a refund of a payment without an order did not come through.
func (d *DB) FailPaymentRefund(ctx context.Context, id string, failed error) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE payment_refunds SET error = $2,
				key_failed_at = CASE WHEN $3 THEN coalesce(key_failed_at, clock_timestamp()) ELSE key_failed_at END
			WHERE payment_id = $1 AND status = 'PENDING'`,
			id, string(keyturn.KindOf(failed)), keyturn.WasAnswered(failed))
		return err
	})
}
