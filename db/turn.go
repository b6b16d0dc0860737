package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
)

// The lines of one order take turns with those of all others. At most turnSize of them are on their way at a time: an
// acceptance hands over the first ones, and an outbox entry of the order has the relay take the next, every TurnEvery,
// as those before come to their end. So a large order goes as fast as the machine does, and nobody waits behind more
// than turnSize of its lines. They all change the row of their order, so more of them at a time would not be faster.
const (
	turnSize  = 20
	TurnEvery = 200 * time.Millisecond
)

// WorkflowTurn is no workflow: the relay starts or wakes the next lines of the order, its subject: those that are
// undecided, and also those that were delivered if the order is to be cancelled.
const WorkflowTurn = "order"

// unlessTurnSQL is how much later than its order's first lines the relay starts a line whose turn has not come: turns
// are faster.
func unlessTurnSQL(position string) string {
	return `make_interval(secs => greatest(` + position + ` - ` + itoa(turnSize) + `, 0))`
}

// TakeTurn wakes the next lines of an order, one at least: lines that make no progress, because a partner or a payment
// provider is down or a person is waited for, slow down those after them, and do not stop them. RelayDone ends the
// entry after the last line. It reads the lines of two turns, however many the order has.
func (d *DB) TakeTurn(ctx context.Context, due Due) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		// Lines are locked before the entry, as by a line that has its order cancelled.
		_, err := tx.ExecContext(ctx, `
			WITH o AS MATERIALIZED (
				SELECT cancel_reason IS NOT NULL AS canceling, payment_provider = 'manual' AS by_hand FROM orders WHERE id = $1
			), under_way AS MATERIALIZED (
				SELECT count(*) AS n FROM o, line_items l
				WHERE l.order_id = $1 AND l.position > CAST($2 AS int) - CAST($3 AS int) AND l.position <= $2 AND CASE
					WHEN o.canceling THEN l.status <> 'CANCELED' AND NOT (l.status = 'CANCELING' AND o.by_hand)
					ELSE l.status IN ('PENDING', 'OBTAINED') AND NOT l.blocked END
			), turn AS MATERIALIZED (
				SELECT id, position FROM line_items WHERE order_id = $1 AND position > $2 ORDER BY position
				LIMIT (SELECT greatest($3 - n, 1) FROM under_way) FOR UPDATE
			), woken AS (
				UPDATE line_items l SET wake_at = now() FROM turn t, o
				WHERE l.id = t.id AND l.status NOT IN ('CANCELING', 'CANCELED') AND (o.canceling OR l.status <> 'DELIVERED')
			)
			UPDATE outbox SET position = t.position, due_at = now() + make_interval(secs => $4), tries = 0
			FROM (SELECT max(position) AS position FROM turn) t
			WHERE workflow = $5 AND subject = $1 AND due_at = $6 AND t.position IS NOT NULL`,
			due.Subject, due.position, turnSize, TurnEvery.Seconds(), WorkflowTurn, due.lease)
		return err
	})
}
