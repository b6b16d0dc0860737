package db

import (
	"context"
	"crypto/hmac"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
)

// errOtherKeyFile says that the processes of an installation have different key files. KindConfiguration.
var errOtherKeyFile = keyturn.Errorf(keyturn.KindConfiguration, "the key file is not the one that this database was "+
	"written with: set KEYTURN_KEYS to that file, of which every process has the same or a rotated copy")

// keyFileMark is what the fingerprint of a key file is made of; the file's hash key outlives every rotation.
const keyFileMark = "key-file/"

// CheckKeys says whether the key file is the one that this database was written with: by its fingerprint, and by
// opening stored keys of each kind, the first and the last ones, and keys of pools with them. A process that starts
// with another one, or with one that lost a key, would fail every line it touches. The first process that starts
// decides which file a database has; of several at once, one does. KindConfiguration.
func (d *DB) CheckKeys(ctx context.Context) error {
	if err := d.CheckKeyFile(ctx); err != nil {
		return err
	}
	if err := d.checkStoredKeys(ctx); err != nil {
		return err
	}
	mark := d.keys.MAC(keyFileMark)
	var bound [][]byte
	if err := d.pg.Implicit().SelectContext(ctx, &bound, `
		INSERT INTO installation (key_file) VALUES ($1)
		ON CONFLICT (one) DO UPDATE SET one = true RETURNING key_file`, mark); err != nil {
		return err
	}
	return sameKeyFile(bound, mark)
}

// NameInstallation stores what this installation is called at payment providers, once. Another name later would make
// all that was made there another installation's: KindConfiguration.
func (d *DB) NameInstallation(ctx context.Context, name string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var stored []string
		if err := tx.SelectContext(ctx, &stored,
			`UPDATE installation SET name = coalesce(name, $1) RETURNING name`, name); err != nil {
			return err
		}
		for _, s := range stored {
			if s != name {
				return keyturn.Errorf(keyturn.KindConfiguration, "this installation is called %s at its payment providers: set "+
					"KEYTURN_INSTALLATION to that. Another name would make its payments somebody else's", s)
			}
		}
		return nil
	})
}

// CheckKeyFile says whether the key file is that of the processes that started before, or if none of this build did,
// whether it opens what is stored. It writes nothing. KindConfiguration.
func (d *DB) CheckKeyFile(ctx context.Context) error {
	var bound [][]byte
	if err := d.pg.SelectContext(ctx, &bound, `SELECT key_file FROM installation`); err != nil {
		return pg.AsKind(err)
	}
	if len(bound) == 0 {
		return d.checkStoredKeys(ctx)
	}
	return sameKeyFile(bound, d.keys.MAC(keyFileMark))
}

func sameKeyFile(bound [][]byte, mark []byte) error {
	for _, b := range bound {
		if !hmac.Equal(b, mark) {
			return errOtherKeyFile
		}
	}
	return nil
}

func (d *DB) checkStoredKeys(ctx context.Context) error {
	stored, err := wrappedSecrets(ctx, d.pg)
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

// HoldsSecrets says whether the database, which need not be migrated, belongs to a key file that exists already: a new
// one must not be made for it.
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
	if err != nil || len(stored) > 0 {
		return len(stored) > 0, pg.AsKind(err)
	}
	var bound []bool
	err = x.SelectContext(ctx, &bound, `SELECT true FROM installation`)
	if pg.IsUndefinedTable(err) { // not migrated to this build's schema yet
		return false, nil
	}
	return len(bound) > 0, pg.AsKind(err)
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
