package stock

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Key finds a pool's key by its text and tells its life. KindNotFound.
func (s *Stock) Key(ctx context.Context, pool, key string) (keyturn.KeyView, error) {
	var v keyturn.KeyView
	err := s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := findKey(ctx, tx, pool, s.keys.Fingerprint(key))
		if err != nil {
			return err
		}
		v = keyturn.KeyView{
			PoolID: pool, BatchID: row.BatchID, State: row.State, ExpiresAt: utc(row.ExpiresAt),
			History: []keyturn.KeyStep{},
		}
		return tx.SelectContext(ctx, &v.History, `
			SELECT '' AS "from", 'available' AS "to", b.created_by AS by, 'imported' AS reason, b.created_at AS at,
				'' AS fulfillment_id, '' AS order_id
			FROM batches b WHERE b.id = $2
			UNION ALL
			SELECT from_state, to_state, s.by, s.reason, s.at, coalesce(CAST(l.fulfillment_id AS text), ''),
				coalesce(l.order_id, '') FROM (
				SELECT g.from_state, g.to_state, g.by, g.reason, g.at, g.line_id FROM key_log g WHERE g.key_id = $1
				UNION ALL
				SELECT 'available', 'claimed', 'workflow', 'sold', l.obtained_at, l.id FROM line_items l
				WHERE l.obtained_at IS NOT NULL AND l.id IN (SELECT line_id FROM key_log WHERE key_id = $1 UNION ALL SELECT line_id
					FROM pool_keys WHERE id = $1)
					AND NOT EXISTS (SELECT FROM replacements r WHERE r.new_key_id = $1)
				UNION ALL
				SELECT 'available', 'claimed', r.by, 'replaces another key', r.done_at, r.line_id FROM replacements r
					WHERE r.new_key_id = $1
				UNION ALL
				SELECT 'claimed', 'delivered', 'workflow', 'e-mailed', greatest(l.delivered_at, y.sent_at), k.line_id
				FROM pool_keys k JOIN line_items l ON l.id = k.line_id LEFT JOIN replacements r ON r.new_key_id = k.id LEFT
					JOIN deliveries y ON y.id = r.delivery_id
				WHERE k.id = $1 AND l.delivered_at IS NOT NULL AND (r.key_id IS NULL OR y.sent_at IS NOT NULL)
			) s LEFT JOIN line_items l ON l.id = s.line_id
			ORDER BY at`, row.ID, row.BatchID)
	})
	return v, err
}

// QuarantineKey puts an unsold key aside for ever. Idempotent. KindNotFound; KindConflict when it was sold: it is to be
// replaced then.
func (s *Stock) QuarantineKey(ctx context.Context, pool, key, reason, by string) error {
	return s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := findKey(ctx, tx, pool, s.keys.Fingerprint(key))
		switch {
		case err != nil || row.State == keyturn.KeyQuarantined:
			return err
		case row.State != keyturn.KeyAvailable:
			return keyturn.Errorf(keyturn.KindConflict,
				"the key is %s: only one that is for sale can be put aside; a sold one is replaced", row.State)
		}
		_, err = tx.ExecContext(ctx, quarantineSQL, by, reason, row.ID)
		return err
	})
}

var quarantineSQL = `
	WITH moved AS (
		UPDATE pool_keys SET state = 'quarantined', changed_at = now() WHERE id = $3 AND state = 'available'
		RETURNING id, pool_id, 'available' AS was, state AS became, line_id, unit_no
	)` + BookMovedSQL + ` SELECT count(*) FROM moved`

// Holder says whose a sold key is: the fulfillment and the unit. KindNotFound; KindConflict when the key is nobody's:
// it can be put aside.
func (s *Stock) Holder(ctx context.Context, pool, key string) (fulfillmentID string, unit int, err error) {
	var row keyRowAt
	err = s.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
		row, err = findKey(ctx, tx, pool, s.keys.Fingerprint(key))
		return err
	})
	if err != nil {
		return "", 0, err
	}
	if row.FulfillmentID == nil || row.State != keyturn.KeyClaimed && row.State != keyturn.KeyDelivered {
		return "", 0, keyturn.Errorf(keyturn.KindConflict, "the key is %s: only a sold one can be replaced", row.State)
	}
	return *row.FulfillmentID, *row.UnitNo, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// keyRowAt is where a key stands.
type keyRowAt struct {
	ID            int64            `db:"id"`
	BatchID       string           `db:"batch_id"`
	State         keyturn.KeyState `db:"state"`
	UnitNo        *int             `db:"unit_no"`
	FulfillmentID *string          `db:"fulfillment_id"`
	ExpiresAt     *time.Time       `db:"expires_at"`
}

// findKey finds and locks a key. One that was withdrawn is found if it was imported again.
func findKey(ctx context.Context, tx *sqlx.Tx, pool string, fingerprint []byte) (keyRowAt, error) {
	var row keyRowAt
	err := tx.GetContext(ctx, &row, `
		SELECT k.id, k.batch_id, k.state, k.unit_no, l.fulfillment_id, k.expires_at
		FROM pool_keys k LEFT JOIN line_items l ON l.id = k.line_id
		WHERE k.fingerprint = $1 AND k.state <> 'withdrawn' AND k.pool_id = $2 FOR UPDATE OF k`, fingerprint, pool)
	if errors.Is(err, sql.ErrNoRows) {
		return row, keyturn.Errorf(keyturn.KindNotFound, "pool %s has no such key", pool)
	}
	return row, err
}
