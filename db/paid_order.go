package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// WorkflowFollow is the workflow that the outbox starts to ask a processor for what came of a payment that orders came
// in paid with. Its subject is the provider and the payment's reference there: stripe/pi_1.
const WorkflowFollow = "FollowPayment"

// ordersPaidWith are the orders that came in paid with a payment, the oldest first.
const ordersPaidWith = `SELECT id FROM orders WHERE payment_provider = $1 AND payment_reference = $2
	AND payment_id IS NULL ORDER BY created_at, id`

// FollowPayment has a processor asked for what came of a payment that orders came in paid with. KindNotFound: none did.
func (d *DB) FollowPayment(ctx context.Context, provider, reference string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var orders []string
		if err := tx.SelectContext(ctx, &orders, ordersPaidWith, provider, reference); err != nil {
			return err
		}
		if len(orders) == 0 {
			return keyturn.Errorf(keyturn.KindNotFound, "no order came in paid with it")
		}
		return enqueue(ctx, tx, WorkflowFollow, provider+"/"+reference)
	})
}

// OrdersPaidWith are the orders that came in paid with a payment, the oldest first.
func (d *DB) OrdersPaidWith(ctx context.Context, provider, reference string) (ids []string, err error) {
	err = d.pg.SelectContext(ctx, &ids, ordersPaidWith, provider, reference)
	return ids, pg.AsKind(err)
}

// BookOrdersAftermath is BookAftermath of a payment that orders came in paid with, of which captured was taken.
func (d *DB) BookOrdersAftermath(ctx context.Context, provider, reference string, captured keyturn.Money,
	a keyturn.Aftermath,
) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		s := sale{Provider: provider, Reference: reference, Captured: captured}
		if err := tx.SelectContext(ctx, &s.Orders, ordersPaidWith, provider, reference); err != nil || len(s.Orders) == 0 {
			return err
		}
		s.About = s.Orders[0]
		return s.book(ctx, tx, a)
	})
}
