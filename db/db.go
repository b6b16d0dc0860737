// Package db holds what is true, in PostgreSQL: migrations and queries, one file per aggregate. Every exported method
// is one use case in one transaction; every effect has a unique constraint behind it, so that a commit whose answer was
// lost is settled by calling the method again. The database decides what a line needs next (keyturn.Next); the workflow
// obeys.
package db

import (
	"context"

	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
)

// DB gives access to Keyturn's database. It is safe for concurrent use.
type DB struct {
	pg    *pg.DB
	keys  *vault.Keys
	stock *stock.Stock

	integrations cache[readIntegration]
}

// Open connects to the database of the DSN (a postgres:// URL) and checks that it answers. keys encrypt and decrypt
// what is secret in it. The caller closes it.
func Open(ctx context.Context, dsn string, keys *vault.Keys) (*DB, error) {
	x, err := pg.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return &DB{pg: x, keys: keys, stock: stock.New(x, keys)}, nil
}

// Stock is the keys of the pools.
func (d *DB) Stock() *stock.Stock { return d.stock }

// Close closes the connections.
func (d *DB) Close() error { return d.pg.Close() }

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.pg.PingContext(ctx) }
