package pg

import (
	"context"
	"database/sql/driver"
)

// Queryer runs a statement that returns rows: a transaction, or Implicit.
type Queryer interface {
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// implicitTx runs single-statement transactions. PostgreSQL makes a transaction of every single statement, so BEGIN and
// COMMIT would only be two more round trips. database/sql believes that it has begun one, and so it never sends a
// statement a second time when its answer was lost, as it does silently with an autocommitted one
// (docs/decide/0007-a-prepared-statement-each.md).
type implicitTx struct{ d *DB }

// Implicit runs each statement as a transaction of its own, without BEGIN and COMMIT. An error means that the outcome
// is unknown: the caller looks at what is true.
func (d *DB) Implicit() Queryer { return implicitTx{d} }

// SelectContext runs one statement and reads its rows into dest, a pointer to a slice.
func (a implicitTx) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	tx, err := a.d.BeginTxx(context.WithValue(ctx, implicitTx{}, true), nil)
	if err != nil {
		return asKind(ctx, err)
	}
	if err := tx.SelectContext(ctx, dest, query, args...); err != nil {
		_ = tx.Rollback()
		return asKind(ctx, err)
	}
	return asKind(ctx, tx.Commit())
}

// noopTx is the transaction that database/sql believes in meanwhile.
type noopTx struct{}

func (noopTx) Commit() error   { return nil }
func (noopTx) Rollback() error { return nil }

// BeginTx is part of database/sql's driver interface.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if ctx.Value(implicitTx{}) != nil {
		return noopTx{}, nil
	}
	c.trips.Add(2) // and the end of the transaction
	return c.pqConn.BeginTx(ctx, o)
}
