package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"keyturn.dev/keyturn"
)

// KeyUse says how much of the database a key-encryption key wraps.
type KeyUse struct {
	ID      string `json:"id"`
	Primary bool   `json:"primary"` // new data keys are wrapped with it
	Wraps   int    `json:"wraps"`   // data keys of customers and pools, and secrets of integrations
}

// RotateKeys adds a new key-encryption key to the key file and makes it the one that new data keys are wrapped with. The
// old ones stay, so that all goes on opening; RewrapAll and RetireKeys end their use. The file is replaced as a whole.
func RotateKeys(path string) error {
	return changeKeys(path, func(m *keyset.Manager) error {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
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
			return 0, keyturn.Errorf(keyturn.KindConflict, "key %s still wraps %d data keys: run `keyturn keys rewrap` first", u.ID, u.Wraps)
		}
	}
	n := 0
	return n, changeKeys(path, func(m *keyset.Manager) error {
		h, err := m.Handle()
		if err != nil {
			return err
		}
		info := h.KeysetInfo()
		for _, k := range info.GetKeyInfo() {
			if k.GetKeyId() != info.GetPrimaryKeyId() {
				n++
				if err := m.Delete(k.GetKeyId()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// changeKeys changes the keyset of a key file. The new file takes the old one's place at once and whole, whatever breaks.
func changeKeys(path string, change func(*keyset.Manager) error) error {
	file, handle, err := readKeys(path)
	if err != nil {
		return err
	}
	m := keyset.NewManagerFromHandle(handle)
	if err := change(m); err != nil {
		return err
	}
	if handle, err = m.Handle(); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return err
	}
	file.KeyEncryptionKeys = buf.Bytes()
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // readable for its owner only
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// wrappedTables are where something is wrapped by a key-encryption key: the table, its column, and what the ciphertext is
// bound to.
var wrappedTables = []struct{ table, column, bound string }{
	{"customers", "data_key", "data-key/customer/"},
	{"pools", "data_key", "data-key/pool/"},
	{"integrations", "secrets", "integrations/"},
}

// prefixLength is how long the part of a Tink ciphertext is that says which key it needs.
const prefixLength = 5

// KeyUses says what each key of the key file, and each that the file lacks, wraps in the database.
func (d *DB) KeyUses(ctx context.Context) ([]KeyUse, error) {
	counts := map[string]int{}
	for _, w := range wrappedTables {
		var rows []struct {
			Prefix []byte `db:"prefix"`
			N      int    `db:"n"`
		}
		//keyturn:autocommit it reads; the names are from the table above
		if err := d.x.SelectContext(ctx, &rows, `
			SELECT substring(`+w.column+` FROM 1 FOR 5) AS prefix, count(*) AS n FROM `+w.table+` WHERE `+w.column+` IS NOT NULL GROUP BY 1`); err != nil {
			return nil, asKind(err)
		}
		for _, r := range rows {
			counts[string(r.Prefix)] += r.N
		}
	}
	var out []KeyUse
	info := d.keys.info()
	for _, k := range info.GetKeyInfo() {
		prefix := prefixOf(k.GetKeyId())
		out = append(out, KeyUse{ID: fmt.Sprint(k.GetKeyId()), Primary: k.GetKeyId() == info.GetPrimaryKeyId(), Wraps: counts[prefix]})
		delete(counts, prefix)
	}
	for prefix, n := range counts {
		id := "unknown"
		if len(prefix) == prefixLength {
			id = fmt.Sprint(binary.BigEndian.Uint32([]byte(prefix[1:])))
		}
		out = append(out, KeyUse{ID: id + " (not in the key file)", Wraps: n})
	}
	return out, nil
}

// prefixOf is how ciphertexts of a key begin.
func prefixOf(id uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte{1}, id))
}

// rewrapChunk is how many data keys are wrapped anew in one transaction.
const rewrapChunk = 1000

// RewrapAll wraps everything that an old key-encryption key wraps with the newest one. What the data keys encrypt is not
// touched, and orders go on meanwhile; it can be stopped and run again at any time. progress hears how many are done.
// KindConfiguration when something does not open; that row stays as it is.
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
	err = d.tx(ctx, func(tx *sqlx.Tx) error {
		n, next = 0, ""
		var rows []struct {
			ID      string `db:"id"`
			Wrapped []byte `db:"wrapped"`
		}
		if err := tx.SelectContext(ctx, &rows, `
			SELECT id, `+column+` AS wrapped FROM `+table+` WHERE id > $1 AND `+column+` IS NOT NULL AND substring(`+column+` FROM 1 FOR 5) <> $2
			ORDER BY id LIMIT $3 FOR UPDATE`, last, []byte(prefixOf(d.keys.info().GetPrimaryKeyId())), rewrapChunk); err != nil {
			return err
		}
		var ids []string
		var wrapped [][]byte
		for _, r := range rows {
			plain, err := d.keys.unwrap(r.Wrapped, bound+r.ID)
			if err != nil {
				return err
			}
			again, err := d.keys.wrap(plain, bound+r.ID)
			if err != nil {
				return err
			}
			ids, wrapped = append(ids, r.ID), append(wrapped, again)
		}
		if n = len(rows); n == rewrapChunk {
			next = rows[n-1].ID
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE `+table+` t SET `+column+` = w.wrapped FROM unnest(CAST($1 AS text[]), CAST($2 AS bytea[])) AS w (id, wrapped) WHERE t.id = w.id`,
			pq.Array(ids), pq.Array(wrapped))
		return err
	})
	return n, next, err
}
