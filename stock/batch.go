package stock

import (
	"context"
	"database/sql"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// batchRow is one import, locked.
type batchRow struct {
	ID         string         `db:"id"`
	PoolID     string         `db:"pool_id"`
	Accepted   int            `db:"accepted"`
	FirstKey   sql.NullInt64  `db:"first_key"`
	LastKey    sql.NullInt64  `db:"last_key"`
	UndoneAt   *time.Time     `db:"undone_at"`
	RecalledAt *time.Time     `db:"recalled_at"`
	Recall     sql.NullString `db:"recall"`
	Replace    bool           `db:"replace_sold"`
	RecalledTo sql.NullInt64  `db:"recalled_to"`
}

// lockBatch takes the row lock under which a batch is undone or recalled.
func lockBatch(ctx context.Context, tx *sqlx.Tx, pool, batch string) (batchRow, error) {
	var b batchRow
	if !isID(batch) {
		return b, keyturn.Errorf(keyturn.KindNotFound, "pool %s has no batch of this ID", pool)
	}
	if err := tx.GetContext(ctx, &b, `
		SELECT id, pool_id, accepted, first_key, last_key, undone_at, recalled_at, recall, replace_sold, recalled_to
		FROM batches WHERE id = $1 AND pool_id = $2 FOR UPDATE`, batch, pool); err != nil {
		return b, pg.NotFound(err, "pool %s has no batch of this ID", pool)
	}
	if b.FirstKey.Valid && b.LastKey.Valid {
		return b, nil
	}
	// Imports of the first version did not note where their keys are.
	row := tx.QueryRowxContext(ctx, `
		SELECT coalesce(min(id), 0) - 1, coalesce(max(id), 0) FROM pool_keys WHERE batch_id = $1`, b.ID)
	return b, row.Scan(&b.FirstKey, &b.LastKey)
}

// undoSQL withdraws the keys of a batch. A key that is being sold is waited for, and stays.
const undoSQL = `
	UPDATE pool_keys SET state = 'withdrawn', changed_at = now()
	WHERE id > $1 AND id <= $2 AND batch_id = $3 AND state = 'available'`

var undoneSQL = AddSQL(`$1`, ``, Figure{"available", `0 - CAST($2 AS bigint)`},
	Figure{"withdrawn", `CAST($2 AS bigint)`})

// UndoBatch takes an import back of which nothing was assigned: its keys are withdrawn, and the same file may be
// imported again. The batch says who did it and when, for all its keys: a million log entries would say no more.
// Idempotent. KindNotFound; KindConflict once a key of it was sold or put aside: it can be recalled.
func (s *Stock) UndoBatch(ctx context.Context, pool, batch, by string) error {
	return s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		b, err := lockBatch(ctx, tx, pool, batch)
		if err != nil || b.UndoneAt != nil {
			return err
		}
		if err := pg.AllowSeqScans(ctx, tx); err != nil {
			return err
		}
		gone, err := b.count(ctx, tx, `state NOT IN ('available', 'expired')`)
		if err != nil {
			return err
		}
		if gone > 0 { // a refusal must not cost the withdrawal of millions
			return notUndone(gone)
		}
		res, err := tx.ExecContext(ctx, undoSQL, b.FirstKey.Int64, b.LastKey.Int64, b.ID)
		if err != nil {
			return err
		}
		withdrawn, err := res.RowsAffected()
		if err != nil {
			return err
		}
		expired, err := b.count(ctx, tx, `state = 'expired'`)
		if err != nil {
			return err
		}
		if gone := b.Accepted - int(withdrawn) - expired; gone > 0 {
			return notUndone(gone)
		}
		if _, err := tx.ExecContext(ctx, undoneSQL, b.PoolID, withdrawn); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE batches SET undone_at = now(), undone_by = $2 WHERE id = $1`, b.ID, by)
		return err
	})
}

// count counts the keys of the batch that meet a condition.
func (b batchRow) count(ctx context.Context, tx *sqlx.Tx, condition string) (n int, err error) {
	err = tx.GetContext(ctx, &n, `
		SELECT count(*) FROM pool_keys WHERE id > $1 AND id <= $2 AND batch_id = $3 AND `+condition,
		b.FirstKey.Int64, b.LastKey.Int64, b.ID)
	return n, err
}

func notUndone(keys int) error {
	return keyturn.Errorf(keyturn.KindConflict,
		"keys of this batch were sold or put aside (%d), so it cannot be undone: recall it instead", keys)
}

// Batch shows one import and how far its recall is.
func (s *Stock) Batch(ctx context.Context, pool, batch string) (keyturn.BatchDetail, error) {
	var out keyturn.BatchDetail
	if !isID(batch) {
		return out, keyturn.Errorf(keyturn.KindNotFound, "pool %s has no batch of this ID", pool)
	}
	var row struct {
		keyturn.BatchView
		Recall     sql.NullString `db:"recall"`
		Replace    bool           `db:"replace_sold"`
		Percent    int            `db:"percent"`
		RecalledTo sql.NullInt64  `db:"recalled_to"`
	}
	if err := s.pg.GetContext(ctx, &row, `
		SELECT id AS batch_id, accepted, rejected, created_by, created_at, undone_at, undone_by, recalled_at, recall,
			replace_sold, recalled_to,
			CASE WHEN recalled_to < last_key THEN 100 * (recalled_to - first_key) / (last_key - first_key)
				ELSE 100 END AS percent
		FROM batches WHERE id = $1 AND pool_id = $2`, batch, pool); err != nil {
		return out, pg.NotFound(err, "pool %s has no batch of this ID", pool)
	}
	out.BatchView = row.BatchView
	if row.RecalledAt == nil {
		return out, nil
	}
	out.Recall = &keyturn.RecallView{
		Reason: row.Recall.String, Replace: row.Replace, Complete: !row.RecalledTo.Valid,
		Percent: row.Percent, Keys: []keyturn.RecalledKey{},
	}
	if err := s.pg.GetContext(ctx, out.Recall, `
		SELECT count(*) AS sold, count(*) FILTER (WHERE status = 'OWED') AS owed,
			count(*) FILTER (WHERE status = 'DONE') AS replaced, count(*) FILTER (WHERE status = 'VOID') AS void
		FROM replacements WHERE batch_id = $1`, batch); err != nil {
		return out, pg.AsKind(err)
	}
	return out, pg.AsKind(s.pg.SelectContext(ctx, &out.Recall.Keys, `
		SELECT l.order_id, l.fulfillment_id, r.unit_no AS unit, r.status, r.done_at
		FROM replacements r JOIN line_items l ON l.id = r.line_id
		WHERE r.batch_id = $1 ORDER BY r.key_id LIMIT $2`, batch, maxListed))
}
