package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
)

// CheckKeys says whether the key file is the one that this database was written with, by opening stored keys of each
// kind, the first and the last ones, and keys of pools with them. A process that starts with another one, or with one
// that lost a key, would fail every line it touches. KindConfiguration.
func (d *DB) CheckKeys(ctx context.Context) error {
	stored, err := wrappedSecrets(ctx, d.pg)
	if pg.IsUndefinedTable(err) {
		return keyturn.Errorf(keyturn.KindConfiguration, "the database has no tables yet: run `keyturn migrate`")
	}
	if err != nil {
		return pg.AsKind(err)
	}
	for _, s := range stored {
		if _, err := d.keys.Unwrap(s.DataKey, s.Owner); err != nil {
			return vault.ErrWrongKeys
		}
	}
	var pooled []stock.SealedKey
	if err := d.pg.SelectContext(ctx, &pooled, `
		SELECT k.pool_id, p.data_key, k.content, k.fingerprint FROM pools p
		CROSS JOIN LATERAL (SELECT pool_id, content, fingerprint FROM pool_keys WHERE pool_id = p.id AND state = 'available'
			ORDER BY position LIMIT 1) k LIMIT 100`); err != nil {
		return pg.AsKind(err)
	}
	_, err = d.stock.Open(pooled)
	return err
}

// HoldsSecrets says whether the database, which need not be migrated, holds what a key file that exists already opens:
// a new one must not be made for it.
func HoldsSecrets(ctx context.Context, dsn string) (bool, error) {
	x, err := pg.Open(ctx, dsn)
	if err != nil {
		return false, err
	}
	defer func() { _ = x.Close() }()
	stored, err := wrappedSecrets(ctx, x)
	if pg.IsUndefinedTable(err) {
		return false, nil
	}
	return len(stored) > 0, pg.AsKind(err)
}

// wrappedSecret is something that a key-encryption key wrapped for its owner.
type wrappedSecret struct {
	Owner   string `db:"owner"`
	DataKey []byte `db:"data_key"`
}

// wrappedSecrets gives the first and the last ones of each kind.
func wrappedSecrets(ctx context.Context, q sqlx.QueryerContext) (stored []wrappedSecret, err error) {
	return stored, sqlx.SelectContext(ctx, q, &stored, `
		(SELECT 'data-key/customer/' || id AS owner, data_key FROM customers WHERE data_key IS NOT NULL ORDER BY id LIMIT 5)
		UNION ALL (SELECT 'data-key/customer/' || id, data_key FROM customers WHERE data_key IS NOT NULL ORDER BY id DESC
			LIMIT 5)
		UNION ALL (SELECT 'data-key/pool/' || id, data_key FROM pools LIMIT 100)
		UNION ALL (SELECT 'integrations/' || id, secrets FROM integrations LIMIT 100)`)
}
