package db

import (
	"context"
	"database/sql/driver"
	"strconv"
	"strings"
)

// selector runs a statement: a transaction, or alone.
type selector interface {
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// alone runs statements each of which is a transaction of its own. PostgreSQL makes one of every single statement, so
// BEGIN and COMMIT would only be two more round trips. database/sql thinks that it has begun one, and so it never sends
// a statement a second time when its answer was lost, as it does with an autocommitted one
// (docs/decide/0007-a-prepared-statement-each.md). An error means that the outcome is unknown: who gets it looks at
// what is true, under the line's lock.
type alone struct{ d *DB }

func (d *DB) alone() selector { return alone{d} }

// SelectContext runs one statement and reads its rows into dest, a pointer to a slice.
func (a alone) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	tx, err := a.d.x.BeginTxx(context.WithValue(ctx, alone{}, true), nil)
	if err != nil {
		return asKind(err)
	}
	if err := tx.SelectContext(ctx, dest, query, args...); err != nil {
		_ = tx.Rollback()
		return asKind(err)
	}
	return asKind(tx.Commit())
}

// noTx is the transaction that database/sql believes in while a statement runs alone.
type noTx struct{}

func (noTx) Commit() error   { return nil }
func (noTx) Rollback() error { return nil }

// BeginTx is part of database/sql's driver interface.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if ctx.Value(alone{}) != nil {
		return noTx{}, nil
	}
	c.trips.Add(2) // and the end of the transaction
	return c.pqConn.BeginTx(ctx, o)
}

// writes is one statement that does several things, each a common table expression that says what it depends on.
type writes struct {
	sql  strings.Builder
	args []any
}

// add appends an expression, with a ? for each argument.
func (w *writes) add(name, query string, args ...any) { w.append(name+" AS", query, args) }

// once is add for an expression that PostgreSQL must not take apart and run more than once.
func (w *writes) once(name, query string, args ...any) {
	w.append(name+" AS MATERIALIZED", query, args)
}

func (w *writes) append(head, query string, args []any) {
	if w.sql.Len() == 0 {
		w.sql.Grow(usualStatement)
		w.sql.WriteString("WITH ")
	} else {
		w.sql.WriteString(", ")
	}
	w.sql.WriteString(head)
	w.sql.WriteString(" (")
	w.write(query, args)
	w.sql.WriteString(")")
}

// usualStatement is how long most statements are at the most.
const usualStatement = 4 << 10

// write appends a text whose question marks stand for arguments, which PostgreSQL numbers.
func (w *writes) write(query string, args []any) {
	for i := range args {
		before, after, _ := strings.Cut(query, "?")
		w.sql.WriteString(before)
		w.sql.WriteByte('$')
		w.sql.WriteString(strconv.Itoa(len(w.args) + i + 1))
		query = after
	}
	w.sql.WriteString(query)
	w.args = append(w.args, args...)
}

// run runs the statement, which ends with a query.
func (w *writes) run(ctx context.Context, s selector, dest any, query string, args ...any) error {
	w.sql.WriteString(" ")
	w.write(query, args)
	return s.SelectContext(ctx, dest, w.sql.String(), w.args...)
}
