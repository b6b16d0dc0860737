package db

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PaymentOutcome is a payment that Temporal knows of, with the order that its checkout link makes.
type PaymentOutcome struct {
	PaymentID string `json:"paymentId"`
	OrderID   string `json:"orderId"`
}

// askForPayments has the workflow of each payment that has not ended in the backup ask its processor: it may have been
// paid, taken or let go since. Those that owe money, or an e-mail, go on.
func (d *DB) askForPayments(ctx context.Context) (n int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `
			WITH asked AS (
				UPDATE payments SET look_at = now(), told_at = now()
				WHERE status IN ('CREATED', 'OPEN', 'PROCESSING', 'MISMATCH', 'AUTHORIZED', 'CAPTURING', 'VOIDING')
				RETURNING id
			), woken AS (
				INSERT INTO outbox (workflow, subject)
				SELECT $1, CAST(id AS text) FROM asked
				UNION SELECT $1, CAST(payment_id AS text) FROM payment_refunds WHERE status = 'PENDING'
				UNION SELECT $1, CAST(payment_id AS text) FROM payment_mails WHERE due_at IS NOT NULL
				ON CONFLICT (workflow, subject) DO UPDATE SET due_at = now()
			)
			SELECT count(*) FROM asked`, WorkflowPayment)
	})
	return n, err
}

// MissingPayments are those that this database does not have: they were begun after the backup that was restored.
func (d *DB) MissingPayments(ctx context.Context, all []PaymentOutcome) ([]PaymentOutcome, error) {
	ids := pq.StringArray{}
	for _, p := range all {
		ids = append(ids, p.PaymentID)
	}
	var there []string
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &there,
		`SELECT CAST(id AS text) FROM payments WHERE id = ANY(CAST($1 AS uuid[]))`, ids); err != nil {
		return nil, pg.AsKind(err)
	}
	known := func(p PaymentOutcome) bool { return slices.Contains(there, p.PaymentID) }
	return slices.DeleteFunc(slices.Clone(all), known), nil
}

// SoldBy says whether the database has payments at a provider.
func (d *DB) SoldBy(ctx context.Context, provider string) (sold bool, err error) {
	err = d.pg.GetContext(ctx, &sold, `SELECT EXISTS (SELECT FROM payments WHERE provider = $1 LIMIT 1)`, provider)
	return sold, pg.AsKind(err)
}

// RefundedOutcomes are the outcomes of lines whose refunds a payment provider has, and that are not given up here.
func (d *DB) RefundedOutcomes(ctx context.Context, refunds []keyturn.MadeRefund) (out []WorkflowOutcome, err error) {
	ids := pq.StringArray{}
	for _, r := range refunds {
		if id, ours := canonicalID(r.OurID); ours {
			ids = append(ids, id)
		}
	}
	var lines []struct {
		FulfillmentID string `db:"fulfillment_id"`
		ID            string `db:"id"`
		OrderID       string `db:"order_id"`
		ProductID     string `db:"product_id"`
	}
	//keyturn:autocommit it reads
	err = d.pg.SelectContext(ctx, &lines, `
		SELECT fulfillment_id, id, order_id, product_id FROM line_items
		WHERE id = ANY(CAST($1 AS uuid[])) AND status NOT IN ('CANCELING', 'CANCELED')`, ids)
	for _, l := range lines {
		out = append(out, WorkflowOutcome{
			FulfillmentID: l.FulfillmentID, LineID: l.ID, OrderID: l.OrderID, ProductID: l.ProductID,
			Status: keyturn.LineCanceled,
		})
	}
	return out, pg.AsKind(err)
}

// AlertMissingPayment tells operations of a payment that its provider has and this database does not, and what was done
// about it.
func (d *DB) AlertMissingPayment(ctx context.Context, id, orderID, happened string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return openAlertOf(ctx, tx, "payment/"+id, keyturn.AlertLatePayment,
			AlertDetail{OrderID: orderID, Happened: happened})
	})
}

// madeByPayments are those of the orders that checkout links make by themselves: their payments are asked for.
func (d *DB) madeByPayments(ctx context.Context, orders []string) (made []string, err error) {
	err = d.pg.SelectContext(ctx, &made, `
		SELECT k.order_id FROM checkout_links k JOIN payments p ON p.link_id = k.id
		WHERE k.order_id = ANY($1) AND k.status = 'PAYING' AND p.status IN ('CREATED', 'OPEN', 'PROCESSING')`,
		pq.Array(orders))
	return made, pg.AsKind(err)
}

// isCaptureUnknown says that it is not known whether the line's money was taken.
func isCaptureUnknown(ctx context.Context, tx *sqlx.Tx, l *line) (bool, error) {
	if l.PaymentID == nil {
		return false, nil
	}
	p, err := lockPayment(ctx, tx, *l.PaymentID)
	return err == nil && p.CaptureMinor != nil, err
}
