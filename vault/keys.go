// Package vault encrypts what is secret in the database. The key file holds the key-encryption keys and the key of the
// keyed hashes; a data key per owner (a customer, a pool) is stored wrapped by a key-encryption key, and seals the
// owner's secrets. The package knows no SQL: its callers store what it returns.
package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keyturn.dev/keyturn"
)

// Keys is the key file in memory: the key-encryption keys (a Tink keyset, so that old keys still open what they wrapped
// before a rotation) and the key of the keyed hashes. Without it nothing secret in the database can be read. It is safe
// for concurrent use.
type Keys struct {
	path string
	hash []byte // never changes: stored fingerprints depend on it

	mu     sync.Mutex
	kek    tink.AEAD
	handle *keyset.Handle
	looked time.Time // at the file, because something did not open

	refreshed time.Time // from the file, before something was wrapped

	open    map[string]DataKey // by wrapped form and owner: unwrapping costs more than using
	cleared time.Time          // open
}

type keysFile struct {
	KeyEncryptionKeys json.RawMessage `json:"keyEncryptionKeys"`
	HashKey           []byte          `json:"hashKey"`
}

// CreateKeys generates keys and stores them in a new file that only its owner can read. os.ErrExist when there is a
// file.
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

// LoadKeys reads a key file. KindConfiguration when it is missing or damaged.
func LoadKeys(path string) (*Keys, error) {
	k := &Keys{path: path, open: map[string]DataKey{}}
	return k, k.load()
}

// load reads the file: at the start, and when something does not open, because a rotation may have added a key.
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
	text, err := readPrivate(path)
	if keyturn.KindOf(err) == keyturn.KindConfiguration {
		return file, nil, err
	}
	if err != nil {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s cannot be read: give the file that "+
			"this database was written with (KEYTURN_KEYS), or make one for a new database with `keyturn keys create`: %w", path,
			err)
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.HashKey) < 32 {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup",
			path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.KeyEncryptionKeys)))
	if err != nil {
		return file, nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s is damaged: restore it from its backup",
			path)
	}
	return file, handle, nil
}

func (k *Keys) primitive() tink.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kek
}

// Wrap encrypts with the primary key-encryption key. bound names what the ciphertext belongs to: it opens for that
// only. A key that was added to the file counts within a second, so that nothing new is wrapped by a key that is about
// to be retired. A file that cannot be read at the moment changes nothing.
func (k *Keys) Wrap(plain []byte, bound string) ([]byte, error) {
	if k.mayLook(&k.refreshed) {
		_ = k.load()
	}
	return k.primitive().Encrypt(plain, []byte(bound))
}

// Unwrap opens what a key-encryption key wrapped. It finds a key that was added to the file since it was read:
// processes need no restart at a rotation.
func (k *Keys) Unwrap(wrapped []byte, bound string) ([]byte, error) {
	plain, err := k.primitive().Decrypt(wrapped, []byte(bound))
	if err == nil || !k.mayLook(&k.looked) {
		return plain, err
	}
	if loadErr := k.load(); loadErr != nil {
		return nil, err
	}
	return k.primitive().Decrypt(wrapped, []byte(bound))
}

// mayLook allows a look at the file once a second.
func (k *Keys) mayLook(last *time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(*last) < time.Second {
		return false
	}
	*last = time.Now()
	return true
}

// FingerprintSize is the length of a fingerprint in bytes.
const FingerprintSize = 16

// Fingerprint is a keyed hash that finds the same licence key twice without showing it. It survives rotations.
func (k *Keys) Fingerprint(key string) []byte {
	fp := k.Fingerprinter()(key)
	return fp[:]
}

// Fingerprinter returns Fingerprint for many keys, one after the other. It is not safe for concurrent use.
func (k *Keys) Fingerprinter() func(key string) [FingerprintSize]byte {
	h := hmac.New(sha256.New, k.hash)
	var text, sum []byte
	return func(key string) [FingerprintSize]byte {
		h.Reset()
		text = append(append(text[:0], "fingerprint/"...), key...)
		h.Write(text)
		sum = h.Sum(sum[:0])
		return [FingerprintSize]byte(sum)
	}
}

// MAC is a keyed hash of a text whose prefix says what it is for, such as "page/". It survives rotations.
func (k *Keys) MAC(text string) []byte {
	h := hmac.New(sha256.New, k.hash)
	h.Write([]byte(text))
	return h.Sum(nil)
}
