package stock

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Pool gives a pool with its stock. The figures are maintained, so this costs the same for any number of keys.
func (s *Stock) Pool(ctx context.Context, id string) (keyturn.PoolView, error) {
	row, err := s.readPool(ctx, id)
	if err != nil {
		return keyturn.PoolView{}, err
	}
	v := keyturn.PoolView{Pool: row.pool, Batches: []keyturn.BatchView{}}
	if err := s.pg.GetContext(ctx, &v.Stock, `
		SELECT coalesce(sum(available), 0) AS available, coalesce(sum(claimed), 0) AS claimed,
			coalesce(sum(delivered), 0) AS delivered,
			coalesce(sum(quarantined), 0) AS quarantined, coalesce(sum(recalled), 0) AS recalled,
				coalesce(sum(expired), 0) AS expired,
			coalesce(sum(withdrawn), 0) AS withdrawn,
			(SELECT count(*) FROM line_items WHERE waiting_pool = $1) AS waiting
		FROM pool_stock WHERE pool_id = $1`, id); err != nil {
		return v, pg.AsKind(err)
	}
	if v.Forecast, err = s.forecast(ctx, id); err != nil {
		return v, err
	}
	return v, pg.AsKind(s.pg.SelectContext(ctx, &v.Batches, `
		SELECT id AS batch_id, accepted, rejected, created_by, created_at, undone_at, undone_by, recalled_at FROM batches
			WHERE pool_id = $1 ORDER BY created_at DESC, id LIMIT 100`, id))
}

// poolRow is a pool as the catalog has it.
type poolRow struct {
	Spec      string    `db:"spec"`
	DataKey   []byte    `db:"data_key"`
	UpdatedAt time.Time `db:"updated_at"`
	Now       time.Time `db:"now"`

	pool keyturn.Pool
}

func (s *Stock) readPool(ctx context.Context, id string) (row poolRow, err error) {
	if err := s.pg.GetContext(ctx, &row, `SELECT spec, data_key, updated_at, now() AS now FROM pools
		WHERE id = $1`, id); err != nil {
		return row, pg.NotFound(err, "there is no pool %s in the catalog", id)
	}
	return row, json.Unmarshal([]byte(row.Spec), &row.pool)
}

// ApplyValidity applies a changed minimal validity to the keys that are for sale. One that expired by the old one stays
// so.
func ApplyValidity(ctx context.Context, tx *sqlx.Tx, p keyturn.Pool) error {
	if err := pg.AllowSeqScans(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE pool_keys SET give_until = expires_at - make_interval(secs => $2)
		WHERE pool_id = $1 AND state = 'available' AND give_until IS NOT NULL
			AND give_until <> expires_at - make_interval(secs => $2)`,
		p.ID, time.Duration(p.MinValidity).Seconds())
	return err
}
