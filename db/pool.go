package db

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// PutPool stores a checked pool; a new one gets its data key.
func (d *DB) PutPool(ctx context.Context, p keyturn.Pool) (created, changed bool, err error) {
	spec, err := json.Marshal(p)
	if err != nil {
		return false, false, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, wrapped, err := d.keys.NewDataKey(stock.DataKeyOwner(p.ID))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO pools (id, spec, data_key) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, version = pools.version + 1, updated_at = now()
				WHERE pools.spec <> excluded.spec`,
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
		if err := stock.ApplyValidity(ctx, tx, p); err != nil {
			return err
		}
		if p.Currency != "" { // lines of another currency wait for it no more: they go on to what is next
			if _, err := tx.ExecContext(ctx, `
				UPDATE line_items l SET wake_at = now(), next_attempt_at = now() FROM orders o
				WHERE l.waiting_pool = $1 AND o.id = l.order_id AND o.currency <> $2`, p.ID, p.Currency); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, &created, `SELECT version = 1 FROM pools WHERE id = $1`, p.ID)
	})
	return created, changed, err
}

// Pools gives all pools of the prefix by ID.
func (d *DB) Pools(ctx context.Context, prefix keyturn.Prefix) ([]keyturn.Pool, error) {
	return specsOf[keyturn.Pool](ctx, d.pg, "pools", prefix)
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
