package db

import (
	"context"
	"fmt"
	"slices"
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

// args are the arguments $1 to $6 of takeKeysSQL.
func (c keyClaim) args(from int64) []any {
	return []any{c.pool, from, c.line, c.firstUnit, c.units, c.createdAt}
}

// takeKeysSQL takes keys of the pool $1, searched from position $2 on, for the line $3: $5 keys for its units from $4
// on, unless a line that was created before $6 waits for the pool. It follows an expression `claimant`, whose row is
// the permission to take any.
//
// MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once: it would lock more rows than it
// returns. The keys go on as an array, of which PostgreSQL expects few elements: of a sub-select with an unknown
// limit it expects a tenth of the pool, and reads all sold keys to join it. The update finds a key by its ID, not by
// its position, because a row may have moved since the statement began, nor by its state, for which PostgreSQL would
// read all keys for sale.
const takeKeysSQL = `
	free AS MATERIALIZED (
		SELECT ARRAY(
			SELECT id FROM pool_keys
			WHERE pool_id = $1 AND state = 'available' AND position >= $2
				AND (give_until IS NULL OR give_until > now())` + notRecalledSQL + `
				AND EXISTS (SELECT FROM claimant)
				AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1 AND (created_at, id) < ($6, $3))
			ORDER BY position
			LIMIT $5
			FOR UPDATE SKIP LOCKED) AS ids
	), taken AS (
		UPDATE pool_keys k SET state = 'claimed', changed_at = now(),
			line_id = $3, unit_no = $4 - 1 + array_position((SELECT ids FROM free), k.id)
		WHERE k.id = ANY (CAST((SELECT ids FROM free WHERE cardinality(ids) = $5) AS bigint[])) AND k.line_id IS NULL
		RETURNING k.id, k.pool_id, k.position, k.unit_no, k.content, k.fingerprint
	), stock AS (
		INSERT INTO pool_stock AS s (pool_id, slot, available, claimed, taken)
		SELECT $1, ` + stockSlot + `, 0 - $5, $5, $5 WHERE EXISTS (SELECT FROM taken)
		ON CONFLICT (pool_id, slot) DO UPDATE SET available = s.available + excluded.available,
			claimed = s.claimed + excluded.claimed, taken = s.taken + excluded.taken
	)`

// takenSQL returns the keys that a statement took, in the order of their units.
const takenSQL = `
	SELECT pool_id, (SELECT data_key FROM pools WHERE id = $1) AS data_key, id AS key_id, position, content, fingerprint
	FROM taken ORDER BY unit_no`

// claimLockedSQL takes keys for a line that the transaction has locked.
const claimLockedSQL = `WITH claimant AS (SELECT), ` + takeKeysSQL + takenSQL

// claimFastSQL takes keys for a line of which no lock is held, and books the line, if it is still in version $7. The
// line's row is locked before any key. A row that somebody else has locked counts as changed.
const claimFastSQL = `
	WITH claimant AS (
		SELECT id FROM line_items WHERE id = $3 AND version = $7 FOR UPDATE SKIP LOCKED
	), ` + takeKeysSQL + `, moved AS (
		UPDATE line_items SET status = 'OBTAINED', version = version + 1, source_no = $8, attempts = 0, failures = 0,
			obtained_at = $9, give_up_at = $10, wake_at = nullif(wake_at, $11)
		WHERE id = $3 AND version = $7 AND EXISTS (SELECT FROM taken)
		RETURNING id, version
	), logged AS (
		INSERT INTO line_log (line_id, version, from_status, to_status, by, reason)
		SELECT id, version, 'PENDING', 'OBTAINED', $12, '' FROM moved
	)` + takenSQL

// take takes keys in the order of the queue, all that are claimed or none. The caller holds the lock on the line.
func (d *DB) take(ctx context.Context, s pg.Queryer, c keyClaim) ([]pooledKey, error) {
	from := d.cursors.advance(c.pool, c.units)
	taken, err := d.search(ctx, s, c, from, claimLockedSQL)
	if err != nil || len(taken) > 0 || from == startOfQueue {
		return taken, err
	}
	return d.search(ctx, s, c, startOfQueue, claimLockedSQL)
}

// takeAndBook takes the keys of a line that nothing has happened to, and books it as obtained, in one statement. No
// keys: nothing has changed. An error means that the outcome is unknown. In both cases the caller asks again under
// the line's lock.
func (d *DB) takeAndBook(ctx context.Context, l *line) ([]pooledKey, error) {
	c := keyClaim{pool: l.source().Pool, line: l.ID, units: l.units(), createdAt: l.CreatedAt}
	from := d.cursors.advance(c.pool, c.units)
	return d.search(ctx, d.pg.Implicit(), c, from, claimFastSQL,
		l.Version, l.SourceNo, l.ObtainedAt, l.GiveUpAt, l.savedWakeAt, byWorkflow)
}

// search runs a statement that takes keys from a position on, and keeps the pool's cursor.
func (d *DB) search(
	ctx context.Context, s pg.Queryer, c keyClaim, from int64, query string, args ...any,
) (taken []pooledKey, err error) {
	start := time.Now()
	if err := s.SelectContext(ctx, &taken, query, slices.Concat(c.args(from), args)...); err != nil || len(taken) == 0 {
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
