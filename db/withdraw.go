package db

import (
	"context"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// Withdraw has the customer of an order that a checkout link made withdraw from the contract: what was withdrawn from
// is cancelled as by CancelOrder, and the customer is told when the withdrawal arrived. Within the time that the shop
// offers that is the whole order; otherwise it is what is not delivered yet. Pressed twice, it is one withdrawal.
// KindNotFound for an unknown link and an order that no checkout link made; KindConflict when there is nothing left
// to withdraw from.
func (d *DB) Withdraw(ctx context.Context, token string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		o, _, err := d.orderByToken(ctx, tx, token)
		if err != nil {
			return err
		}
		if o.PaymentID == nil {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
		}
		// A line that is being delivered at this moment is delivered before, or finds itself cancelled.
		if _, err := tx.ExecContext(ctx, `SELECT FROM line_items WHERE order_id = $1 ORDER BY position FOR UPDATE`,
			o.ID); err != nil {
			return err
		}
		p, err := lockPayment(ctx, tx, *o.PaymentID)
		if err != nil {
			return err
		}
		snapshot, _, err := d.snapshot(p)
		if err != nil {
			return err
		}
		was, err := readSold(ctx, tx, p, snapshot)
		if err != nil {
			return err
		}
		switch {
		case was.WithdrawnAt != nil:
			return nil
		case !was.MayWithdraw:
			return keyturn.Errorf(keyturn.KindConflict, "there is nothing left to withdraw from")
		case was.WholeOrder:
			err = cancelOrder(ctx, tx, o.ID, whyWithdrawn, "")
		default:
			err = cancelUndelivered(ctx, tx, was.lines)
		}
		if err != nil {
			return err
		}
		return p.tell(ctx, tx, keyturn.MailWithdrawal, byCustomer)
	})
}

// cancelUndelivered has the lines cancelled that are on their way.
func cancelUndelivered(ctx context.Context, tx *sqlx.Tx, lines []soldLine) error {
	var ids []string
	for _, l := range lines {
		if l.Status.Open() && l.Status != keyturn.LineCanceling {
			ids = append(ids, l.ID)
		}
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE line_items SET cancel_reason = coalesce(cancel_reason, $2), version = version + 1, wake_at = now()
		WHERE id = ANY(CAST($1 AS uuid[]))`, pq.Array(ids), whyWithdrawn)
	return err
}
