package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

const serveChunk = 100 // waiting lines served in one transaction

// Import is ImportFile of a text file, one key per line.
func (d *DB) Import(ctx context.Context, pool string, r io.Reader, by string, dryRun bool) (keyturn.ImportResult,
	error,
) {
	return d.ImportFile(ctx, stock.ImportInput{Pool: pool, File: r, By: by, DryRun: dryRun})
}

// ImportFile is stock.Import. Afterwards lines that wait for the pool are served, at the pool's pace.
func (d *DB) ImportFile(ctx context.Context, in stock.ImportInput) (keyturn.ImportResult, error) {
	out, err := d.stock.Import(ctx, in)
	if err != nil || in.DryRun {
		return out, err
	}
	out.Served, _ = d.serveAll(ctx, in.Pool) // the keys are stored; whom it did not come to, housekeeping serves
	err = pg.AsKind(d.pg.GetContext(ctx, &out.Waiting, `SELECT count(*) FROM line_items WHERE waiting_pool = $1`, in.Pool))
	return out, err
}

// serveAll serves waiting lines in transactions of their own, so that an import that serves thousands locks few at
// once.
func (d *DB) serveAll(ctx context.Context, pool string) (int, error) {
	total := 0
	var failed error
	for {
		n, more, err := d.serveSome(ctx, pool, "import", serveChunk)
		total += n
		failed = errors.Join(failed, err)
		if !more {
			return total, failed
		}
	}
}

// maxSkipped bounds how many lines that cannot be served one look passes over.
const maxSkipped = 20

// unservedError is a line that could not be served.
type unservedError struct {
	fulfillmentID string
	err           error
}

func (e *unservedError) Error() string {
	return "fulfillment " + e.fulfillmentID + " cannot be served: " + e.err.Error()
}
func (e *unservedError) Unwrap() error { return e.err }

// serveSome serves up to limit waiting lines of a pool, or as many as its pace allows now. more says that it is worth
// asking again at once. A line that cannot be served keeps none behind it waiting; the error tells of it.
func (d *DB) serveSome(ctx context.Context, pool, by string, limit int) (n int, more bool, err error) {
	skip := []string{}
	var failed []error
	for {
		err = d.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
			n, more = 0, false
			allowed, currency, err := d.allowed(ctx, tx, pool, limit)
			if err != nil || allowed == 0 {
				return err
			}
			n, err = d.serveWaiting(ctx, tx, pool, currency, by, allowed, skip)
			if err != nil || n == 0 {
				return err
			}
			more = n == limit
			return notePace(ctx, tx, pool, n)
		})
		if err == nil {
			return n, more, errors.Join(failed...)
		}
		d.stock.Rewind(pool) // what was taken is for sale again
		bad, ok := errors.AsType[*unservedError](err)
		failed = append(failed, err)
		if !ok || len(skip) == maxSkipped || !d.answers(ctx) {
			return 0, false, errors.Join(failed...)
		}
		skip = append(skip, bad.fulfillmentID)
	}
}

// allowed says how many waiting lines may be served now: up to a second's worth of the pool's pace, of which pools
// keeps the time that is used up, so that any number of processes keep one pace. None while customers wait for the
// replacement of a recalled key: they come first. currency is the only one that the pool sells in, "" for any: it stays
// so until the transaction ends.
func (d *DB) allowed(ctx context.Context, tx *sqlx.Tx, pool string, limit int) (n int, currency string, err error) {
	var row struct {
		Spec  string  `db:"spec"`
		Spare float64 `db:"spare"` // seconds
		Owed  bool    `db:"owed"`
	}
	if err := tx.GetContext(ctx, &row, `
		SELECT spec, least(1, coalesce(extract(epoch FROM clock_timestamp() - serve_after), 1)) AS spare,
			`+stock.ReplacementsFirstSQL+`$1) AS owed
		FROM pools WHERE id = $1 FOR NO KEY UPDATE`, pool); err != nil {
		return 0, "", pg.NotFound(err, "there is no pool %s in the catalog", pool)
	}
	p, err := specFrom[keyturn.Pool](row.Spec)
	switch {
	case err != nil || row.Owed:
		return 0, "", err
	case p.ServePerSecond == 0:
		return limit, p.Currency, nil
	}
	return max(0, min(limit, int(row.Spare*float64(p.ServePerSecond)+0.001))), p.Currency, nil
}

