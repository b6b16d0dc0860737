package db

import (
	"context"
	"fmt"
	"time"

	"keyturn.dev/keyturn/pg"
)

// keyClaim is what a claim takes from a pool: keys for units of one line, all of them or none.
type keyClaim struct {
	pool      string
	line      string
	firstUnit int
	units     int
	createdAt time.Time // of the line: lines that have waited for the pool since before it come first
}

// appendTake appends that keys are taken of the pool, searched from a position on, unless a line that was created
// earlier waits for the pool. It follows an expression `claimant`, whose row is the permission to take any, and gives
// the keys as the rows of `taken`.
//
// MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once: it would lock more rows than it
// returns. The keys go on as an array, of which PostgreSQL expects few elements: of a sub-select with an unknown
// limit it expects a tenth of the pool, and reads all sold keys to join it. The update finds a key by its ID, not by
// its position, because a row may have moved since the statement began, nor by its state, for which PostgreSQL would
// read all keys for sale.
func (c keyClaim) appendTake(w *pg.StmtBuilder, from int64) {
	w.WithMaterialized("free", `
		SELECT ARRAY(
			SELECT id FROM pool_keys
			WHERE pool_id = ? AND state = 'available' AND position >= ?
				AND (give_until IS NULL OR give_until > now())`+notRecalledSQL+`
				AND EXISTS (SELECT FROM claimant)
				AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = ? AND (created_at, id) < (?, ?))
			ORDER BY position
			LIMIT ?
			FOR UPDATE SKIP LOCKED) AS ids`,
		c.pool, from, c.pool, c.createdAt, c.line, c.units)
	w.With("taken", `
		UPDATE pool_keys k SET state = 'claimed', changed_at = now(),
			line_id = ?, unit_no = ? - 1 + array_position((SELECT ids FROM free), k.id)
		WHERE k.id = ANY (CAST((SELECT ids FROM free WHERE cardinality(ids) = ?) AS bigint[])) AND k.line_id IS NULL
		RETURNING k.id, k.pool_id, k.position, k.unit_no, k.content, k.fingerprint`,
		c.line, c.firstUnit, c.units)
	w.With("stock", `
		INSERT INTO pool_stock AS s (pool_id, slot, available, claimed, taken)
		SELECT ?, `+stockSlot+`, 0 - CAST(? AS bigint), ?, ? WHERE EXISTS (SELECT FROM taken)
		ON CONFLICT (pool_id, slot) DO UPDATE SET available = s.available + excluded.available,
			claimed = s.claimed + excluded.claimed, taken = s.taken + excluded.taken`,
		c.pool, c.units, c.units, c.units)
}

// takenSQL returns the keys that a statement took, in the order of their units.
const takenSQL = `
	SELECT pool_id, (SELECT data_key FROM pools WHERE id = ?) AS data_key, id AS key_id, position, content, fingerprint
	FROM taken ORDER BY unit_no`

// take takes keys in the order of the queue, all that are claimed or none. The caller holds the lock on the line.
func (d *DB) take(ctx context.Context, q pg.Queryer, c keyClaim) ([]pooledKey, error) {
	return d.search(ctx, q, c, func(w *pg.StmtBuilder, from int64) error {
		w.With("claimant", `SELECT`)
		c.appendTake(w, from)
		return nil
	})
}

// search runs the statement that build makes from the pool's cursor on, and once more from the start of the queue if
// it found too few keys. No keys: nothing was taken.
func (d *DB) search(
	ctx context.Context, q pg.Queryer, c keyClaim, build func(w *pg.StmtBuilder, from int64) error,
) ([]pooledKey, error) {
	from := d.cursors.advance(c.pool, c.units)
	taken, err := d.searchFrom(ctx, q, c, from, build)
	if err != nil || len(taken) > 0 || from == startOfQueue {
		return taken, err
	}
	return d.searchFrom(ctx, q, c, startOfQueue, build)
}

// searchFrom runs the statement from a position on, and keeps the pool's cursor.
func (d *DB) searchFrom(
	ctx context.Context, q pg.Queryer, c keyClaim, from int64, build func(w *pg.StmtBuilder, from int64) error,
) (taken []pooledKey, err error) {
	start := time.Now()
	var w pg.StmtBuilder
	if err = build(&w, from); err == nil {
		err = w.Select(ctx, q, &taken, takenSQL, c.pool)
	}
	if err != nil || len(taken) == 0 {
		d.cursors.rewind(c.pool)
		return nil, err
	}
	last := from
	for _, k := range taken {
		last = max(last, k.Position)
	}
	d.cursors.found(c.pool, from, last, time.Since(start))
	return taken, nil
}

// contendedFor says why a pool gave nothing to a claim of n keys: nil if it has too few, errContended if it has them.
// SKIP LOCKED passes over keys that a transaction holds and may yet return; only a plain count proves that the pool
// is empty.
func contendedFor(ctx context.Context, s pg.Queryer, pool string, n int) error {
	have, err := stockFor(ctx, s, pool, n)
	if err == nil && have >= n {
		return errContended
	}
	return err
}

// stockFor counts the keys that a pool can give now, up to n.
func stockFor(ctx context.Context, s pg.Queryer, pool string, n int) (int, error) {
	var have []int
	err := s.SelectContext(ctx, &have, `
		SELECT count(*) FROM (
			SELECT FROM pool_keys WHERE pool_id = $1 AND state = 'available'
				AND (give_until IS NULL OR give_until > now())`+notRecalledSQL+`
			ORDER BY position LIMIT $2) AS for_sale`, pool, n)
	if err != nil {
		return 0, err
	}
	return have[0], nil
}

// errContended: the pool has the keys, and other transactions hold them and may return them. It undoes a transaction on
// purpose.
var errContended = fmt.Errorf("other transactions hold the pool's last keys: %w", pg.ErrRollback)
