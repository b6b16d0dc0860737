// Package app writes in and out of transactions.
package app

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn/pg"
)

// Store embeds the handle, as a database package may.
type Store struct{ *sqlx.DB }

const claim = `UPDATE keys SET line_item_id = $1 RETURNING id`

func outside(ctx context.Context, s Store, db *sqlx.DB, id string) {
	db.ExecContext(ctx, "INSERT INTO orders VALUES ($1)", id)     // want `ExecContext writes outside of a transaction`
	db.Exec("SELECT 1")                                           // want `Exec writes outside of a transaction`
	s.ExecContext(ctx, "DELETE FROM orders")                      // want `ExecContext writes outside of a transaction`
	s.NamedExecContext(ctx, "DELETE FROM orders", nil)            // want `NamedExecContext writes outside of a transaction`
	db.PrepareContext(ctx, "SELECT 1")                            // want `PrepareContext writes outside of a transaction`
	db.GetContext(ctx, &id, claim, id)                            // want `GetContext writes outside of a transaction`
	db.GetContext(ctx, &id, "WITH x AS (delete FROM a) SELECT 1") // want `GetContext writes outside of a transaction`
	db.QueryRowContext(ctx, "SELECT "+id)                         // want `QueryRowContext runs a query outside of a transaction that is not a constant`
	sqlx.NamedExecContext(ctx, db, "DELETE FROM orders", nil)     // want `a \*github.com/jmoiron/sqlx.DB is given to something that can write`
	conn, _ := db.Conn(ctx)
	conn.ExecContext(ctx, "DELETE FROM orders") // want `ExecContext writes outside of a transaction`
}

// A handle that embeds another is given away as itself.
func ours(ctx context.Context, x *pg.DB, id string) {
	x.ExecContext(ctx, "DELETE FROM orders")                 // want `ExecContext writes outside of a transaction`
	sqlx.NamedExecContext(ctx, x, "DELETE FROM orders", nil) // want `a \*keyturn.dev/keyturn/pg.DB is given to something that can write`
	sqlx.SelectContext(ctx, x, &id, "SELECT 1")
}

func inside(ctx context.Context, tx *sqlx.Tx, db *sqlx.DB, id string) {
	tx.ExecContext(ctx, "INSERT INTO orders VALUES ($1)", id)
	tx.GetContext(ctx, &id, claim, id)
	db.GetContext(ctx, &id, "SELECT id FROM orders WHERE updated_at > $1")
	sqlx.SelectContext(ctx, db, &id, "SELECT 1")
	//keyturn:autocommit not allowed in a transaction
	db.ExecContext(ctx, "CREATE DATABASE shop")
	db.ExecContext(ctx, "CREATE DATABASE shop") //keyturn:autocommit not allowed in a transaction
	//keyturn:autocommit
	db.ExecContext(ctx, "CREATE DATABASE shop") // want `ExecContext writes outside of a transaction`
}
