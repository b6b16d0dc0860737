package stock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

const (
	recallStep   = 20_000           // keys of a recalled batch that are dealt with in one transaction
	recallAtOnce = 10 * time.Second // after which a recall goes on without its caller
	recallRound  = 2 * time.Second  // of housekeeping, which has other things to do
)

// Recall takes a batch back: its unsold keys go into quarantine, its sold ones are listed, and with replace their
// customers are owed other keys, which ReplaceOwed gives them. It returns when all keys are dealt with, or after some
// seconds; what is left then, or after it broke off, is done by the next call or by housekeeping. Idempotent; replace
// may be asked for later. KindNotFound; KindConflict when the batch was undone.
func (s *Stock) Recall(ctx context.Context, pool, batch, reason string, replace bool, by string) error {
	err := s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		b, err := lockBatch(ctx, tx, pool, batch)
		switch {
		case err != nil:
			return err
		case b.UndoneAt != nil:
			return keyturn.Errorf(keyturn.KindConflict, "the batch was undone: it has no keys to recall")
		case b.RecalledAt == nil:
			_, err = tx.ExecContext(ctx, `
				UPDATE batches SET recalled_at = now(), recall = $2, replace_sold = $3, recalled_to = $4, first_key = $4,
					last_key = $5 WHERE id = $1`,
				b.ID, reason, replace, b.FirstKey.Int64, b.LastKey.Int64)
			return err
		case replace && !b.Replace:
			_, err = tx.ExecContext(ctx, `
				WITH owed AS (UPDATE replacements SET status = 'OWED' WHERE batch_id = $1 AND status = 'LISTED')
				UPDATE batches SET replace_sold = true WHERE id = $1`, b.ID)
		}
		return err
	})
	if err == nil {
		err = s.recallFor(ctx, recallAtOnce, pool, batch, by)
	}
	return err
}

// NotRecalledSQL is the condition on a key that its batch is not being recalled. Such a key is for sale until the
// recall comes to it, and must be given to nobody any more: a replacement would be one of the keys that leaked. It is a
// CASE because PostgreSQL does not guess how many rows one leaves: of batch_id <> ALL it expects none in a pool of one
// batch, and a claim would read and sort all keys.
const NotRecalledSQL = ` AND CASE WHEN batch_id = ANY (ARRAY(SELECT id FROM batches
	WHERE recalled_to IS NOT NULL)) THEN false ELSE true END`

// recallFor deals with the keys of a recalled batch, a step at a time, until none are left or the time is up.
func (s *Stock) recallFor(ctx context.Context, limit time.Duration, pool, batch, by string) error {
	for end := time.Now().Add(limit); ; {
		more, err := s.recallSome(ctx, pool, batch, by)
		if err != nil || !more || time.Now().After(end) {
			return err
		}
	}
}

// FinishRecalls goes on for a while with recalls that broke off or take long, and says how many there are. They take
// turns, so that one that fails or takes its time keeps none from its end.
func (s *Stock) FinishRecalls(ctx context.Context) (int, error) {
	var open []struct {
		ID   string `db:"id"`
		Pool string `db:"pool_id"`
	}
	if err := s.pg.SelectContext(ctx, &open, `
		SELECT id, pool_id FROM batches WHERE recalled_to IS NOT NULL AND recalled_at < now() - interval '10 seconds'
			ORDER BY random() LIMIT 10`); err != nil {
		return 0, pg.AsKind(err)
	}
	var failed []error
	for _, b := range open {
		if err := s.recallFor(ctx, recallRound, b.Pool, b.ID, byHousekeeping); err != nil {
			failed = append(failed, fmt.Errorf("batch %s of pool %s: %w", b.ID, b.Pool, err))
		}
	}
	return len(open), errors.Join(failed...)
}

// RetiredSQL says whether an upgrade has made the keys of the line l its licence's no more. Nobody is given others
// instead.
const RetiredSQL = `EXISTS (SELECT FROM license_steps s WHERE s.license_id = coalesce(l.license_id, l.fulfillment_id)
	AND s.operation = 'upgrade'
	AND s.withdrawn_at IS NULL AND s.no > coalesce((SELECT o.no FROM license_steps o WHERE o.line_id = l.id), 0))`

// recallSQL deals with the next keys of a batch. A key that is being claimed is waited for: it is sold then.
var recallSQL = `
	WITH old AS MATERIALIZED (
		SELECT id, pool_id, batch_id, state, line_id, unit_no FROM pool_keys
		WHERE id > $3 AND id <= $4 AND batch_id = $5 AND state IN ('available', 'claimed', 'delivered') FOR UPDATE
	), moved AS (
		UPDATE pool_keys k SET state = 'quarantined', changed_at = now() FROM old WHERE k.id = old.id
			AND old.state = 'available'
		RETURNING k.id, k.pool_id, old.state AS was, k.state AS became, k.line_id, k.unit_no
	), sold AS (
		INSERT INTO replacements (key_id, batch_id, pool_id, line_id, unit_no, status, done_at, reason, by)
		SELECT k.id, k.batch_id, k.pool_id, k.line_id, k.unit_no, CASE WHEN k.retired OR k.erased THEN 'VOID'
			WHEN CAST($6 AS boolean) THEN 'OWED' ELSE 'LISTED' END,
			CASE WHEN k.retired OR k.erased THEN now() END, CASE WHEN k.erased THEN '[erased]' ELSE CAST($2 AS text) END,
			CAST($1 AS text)
		FROM (SELECT old.*, ` + RetiredSQL + ` AS retired, o.customer = '' AS erased
			FROM old JOIN line_items l ON l.id = old.line_id JOIN orders o ON o.id = l.order_id
			WHERE old.state <> 'available') k
		ON CONFLICT (key_id) DO NOTHING
	)` + BookMovedSQL + `
	UPDATE batches SET recalled_to = CASE WHEN $4 < last_key THEN CAST($4 AS bigint) END WHERE id = $5`

// recallSome deals with the next keys of a recalled batch and says whether there are more.
func (s *Stock) recallSome(ctx context.Context, pool, batch, by string) (more bool, err error) {
	err = s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		b, err := lockBatch(ctx, tx, pool, batch)
		if err != nil || !b.RecalledTo.Valid {
			more = false
			return err
		}
		to := min(b.RecalledTo.Int64+recallStep, b.LastKey.Int64)
		more = to < b.LastKey.Int64
		_, err = tx.ExecContext(ctx, recallSQL, by, b.Recall.String, b.RecalledTo.Int64, to, b.ID, b.Replace)
		return err
	})
	return more && err == nil, err
}
