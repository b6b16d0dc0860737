package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// BeginOpening books that a payment's processor is about to be asked for its session: from now on it may be paid.
// KindConflict for one that is not CREATED any more.
func (d *DB) BeginOpening(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var open []string
		err := tx.SelectContext(ctx, &open, `
			UPDATE payments SET opening_at = coalesce(opening_at, clock_timestamp())
			WHERE id = $1 AND status = 'CREATED' RETURNING id`, id)
		if err == nil && len(open) == 0 {
			return keyturn.Errorf(keyturn.KindConflict, "the payment was opened, or has ended, at this moment")
		}
		return err
	})
}

// ProcessorMissing books that a payment's processor is not configured any more, and alerts until it opens a payment
// again. One that it was never asked to open ends, and its link is open; any other stays as it is, because it may have
// been paid.
func (d *DB) ProcessorMissing(ctx context.Context, id string) (keyturn.PaymentNext, error) {
	return d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		if p.final() {
			return nil
		}
		var opening bool
		if err := tx.GetContext(ctx, &opening, `SELECT opening_at IS NOT NULL FROM payments WHERE id = $1`, id); err != nil {
			return err
		}
		known := p.Status != keyturn.PaymentCreated || opening
		if err := p.alertMissing(ctx, tx, known); err != nil || known {
			return err
		}
		link, err := lockLink(ctx, tx, p.LinkID)
		if err != nil {
			return err
		}
		return p.endUnpaid(ctx, tx, &link, keyturn.AtProcessorExpired, byWorkflow)
	})
}

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
