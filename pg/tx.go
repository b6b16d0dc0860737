package pg

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"
)

// ErrRollback is what the function of a transaction returns, or wraps, to undo the transaction on purpose. Tx and
// AsKind return it as it is.
var ErrRollback = errors.New("rolled back on purpose")

// maxTries bounds how often a transaction runs that PostgreSQL undoes (deadlock, serialization failure).
const maxTries = 4

// Tx runs fn in one transaction and commits it, or rolls it back when fn returns an error. fn may run more than once,
// so it sets its results anew each time. An error of the commit means that the outcome is unknown: the use case is
// tried again and finds what is true by its keys. Every error has a kind (AsKind), but for ErrRollback.
func (d *DB) Tx(ctx context.Context, fn func(*sqlx.Tx) error) error {
	for try := 1; ; try++ {
		err := d.txOnce(ctx, fn)
		if IsRetryable(err) && try < maxTries {
			continue
		}
		return asKind(ctx, err)
	}
}

func (d *DB) txOnce(ctx context.Context, fn func(*sqlx.Tx) error) (err error) {
	tx, err := d.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = tx.Rollback()
			panic(p)
		}
	}()
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// AllowSeqScans lets a transaction work through millions of rows: with sequential scans, plans that go by statistics,
// and a longer timeout of statements.
func AllowSeqScans(ctx context.Context, tx *sqlx.Tx) error {
	_, err := tx.ExecContext(ctx,
		`SET LOCAL statement_timeout = '15min'; SET LOCAL enable_seqscan = on; SET LOCAL plan_cache_mode = auto`)
	return err
}
