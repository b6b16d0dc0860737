package pg

import (
	"context"
	"database/sql"
	"time"

	"github.com/jmoiron/sqlx"
)

// Snapshot reads the whole database as it was at one moment. It cannot write, waits for nobody's row and lets nobody
// wait for it. As long as it is open PostgreSQL keeps what was deleted since, so it is for minutes, not for hours.
type Snapshot struct {
	sqlx.QueryerContext

	// At is the moment, by the database's clock: everything that was committed before is in the snapshot.
	At time.Time
}

// snapshotSettings are for a reader of whole tables beside people who buy: one core, memory that is given back,
// patience for a long statement, and plans that go by statistics.
const snapshotSettings = `
	SET LOCAL work_mem = '96MB';
	SET LOCAL statement_timeout = '10min';
	SET LOCAL idle_in_transaction_session_timeout = '15min';
	SET LOCAL max_parallel_workers_per_gather = 0;
	SET LOCAL enable_seqscan = on;
	SET LOCAL plan_cache_mode = auto`

// Snapshot runs fn on a snapshot and ends it.
func (d *DB) Snapshot(ctx context.Context, fn func(*Snapshot) error) error {
	tx, err := d.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return AsKind(err)
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to commit
	if _, err := tx.ExecContext(ctx, snapshotSettings); err != nil {
		return AsKind(err)
	}
	s := &Snapshot{QueryerContext: tx}
	if err := tx.GetContext(ctx, &s.At, `SELECT clock_timestamp()`); err != nil {
		return AsKind(err)
	}
	return AsKind(fn(s))
}

// Select reads rows into dest, a pointer to a slice of structs. The query names its arguments: `:name`.
func (s *Snapshot) Select(ctx context.Context, dest any, query string, args map[string]any) error {
	bound, values, err := sqlx.BindNamed(sqlx.DOLLAR, query, args)
	if err != nil {
		return err
	}
	return AsKind(sqlx.SelectContext(ctx, s, dest, bound, values...))
}

// Get reads one row into dest, as Select does.
func (s *Snapshot) Get(ctx context.Context, dest any, query string, args map[string]any) error {
	bound, values, err := sqlx.BindNamed(sqlx.DOLLAR, query, args)
	if err != nil {
		return err
	}
	return AsKind(sqlx.GetContext(ctx, s, dest, bound, values...))
}
