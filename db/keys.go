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
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/oracle"
)

// Keys is the configuration's own secret: the key-encryption keys (a Tink keyset, so that old keys go on opening what
// they sealed after a rotation) and the key of the keyed hashes. Without it nothing secret in the database can be read.
type Keys struct {
	path string
	hash []byte // never changes: fingerprints depend on it

	mu     sync.Mutex
	kek    tink.AEAD
	handle *keyset.Handle
	looked time.Time          // at the file, because something did not open
	open   map[string]dataKey // by wrapped bytes: unwrapping costs more than using

	cleared time.Time // open
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
	k := &Keys{path: path, open: map[string]dataKey{}}
	return k, k.load()
}

// load reads the file, at the start and when something does not open: it may have got a new key since.
func (k *Keys) load() error {
	file, handle, err := readKeys(k.path)
	if err != nil {
		return err
	}
	kek, err := aead.New(handle)
	if err != nil {
		return keyturn.Errorf(keyturn.KindConfiguration, "the key file %s holds no usable key: %w", k.path, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hash != nil && !hmac.Equal(k.hash, file.HashKey) {
		return keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is another one than at the start", k.path)
	}
	k.kek, k.handle, k.hash = kek, handle, file.HashKey
	return nil
}

func readKeys(path string) (keysFile, *keyset.Handle, error) {
	var file keysFile
	text, err := os.ReadFile(path)
	if err != nil {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s cannot be read: give the file that this database was written with (KEYTURN_KEYS), or make one for a new database with `keyturn keys create`: %w", path, err)
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.HashKey) < 32 {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup", path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.KeyEncryptionKeys)))
	if err != nil {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup", path)
	}
	return file, handle, nil
}

func (k *Keys) primitive() tink.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kek
}

// info says which key-encryption keys there are.
func (k *Keys) info() *tinkpb.KeysetInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.handle.KeysetInfo()
}

// wrap encrypts with the newest key-encryption key.
func (k *Keys) wrap(plain []byte, bound string) ([]byte, error) {
	return k.primitive().Encrypt(plain, []byte(bound))
}

// unwrap opens what a key-encryption key wrapped. A key that was added to the file since it was read is found: processes
// need no restart at a rotation.
func (k *Keys) unwrap(wrapped []byte, bound string) ([]byte, error) {
	plain, err := k.primitive().Decrypt(wrapped, []byte(bound))
	if err == nil || !k.mayReload() {
		return plain, err
	}
	if loadErr := k.load(); loadErr != nil {
		return nil, err
	}
	return k.primitive().Decrypt(wrapped, []byte(bound))
}

// mayReload allows a look at the file once a second.
func (k *Keys) mayReload() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < time.Second {
		return false
	}
	k.looked = time.Now()
	return true
}

// CheckKeys says whether the key file is the one that this database was written with, by opening stored keys of each
// kind, the first and the last ones, and keys of pools with them. A process that starts with another one, or with one
// that lost a key, would fail every line it touches. KindConfiguration.
func (d *DB) CheckKeys(ctx context.Context) error {
	stored, err := wrappedSecrets(ctx, d.x)
	if missingTable(err) {
		return keyturn.Errorf(keyturn.KindConfiguration, "the database has no tables yet: run `keyturn migrate`")
	}
	if err != nil {
		return asKind(err)
	}
	for _, s := range stored {
		if _, err := d.keys.unwrap(s.DataKey, s.Owner); err != nil {
			return errWrongKeys()
		}
	}
	var pooled []pooledKey
	if err := d.x.SelectContext(ctx, &pooled, `
		SELECT k.pool_id, p.data_key, k.content, k.fingerprint FROM pools p
		CROSS JOIN LATERAL (SELECT pool_id, content, fingerprint FROM pool_keys WHERE pool_id = p.id AND state = 'available' ORDER BY position LIMIT 1) k LIMIT 100`); err != nil {
		return asKind(err)
	}
	_, err = d.openPooled(pooled)
	return err
}

