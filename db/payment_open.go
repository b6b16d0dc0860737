package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// OpenFailed books that the processor has answered, under this number of the key, that it has failed to open a
// payment's session: it would answer the same again.
func (d *DB) OpenFailed(ctx context.Context, id string, no int) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE payments SET open_failed_at = coalesce(open_failed_at, clock_timestamp())
			WHERE id = $1 AND open_no = $2 AND status = 'CREATED'`, id, no)
		return err
	})
}

// NextOpenKey books that a payment's session is opened under another key than used, after a look has proved that it was
// not opened under this one. KindConflict when it is under another one already.
func (d *DB) NextOpenKey(ctx context.Context, id string, used int) (no int, err error) {
	_, err = d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		if p.Status != keyturn.PaymentCreated || p.OpenNo != used {
			return keyturn.Errorf(keyturn.KindConflict, "the payment is opened under another key already")
		}
		p.OpenNo++
		no = p.OpenNo
		if _, err := tx.ExecContext(ctx, `UPDATE payments SET open_failed_at = NULL WHERE id = $1`, id); err != nil {
			return err
		}
		return p.save(ctx, tx, byWorkflow, "")
	})
	return no, err
}

// NeverOpened ends a payment of which its processor has no session, long after it was asked for one. KindConflict for
// one whose session is known.
func (d *DB) NeverOpened(ctx context.Context, id string) (keyturn.PaymentNext, error) {
	return d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		if p.Status != keyturn.PaymentCreated {
			return keyturn.Errorf(keyturn.KindConflict, "the payment is %s", p.Status)
		}
		if err := p.answered(ctx, tx, keyturn.ProcessorState{}); err != nil {
			return err
		}
		link, err := lockLink(ctx, tx, p.LinkID)
		if err != nil {
			return err
		}
		return p.endUnpaid(ctx, tx, &link, keyturn.AtProcessorExpired, byWorkflow)
	})
}
