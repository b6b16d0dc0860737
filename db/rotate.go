package db

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// KeyUse says how much of the database a key-encryption key wraps.
type KeyUse struct {
	ID      string `json:"id"`
	Primary bool   `json:"primary"` // new data keys are wrapped with it
	Wraps   int    `json:"wraps"`   // data keys of customers and pools, and secrets of integrations
}

// RetireKeys takes the key-encryption keys out of the file that wrap nothing in this database any more, and says how
// many those were. KindConflict when an old one is still in use: RewrapAll first.
func (d *DB) RetireKeys(ctx context.Context, path string) (int, error) {
	used, err := d.KeyUses(ctx)
	if err != nil {
		return 0, err
	}
	for _, u := range used {
		if !u.Primary && u.Wraps > 0 {
			return 0, keyturn.Errorf(keyturn.KindConflict, "key %s still wraps %d data keys: run `keyturn keys rewrap` first",
				u.ID, u.Wraps)
		}
	}
	return vault.DropOldKeys(path)
}

// wrappedTables are where something is wrapped by a key-encryption key: the table, its column, and what the ciphertext
// is bound to.
var wrappedTables = []struct{ table, column, bound string }{
	{"customers", "data_key", "data-key/customer/"},
	{"pools", "data_key", "data-key/pool/"},
	{"integrations", "secrets", "integrations/"},
	{"webhooks", "secrets", "webhooks/"},
}

// KeyUses says what each key of the key file, and each that the file lacks, wraps in the database.
func (d *DB) KeyUses(ctx context.Context) ([]KeyUse, error) {
	counts := map[string]int{}
	for _, w := range wrappedTables {
		var rows []struct {
			Prefix []byte `db:"prefix"`
			N      int    `db:"n"`
		}
		//keyturn:autocommit it reads; the names are from the table above
		if err := d.pg.SelectContext(ctx, &rows, `
			SELECT substring(`+w.column+` FROM 1 FOR 5) AS prefix, count(*) AS n FROM `+w.table+` WHERE `+w.column+` IS NOT NULL
				GROUP BY 1`); err != nil {
			return nil, pg.AsKind(err)
		}
		for _, r := range rows {
			counts[string(r.Prefix)] += r.N
		}
	}
	var out []KeyUse
	for _, k := range d.keys.KeyEncryptionKeys() {
		prefix := string(vault.Prefix(k.ID))
		out = append(out, KeyUse{ID: fmt.Sprint(k.ID), Primary: k.Primary, Wraps: counts[prefix]})
		delete(counts, prefix)
	}
	for prefix, n := range counts {
		name := "unknown"
		if id, ok := vault.KeyIDOf([]byte(prefix)); ok {
			name = fmt.Sprint(id)
		}
		out = append(out, KeyUse{ID: name + " (not in the key file)", Wraps: n})
	}
	return out, nil
}

// rewrapChunk is how many data keys are wrapped anew in one transaction.
const rewrapChunk = 1000

// RewrapAll wraps everything that an old key-encryption key wraps with the newest one. What the data keys encrypt is
// not touched, and orders go on meanwhile; it can be stopped and run again at any time. progress hears how many are
// done. KindConfiguration when something does not open; that row stays as it is.
func (d *DB) RewrapAll(ctx context.Context, progress func(done int)) (int, error) {
	done := 0
	for _, w := range wrappedTables {
		for last := ""; ; {
			n, next, err := d.rewrapSome(ctx, w.table, w.column, w.bound, last)
			if err != nil {
				return done, err
			}
			done += n
			progress(done)
			if next == "" {
				break
			}
			last = next
		}
	}
	return done, nil
}

func (d *DB) rewrapSome(ctx context.Context, table, column, bound, last string) (n int, next string, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		n, next = 0, ""
		var rows []struct {
			ID      string `db:"id"`
			Wrapped []byte `db:"wrapped"`
		}
		if err := tx.SelectContext(ctx, &rows, `
			SELECT id, `+column+` AS wrapped FROM `+table+` WHERE id > $1 AND `+column+` IS NOT NULL
				AND substring(`+column+` FROM 1 FOR 5) <> $2
			ORDER BY id LIMIT $3 FOR UPDATE`, last, d.keys.PrimaryPrefix(), rewrapChunk); err != nil {
			return err
		}
		var ids []string
		var wrapped [][]byte
		for _, r := range rows {
			plain, err := d.keys.Unwrap(r.Wrapped, bound+r.ID)
			if err != nil {
				return err
			}
			again, err := d.keys.Wrap(plain, bound+r.ID)
			if err != nil {
				return err
			}
			ids, wrapped = append(ids, r.ID), append(wrapped, again)
		}
		if n = len(rows); n == rewrapChunk {
			next = rows[n-1].ID
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE `+table+` t SET `+column+` = w.wrapped FROM unnest(CAST($1 AS text[]), CAST($2 AS bytea[])) AS w (id, wrapped)
				WHERE t.id = w.id`,
			pq.Array(ids), pq.Array(wrapped))
		return err
	})
	return n, next, err
}