// HoldsSecrets says whether the database, which need not be migrated, holds what a key file that exists already opens: a
// new one must not be made for it.
func HoldsSecrets(ctx context.Context, dsn string) (bool, error) {
	full, err := withParameters(dsn)
	if err != nil {
		return false, err
	}
	x, err := sqlx.ConnectContext(ctx, "postgres", full)
	if err != nil {
		return false, asKind(err)
	}
	defer func() { _ = x.Close() }()
	stored, err := wrappedSecrets(ctx, x)
	if missingTable(err) {
		return false, nil
	}
	return len(stored) > 0, asKind(err)
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
		UNION ALL (SELECT 'data-key/customer/' || id, data_key FROM customers WHERE data_key IS NOT NULL ORDER BY id DESC LIMIT 5)
		UNION ALL (SELECT 'data-key/pool/' || id, data_key FROM pools LIMIT 100)
		UNION ALL (SELECT 'integrations/' || id, secrets FROM integrations LIMIT 100)`)
}

func missingTable(err error) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && pqErr.Code == "42P01"
}

func errWrongKeys() error {
	return keyturn.Errorf(keyturn.KindConfiguration, "a stored key does not open: the key file is not the one that this database was written with, or it lost a key: restore it from its backup")
}

// dataKey seals the secrets of one owner: a customer, a pool. Losing the wrapped form in the database shreds them all.
type dataKey struct{ aead tink.AEAD }

// newDataKey makes a data key and its wrapped form, which opens for this owner only.
func (k *Keys) newDataKey(owner string) (dataKey, []byte, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	wrapped, err := k.wrap(raw, "data-key/"+owner)
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
		return dataKey{}, errErased
	}
	raw, err := k.unwrap(wrapped, "data-key/"+owner)
	if err != nil {
		return dataKey{}, errWrongKeys()
	}
	a, err := subtle.NewAESGCM(raw)
	if err != nil {
		return dataKey{}, err
	}
	dk = dataKey{aead: a}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.open) > 10_000 || time.Since(k.cleared) > time.Hour { // forget all rather than keep an order of use: a refill costs microseconds
		clear(k.open)
		k.cleared = time.Now()
	}
	k.open[id] = dk
	return dk, nil
}

// errErased says why there is nothing to show.
var errErased = keyturn.Errorf(keyturn.KindErased, "this person's data was erased")

// forget takes a data key out of this process's memory. Other processes have no use for theirs without the wrapped form,
// and forget all of them now and then.
func (k *Keys) forget(wrapped []byte, owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, string(wrapped)+owner)
}

// seal encrypts; where names the table, row and column, and the ciphertext opens nowhere else.
func (dk dataKey) seal(plain []byte, where string) ([]byte, error) {
	if oracle.Is(oracle.BoundToNothing) {
		where = ""
	}
	return dk.aead.Encrypt(plain, []byte(where))
}

func (dk dataKey) unseal(sealed []byte, where string) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, errErased
	}
	plain, err := dk.aead.Decrypt(sealed, []byte(where))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInternal, "a stored secret does not decrypt where it stands (%s)", where)
	}
	return plain, nil
}

const fingerprintSize = 16

// fingerprint is a keyed hash that finds the same key twice without showing it.
func (k *Keys) fingerprint(key string) []byte {
	fp := k.fingerprinter()(key)
	return fp[:]
}

// fingerprinter gives fingerprint for many keys, one after the other.
func (k *Keys) fingerprinter() func(key string) [fingerprintSize]byte {
	h := hmac.New(sha256.New, k.hash)
	var text, sum []byte
	return func(key string) [fingerprintSize]byte {
		h.Reset()
		text = append(append(text[:0], "fingerprint/"...), key...)
		h.Write(text)
		sum = h.Sum(sum[:0])
		return [fingerprintSize]byte(sum)
	}
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
