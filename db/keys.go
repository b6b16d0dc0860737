package db

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/lib/pq"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keyturn.dev/keyturn"
)

// Keys is the configuration's own secret: the key-encryption keys (a Tink keyset, so that old keys go on opening what
// they sealed after a rotation) and the key of the keyed hashes. Without it nothing secret in the database can be read.
type Keys struct {
	kek  tink.AEAD
	hash []byte

	mu   sync.Mutex
	open map[string]dataKey // by wrapped bytes: unwrapping costs more than using
}

type keysFile struct {
	KeyEncryptionKeys json.RawMessage `json:"keyEncryptionKeys"`
	HashKey           []byte          `json:"hashKey"`
}

// CreateKeys makes new keys and stores them in a file that only its owner can read. It never overwrites one.
func CreateKeys(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return err
	}
	file := keysFile{KeyEncryptionKeys: buf.Bytes(), HashKey: make([]byte, 32)}
	_, _ = rand.Read(file.HashKey) // never fails since Go 1.24
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// LoadKeys reads the keys from their file.
func LoadKeys(path string) (*Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s cannot be read: give the file that this database was written with (KEYTURN_KEYS), or make one for a new database with `keyturn keys create`: %w", path, err)
	}
	var file keysFile
	if err := json.Unmarshal(text, &file); err != nil || len(file.HashKey) < 32 {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup", path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.KeyEncryptionKeys)))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup", path)
	}
	kek, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use key file %s: %w", path, err)
	}
	return &Keys{kek: kek, hash: file.HashKey, open: map[string]dataKey{}}, nil
}

// CheckKeys says whether the key file is the one that this database was written with, by opening a stored key of each
// kind. A process that starts with another one would fail every line it touches. KindConfiguration.
func (d *DB) CheckKeys(ctx context.Context) error {
	var stored []struct {
		Owner   string `db:"owner"`
		Wrapped []byte `db:"data_key"`
	}
	err := d.x.SelectContext(ctx, &stored, `
		(SELECT 'customer/' || id AS owner, data_key FROM customers WHERE data_key IS NOT NULL LIMIT 1)
		UNION ALL (SELECT 'pool/' || id, data_key FROM pools LIMIT 1)`)
	if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Code == "42P01" {
		return keyturn.Errorf(keyturn.KindConfiguration, "the database has no tables yet: run `keyturn migrate`")
	}
	if err != nil {
		return asKind(err)
	}
	for _, s := range stored {
		if _, err := d.keys.dataKey(s.Wrapped, s.Owner); err != nil {
			return err
		}
	}
	return nil
}

// dataKey seals the secrets of one owner: a customer, a pool. Losing the wrapped form in the database shreds them all.
type dataKey struct{ aead tink.AEAD }

// newDataKey makes a data key and its wrapped form, which opens for this owner only.
func (k *Keys) newDataKey(owner string) (dataKey, []byte, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	wrapped, err := k.kek.Encrypt(raw, []byte("data-key/"+owner))
	if err != nil {
		return dataKey{}, nil, err
	}
	dk, err := k.dataKey(wrapped, owner)
	return dk, wrapped, err
}

// dataKey unwraps a data key.
func (k *Keys) dataKey(wrapped []byte, owner string) (dataKey, error) {
	id := string(wrapped) + owner
	k.mu.Lock()
	dk, ok := k.open[id]
	k.mu.Unlock()
	if ok {
		return dk, nil
	}
	if len(wrapped) == 0 {
		return dataKey{}, keyturn.Errorf(keyturn.KindNotFound, "this person's data was erased")
	}
	raw, err := k.kek.Decrypt(wrapped, []byte("data-key/"+owner))
	if err != nil {
		return dataKey{}, keyturn.Errorf(keyturn.KindConfiguration, "a stored key does not open: the key file is not the one that this database was written with")
	}
	a, err := subtle.NewAESGCM(raw)
	if err != nil {
		return dataKey{}, err
	}
	dk = dataKey{aead: a}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.open) > 10_000 { // forget all rather than keep an order of use: a refill costs microseconds
		clear(k.open)
	}
	k.open[id] = dk
	return dk, nil
}

// seal encrypts; where names the table, row and column, and the ciphertext opens nowhere else.
func (dk dataKey) seal(plain []byte, where string) ([]byte, error) {
	return dk.aead.Encrypt(plain, []byte(where))
}

func (dk dataKey) unseal(sealed []byte, where string) ([]byte, error) {
	plain, err := dk.aead.Decrypt(sealed, []byte(where))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInternal, "a stored secret does not decrypt where it stands (%s)", where)
	}
	return plain, nil
}

// fingerprint is a keyed hash that finds the same key twice without showing it.
func (k *Keys) fingerprint(key string) []byte {
	return k.mac("fingerprint/" + key)[:16]
}

// pageToken is the unguessable part of an order page's link. It is derived, so that no link is stored.
func (k *Keys) pageToken(orderID string) string {
	return base64.RawURLEncoding.EncodeToString(k.mac("page/" + orderID)[:18])
}

func (k *Keys) mac(text string) []byte {
	h := hmac.New(sha256.New, k.hash)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func pageHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
