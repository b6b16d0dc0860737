package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// WorkflowWake is no workflow: the relay tells the workflows of a line, its subject, to look at the database.
const WorkflowWake = "wake"

// lookAtManualRefund is how often a workflow looks at a refund that a person makes. Whoever confirms it wakes the
// workflow.
const lookAtManualRefund = keyturn.Duration(24 * 60 * 60 * 1e9)

// awaitsRefund says that a person has to give the line's money back.
func (l *line) awaitsRefund() bool {
	return l.Status == keyturn.LineCanceling && l.PaymentProvider == keyturn.PaymentManual && l.GrossMinor > 0
}

// askForRefund tells operations of money that a person has to give back.
func askForRefund(ctx context.Context, tx *sqlx.Tx, l *line) error {
	amount := keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}
	return openLineAlert(ctx, tx, l, keyturn.AlertManualRefund,
		amount.String()+" "+amount.Currency+" of payment "+l.PaymentReference+" are to be given back by hand")
}

// ConfirmRefund books a refund that a person has made, cancels the line and ends its workflow. A repetition with the
// same reference changes nothing. Errors: KindNotFound, KindInvalid; KindConflict for a line whose money is not to be
// given back by hand, and for another reference than the one that was booked.
func (d *DB) ConfirmRefund(ctx context.Context, fulfillmentID string, c keyturn.RefundConfirmation, by string,
	render RenderMail,
) error {
	if err := c.Check(); err != nil {
		return err
	}
	_, err := d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		var r struct {
			Provider  string               `db:"provider"`
			Status    keyturn.RefundStatus `db:"status"`
			Reference string               `db:"reference"`
		}
		err := tx.GetContext(ctx, &r, `
			SELECT provider, status, coalesce(provider_id, '') AS reference FROM refunds WHERE line_id = $1`, l.ID)
		if err := pg.NotFound(err, "x"); keyturn.KindOf(err) == keyturn.KindNotFound {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: no money is to be given back for it", l.Status)
		} else if err != nil {
			return err
		}
		switch {
		case r.Provider != keyturn.PaymentManual || l.GrossMinor == 0:
			return keyturn.Errorf(keyturn.KindConflict, "the line is refunded by %s without a person: see its refund",
				r.Provider)
		case r.Status == keyturn.RefundDone && r.Reference == c.Reference:
			return nil
		case r.Status == keyturn.RefundDone:
			return keyturn.Errorf(keyturn.KindConflict, "the refund was confirmed before, with the reference %s", r.Reference)
		}
		if err := d.finishRefund(ctx, tx, l, refunded{id: c.Reference, by: by, reason: c.Reason}, render); err != nil {
			return err
		}
		return enqueue(ctx, tx, WorkflowWake, l.FulfillmentID)
	})
	return err
}
