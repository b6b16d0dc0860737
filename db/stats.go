package db

import (
	"context"

	"keyturn.dev/keyturn"
)

// Commits is how many transactions were committed in this database, as PostgreSQL counts them, a second late.
func (d *DB) Commits(ctx context.Context) (int64, error) {
	var n int64
	err := d.x.GetContext(ctx, &n, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	return n, asKind(err)
}

// OrderStatus is an order's status alone. KindNotFound.
func (d *DB) OrderStatus(ctx context.Context, orderID string) (keyturn.OrderStatus, error) {
	var s keyturn.OrderStatus
	err := d.x.GetContext(ctx, &s, `SELECT status FROM orders WHERE id = $1`, orderID)
	return s, notFound(err, "there is no order %s", orderID)
}
