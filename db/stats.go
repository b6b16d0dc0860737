package db

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Commits is how many transactions were committed in this database, as PostgreSQL counts them, a second late.
func (d *DB) Commits(ctx context.Context) (int64, error) {
	var n int64
	err := d.pg.GetContext(ctx, &n, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	return n, pg.AsKind(err)
}

// RoundTrips is how often this process has asked PostgreSQL for something and waited for the answer.
func (d *DB) RoundTrips() int64 { return d.pg.RoundTrips() }

// OrderStatus is an order's status alone. KindNotFound.
func (d *DB) OrderStatus(ctx context.Context, orderID string) (keyturn.OrderStatus, error) {
	var s keyturn.OrderStatus
	err := d.pg.GetContext(ctx, &s, `SELECT status FROM orders WHERE id = $1`, orderID)
	return s, pg.NotFound(err, "there is no order %s", orderID)
}

// LineTimes is when a line whose partner answered the first call came how far.
type LineTimes struct {
	FulfillmentID string    `db:"fulfillment_id"`
	Accepted      time.Time `db:"created_at"`
	Called        time.Time `db:"started_at"` // its call was booked
	Answered      time.Time `db:"ended_at"`
	Delivered     time.Time `db:"delivered_at"` // its e-mail is out
}

// LineTimes gives the times of a product's delivered lines that needed one call.
func (d *DB) LineTimes(ctx context.Context, product string) ([]LineTimes, error) {
	var all []LineTimes
	return all, pg.AsKind(d.pg.SelectContext(ctx, &all, `
		SELECT l.fulfillment_id, l.created_at, a.started_at, a.ended_at, l.delivered_at
		FROM line_items l JOIN attempts a ON a.line_id = l.id
		WHERE l.product_id = $1 AND l.status = 'DELIVERED' AND a.no = 1 AND a.outcome = 'success'`, product))
}
