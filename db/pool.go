package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PutPool stores a checked pool; a new one gets its data key.
func (d *DB) PutPool(ctx context.Context, p keyturn.Pool) (created, changed bool, err error) {
	spec, err := json.Marshal(p)
	if err != nil {
		return false, false, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, wrapped, err := d.keys.NewDataKey("pool/" + p.ID)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO pools (id, spec, data_key) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, version = pools.version + 1, updated_at = now() WHERE pools.spec <> excluded.spec`,
			p.ID, string(spec), wrapped)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed = n == 1
		if err != nil || !changed {
			return err
		}
		if err := noteCurrencies(ctx, tx, "", p.ID); err != nil {
			return err
		}
		if err := noteValidity(ctx, tx, p); err != nil {
			return err
		}
		// A worker of an older build, beside this one during a deploy, books on rows that it expects to be there.
		if _, err := tx.ExecContext(ctx, `INSERT INTO pool_stock (pool_id, slot) SELECT $1, slot FROM generate_series(0, $2 - 1) AS slot ON CONFLICT DO NOTHING`, p.ID, olderSlots); err != nil {
			return err
		}
		return tx.GetContext(ctx, &created, `SELECT version = 1 FROM pools WHERE id = $1`, p.ID)
	})
	return created, changed, err
}

// olderSlots are the rows of stock figures that builds knew before a row was each backend's own (stockSlot).
const olderSlots = 16

// Pools gives all pools by ID.
func (d *DB) Pools(ctx context.Context) ([]keyturn.Pool, error) {
	return specsOf[keyturn.Pool](ctx, d.pg, "pools")
}

// DeletePool removes a pool that no product uses and that never had a key.
func (d *DB) DeletePool(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "pools", id); err != nil {
			return err
		}
		if err := usedBy(ctx, tx, "pool", id); err != nil {
			return err
		}
		var hasKeys bool
		if err := tx.GetContext(ctx, &hasKeys, `SELECT EXISTS (SELECT FROM batches WHERE pool_id = $1)`, id); err != nil {
			return err
		}
		if hasKeys {
			return keyturn.Errorf(keyturn.KindConflict, "pool %s has keys: their history is kept", id)
		}
		return deleted(tx.ExecContext(ctx, `DELETE FROM pools WHERE id = $1`, id))
	})
}

// Pool gives a pool with its stock. The figures are maintained, so this costs the same for any number of keys.
func (d *DB) Pool(ctx context.Context, id string) (keyturn.PoolView, error) {
	p, err := specOf[keyturn.Pool](ctx, d.pg, "pools", "pool", id)
	if err != nil {
		return keyturn.PoolView{}, err
	}
	v := keyturn.PoolView{Pool: p, Batches: []keyturn.BatchView{}}
	if err := d.pg.GetContext(ctx, &v.Stock, `
		SELECT coalesce(sum(available), 0) AS available, coalesce(sum(claimed), 0) AS claimed, coalesce(sum(delivered), 0) AS delivered,
			coalesce(sum(quarantined), 0) AS quarantined, coalesce(sum(recalled), 0) AS recalled, coalesce(sum(expired), 0) AS expired,
			coalesce(sum(withdrawn), 0) AS withdrawn,
			(SELECT count(*) FROM line_items WHERE waiting_pool = $1) AS waiting
		FROM pool_stock WHERE pool_id = $1`, id); err != nil {
		return v, pg.AsKind(err)
	}
	if v.Forecast, err = d.forecast(ctx, id); err != nil {
		return v, err
	}
	return v, pg.AsKind(d.pg.SelectContext(ctx, &v.Batches, `
		SELECT id AS batch_id, accepted, rejected, created_by, created_at, undone_at, undone_by, recalled_at FROM batches WHERE pool_id = $1 ORDER BY created_at DESC, id LIMIT 100`, id))
}

// poolKeyAt is where a pool key's ciphertext belongs: its pool and its fingerprint.
func poolKeyAt(pool string, fingerprint []byte) string {
	return "pool_keys/" + pool + "/" + string(fingerprint)
}

// noteValidity applies a changed minimal validity to the keys that are for sale. One that expired by the old one stays so.
func noteValidity(ctx context.Context, tx *sqlx.Tx, p keyturn.Pool) error {
	if err := pg.AllowSeqScans(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE pool_keys SET give_until = expires_at - make_interval(secs => $2)
		WHERE pool_id = $1 AND state = 'available' AND give_until IS NOT NULL AND give_until <> expires_at - make_interval(secs => $2)`,
		p.ID, time.Duration(p.MinValidity).Seconds())
	return err
}
