package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// LedgerRefund is payment.Ledger's: one refund per key, never more than was captured.
func (d *DB) LedgerRefund(ctx context.Context, key, reference, orderID string, amount keyturn.Money,
	refuse func(attemptsBefore int) bool,
) (string, error) {
	var id string
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		id = ""
		var captured struct {
			Minor    int64  `db:"captured_minor"`
			Currency string `db:"currency"`
		}
		if err := tx.GetContext(ctx, &captured, `
			SELECT captured_minor, currency FROM sandbox_payments WHERE reference = $1
				AND order_id = $2 FOR UPDATE`, reference, orderID); err != nil {
			if err := pg.NotFound(err, "x"); keyturn.KindOf(err) != keyturn.KindNotFound {
				return err
			}
			return keyturn.Errorf(keyturn.KindRejected, "the sandbox has no such payment")
		}
		var refund struct {
			ID        string     `db:"id"`
			Tries     int        `db:"tries"`
			AppliedAt *time.Time `db:"applied_at"`
		}
		if err := tx.GetContext(ctx, &refund, `
			INSERT INTO sandbox_refunds (key, id, reference, order_id, amount_minor, tries) VALUES ($1, $2, $3, $4, $5, 1)
			ON CONFLICT (key) DO UPDATE SET tries = sandbox_refunds.tries + 1
			RETURNING id, tries, applied_at`, key, newID(), reference, orderID, amount.Minor); err != nil {
			return err
		}
		if refund.AppliedAt != nil {
			id = refund.ID
			return nil
		}
		if refuse(refund.Tries - 1) {
			return nil
		}
		var refunded int64
		if err := tx.GetContext(ctx, &refunded, `
			SELECT coalesce(sum(amount_minor), 0) FROM sandbox_refunds WHERE reference = $1 AND order_id = $2
				AND applied_at IS NOT NULL`, reference, orderID); err != nil {
			return err
		}
		if captured.Currency != amount.Currency || refunded+amount.Minor > captured.Minor {
			return keyturn.Errorf(keyturn.KindRejected, "the sandbox refuses to refund more than was captured")
		}
		id = refund.ID
		return pg.ExpectOne(tx.ExecContext(ctx, `UPDATE sandbox_refunds SET applied_at = now() WHERE key = $1`, key))
	})
	return id, err
}

// SandboxSecret makes the addresses of the sandbox's pages and signs its events. It survives rotations.
func (d *DB) SandboxSecret() []byte { return d.keys.MAC("sandbox") }
