package stock

import (
	"context"
	"fmt"
	"time"

	"keyturn.dev/keyturn/pg"
)

// Claim is what a claim takes from a pool: keys for units of one line, all of them or none.
type Claim struct {
	Pool      string
	Line      string // its ID
	FirstUnit int
	Units     int
	CreatedAt time.Time // of the line: lines that have waited for the pool since before it come first
	Replaces  bool      // the keys take the place of recalled ones: all others come after those
}

// ReplacementsFirstSQL says whether customers wait for other keys of a pool instead of recalled ones: nobody else gets
// any before them, however it comes about that they ask. One who has not got the first key yet, or to whom giving
// another one fails, holds up nobody. The pool follows.
const ReplacementsFirstSQL = `EXISTS (SELECT FROM replacements r JOIN line_items d ON d.id = r.line_id
	WHERE r.status = 'OWED' AND r.failed_at IS NULL AND d.status = 'DELIVERED' AND r.pool_id = `

// AppendTake appends that keys are taken of the pool, searched from a position on, unless a line that was created
// earlier waits for the pool, or a customer for the replacement of a recalled key. It follows an expression `claimant`,
// whose row is the permission to take any, and gives the keys as the rows of `taken`.
//
// MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once: it would lock more rows than it
// returns. The keys go on as an array, of which PostgreSQL expects few elements: of a sub-select with an unknown
// limit it expects a tenth of the pool, and reads all sold keys to join it. The update finds a key by its ID, not by
// its position, because a row may have moved since the statement began, nor by its state, for which PostgreSQL would
// read all keys for sale.
func (c Claim) AppendTake(w *pg.StmtBuilder, from int64) {
	first, args := "", []any{c.Pool, from, c.Pool, c.CreatedAt, c.Line}
	if !c.Replaces {
		first, args = `
				AND NOT `+ReplacementsFirstSQL+`?)`, append(args, c.Pool)
	}
	w.WithMaterialized("free", `
		SELECT ARRAY(
			SELECT id FROM pool_keys
			WHERE pool_id = ? AND state = 'available' AND position >= ?
				AND (give_until IS NULL OR give_until > now())`+NotRecalledSQL+`
				AND EXISTS (SELECT FROM claimant)
				AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = ? AND (created_at, id) < (?, ?))`+first+`
			ORDER BY position
			LIMIT ?
			FOR UPDATE SKIP LOCKED) AS ids`, append(args, c.Units)...)
	w.With("taken", `
		UPDATE pool_keys k SET state = 'claimed', changed_at = now(),
			line_id = ?, unit_no = ? - 1 + array_position((SELECT ids FROM free), k.id)
		WHERE k.id = ANY (CAST((SELECT ids FROM free WHERE cardinality(ids) = ?) AS bigint[])) AND k.line_id IS NULL
		RETURNING k.id, k.pool_id, k.position, k.unit_no, k.content, k.fingerprint`,
		c.Line, c.FirstUnit, c.Units)
	w.With("stock", takenFiguresSQL, c.Pool, c.Units, c.Units, c.Units)
}

var takenFiguresSQL = AddSQL(`?`, `WHERE EXISTS (SELECT FROM taken)`,
	Figure{"available", `0 - CAST(? AS bigint)`}, Figure{"claimed", `?`}, Figure{"taken", `?`})

// takenSQL returns the keys that a statement took, in the order of their units.
const takenSQL = `
	SELECT pool_id, (SELECT data_key FROM pools WHERE id = ?) AS data_key, id AS key_id, position, content, fingerprint
	FROM taken ORDER BY unit_no`

// Take takes keys in the order of the queue, all that are claimed or none. The caller holds the lock on the line. A
// claim that took keys in a transaction which is then undone calls Rewind.
func (s *Stock) Take(ctx context.Context, q pg.Queryer, c Claim) ([]SealedKey, error) {
	return s.TakeBy(ctx, q, c, func(w *pg.StmtBuilder, from int64) error {
		w.With("claimant", `SELECT`)
		c.AppendTake(w, from)
		return nil
	})
}

// TakeBy runs the statement that build makes of an expression `claimant`, c.AppendTake and what the caller adds: from
// the pool's cursor on, and once more from the start of the queue if it found too few keys. No keys: nothing was taken.
func (s *Stock) TakeBy(
	ctx context.Context, q pg.Queryer, c Claim, build func(w *pg.StmtBuilder, from int64) error,
) ([]SealedKey, error) {
	from := s.cursors.advance(c.Pool, c.Units)
	taken, err := s.searchFrom(ctx, q, c, from, build)
	if err != nil || len(taken) > 0 || from == startOfQueue {
		return taken, err
	}
	return s.searchFrom(ctx, q, c, startOfQueue, build)
}

// searchFrom runs the statement from a position on, and keeps the pool's cursor.
func (s *Stock) searchFrom(
	ctx context.Context, q pg.Queryer, c Claim, from int64, build func(w *pg.StmtBuilder, from int64) error,
) (taken []SealedKey, err error) {
	start := time.Now()
	var w pg.StmtBuilder
	if err = build(&w, from); err == nil {
		err = w.Select(ctx, q, &taken, takenSQL, c.Pool)
	}
	if err != nil || len(taken) == 0 {
		s.cursors.rewind(c.Pool)
		return nil, err
	}
	last := from
	for _, k := range taken {
		last = max(last, k.Position)
	}
	s.cursors.found(c.Pool, from, last, time.Since(start))
	return taken, nil
}

// Rewind makes the next claim of a pool search from the start of the queue: keys came back.
func (s *Stock) Rewind(pool string) { s.cursors.rewind(pool) }

// Contended says why a pool gave nothing to a claim of n keys: nil if it has too few, ErrContended if it has them.
// SKIP LOCKED passes over keys that a transaction holds and may yet return; only a plain count proves that the pool
// is empty.
func Contended(ctx context.Context, q pg.Queryer, pool string, n int) error {
	have, err := Left(ctx, q, pool, n)
	if err == nil && have >= n {
		return ErrContended
	}
	return err
}

// Left counts the keys that a pool can give now, up to n.
func Left(ctx context.Context, q pg.Queryer, pool string, n int) (int, error) {
	var have []int
	err := q.SelectContext(ctx, &have, `
		SELECT count(*) FROM (
			SELECT FROM pool_keys WHERE pool_id = $1 AND state = 'available'
				AND (give_until IS NULL OR give_until > now())`+NotRecalledSQL+`
			ORDER BY position LIMIT $2) AS for_sale`, pool, n)
	if err != nil {
		return 0, err
	}
	return have[0], nil
}

// ErrContended: the pool has the keys, and other transactions hold them and may return them. It undoes a transaction on
// purpose.
var ErrContended = fmt.Errorf("other transactions hold the pool's last keys: %w", pg.ErrRollback)