// notePace books the time that serving n lines takes at the pool's pace.
func notePace(ctx context.Context, tx *sqlx.Tx, pool string, n int) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE pools SET serve_after = greatest(serve_after, clock_timestamp() - interval '1 second')
			+ make_interval(secs => CAST($2 AS float) / CAST(CAST(spec AS json) ->> 'servePerSecond' AS int))
		WHERE id = $1 AND CAST(spec AS json) ->> 'servePerSecond' IS NOT NULL`, pool, n)
	return err
}

// ServeWaiting gives keys to lines that wait for pools which have some: keys that came back, that the pace of their
// pool left for later, or that an import which died left unserved. Pools that were imported into within the grace are
// left to the import, which counts whom it serves, unless they have a pace. It returns how many lines it served.
func (d *DB) ServeWaiting(ctx context.Context, limit int, grace time.Duration) (int, error) {
	var pools []string
	if err := d.pg.SelectContext(ctx, &pools, `
		SELECT p.id FROM pools p
		-- A look for each pool, however many lines wait.
		WHERE (SELECT true FROM line_items w WHERE w.waiting_pool = p.id LIMIT 1)
			AND EXISTS (SELECT FROM pool_keys k WHERE k.pool_id = p.id AND k.state = 'available'`+stock.NotRecalledSQL+`)
			AND (CAST(p.spec AS json) ->> 'servePerSecond' IS NOT NULL
				OR NOT EXISTS (SELECT FROM batches b WHERE b.pool_id = p.id
					AND b.created_at > now() - make_interval(secs => $1)))`, grace.Seconds()); err != nil {
		return 0, pg.AsKind(err)
	}
	total := 0
	var failed []error
	for _, pool := range pools { // what is wrong with one holds up no other
		n, _, err := d.serveSome(ctx, pool, "stock", limit)
		total += n
		if err != nil {
			failed = append(failed, fmt.Errorf("pool %s: %w", pool, err))
		}
	}
	return total, errors.Join(failed...)
}

// serveWaiting gives keys to the lines that wait for a pool, first come, first served, until the keys or the lines run
// out or limit lines were served; lines to skip stay. It returns how many were served; the relay wakes their workflows.
// The error is an unservedError where it is a line's own.
func (d *DB) serveWaiting(ctx context.Context, tx *sqlx.Tx, pool, currency, by string, limit int, skip []string) (
	served int, err error,
) {
	var lines []struct {
		ID     string `db:"fulfillment_id"`
		Called bool   `db:"called"` // a partner was asked before
	}
	if err := tx.SelectContext(ctx, &lines, `
		SELECT l.fulfillment_id, EXISTS (SELECT FROM attempts a WHERE a.line_id = l.id) AS called
		FROM line_items l JOIN orders o ON o.id = l.order_id
		WHERE l.waiting_pool = $1 AND l.fulfillment_id <> ALL(CAST($3 AS uuid[])) AND $4 IN ('', o.currency)
		ORDER BY l.created_at, l.id LIMIT $2
		FOR UPDATE OF l`, pool, limit, pq.Array(skip), currency); err != nil {
		return 0, err
	}
	for _, x := range lines {
		got, err := d.serveLine(ctx, tx, x.ID, pool, by, x.Called)
		switch {
		case errors.Is(err, stock.ErrContended): // housekeeping serves it, soon
			return served, nil
		case err != nil:
			return 0, &unservedError{x.ID, err}
		case got == nil: // it waits no more
		case !*got:
			return served, nil
		default:
			served++
		}
	}
	return served, nil
}

// serveLine gives a waiting line its keys, if there are enough. It is nil if the line waits no more.
func (d *DB) serveLine(ctx context.Context, tx *sqlx.Tx, fulfillmentID, pool, by string, called bool) (got *bool,
	err error,
) {
	l, err := lockLine(ctx, tx, fulfillmentID)
	if err != nil || l.Status != keyturn.LineWaitingForStock || l.CancelReason != nil {
		return nil, err
	}
	if called {
		if _, err := leaveOtherSources(ctx, tx, l, keyturn.FromPool(pool).Name()); err != nil {
			return nil, err
		}
	}
	l.markObtained()
	l.WakeAt = &l.Now
	// Those that waited before it were served before.
	keys, err := d.takeKeys(ctx, tx, l, pool, time.Time{}, by, "served from new stock")
	return ptr(keys != nil), err
}
