package vault

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keyturn.dev/keyturn"
)

// DataKey encrypts the secrets of one owner: a customer, a pool. Deleting its wrapped form from the database shreds
// them all.
type DataKey struct{ aead tink.AEAD }

// maxCached bounds the data keys in memory.
const maxCached = 10_000

// NewDataKey generates a data key and its wrapped form, which opens for this owner only.
func (k *Keys) NewDataKey(owner string) (DataKey, []byte, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	wrapped, err := k.Wrap(raw, "data-key/"+owner)
	if err != nil {
		return DataKey{}, nil, err
	}
	dk, err := k.OpenDataKey(wrapped, owner)
	return dk, wrapped, err
}

// OpenDataKey unwraps the data key of an owner. ErrErased when there is none any more, ErrWrongKeys when it does not
// open.
func (k *Keys) OpenDataKey(wrapped []byte, owner string) (DataKey, error) {
	id := string(wrapped) + owner
	k.mu.Lock()
	dk, ok := k.open[id]
	k.mu.Unlock()
	if ok {
		return dk, nil
	}
	if len(wrapped) == 0 {
		return DataKey{}, ErrErased
	}
	raw, err := k.Unwrap(wrapped, "data-key/"+owner)
	if err != nil {
		return DataKey{}, ErrWrongKeys
	}
	a, err := subtle.NewAESGCM(raw)
	if err != nil {
		return DataKey{}, err
	}
	dk = DataKey{aead: a}
	k.mu.Lock()
	defer k.mu.Unlock()
	// It clears all rather than keep an order of use: a refill costs microseconds.
	if len(k.open) > maxCached || time.Since(k.cleared) > time.Hour {
		clear(k.open)
		k.cleared = time.Now()
	}
	k.open[id] = dk
	return dk, nil
}

// ErrWrongKeys says that the key file does not belong to the database. KindConfiguration.
var ErrWrongKeys = keyturn.Errorf(keyturn.KindConfiguration, "a stored key does not open: the key file is not the one "+
	"that this database was written with, or it lost a key: restore it from its backup")

// ErrErased says why there is nothing to show. KindErased.
var ErrErased = keyturn.Errorf(keyturn.KindErased, "this person's data was erased")

// Forget removes a data key from this process's memory. Other processes have no use for theirs without the wrapped
// form, and clear all of them at least once an hour.
func (k *Keys) Forget(wrapped []byte, owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, string(wrapped)+owner)
}

// Cached reports whether a data key of the owner is in this process's memory.
func (k *Keys) Cached(owner string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.open {
		if strings.HasSuffix(id, owner) {
			return true
		}
	}
	return false
}

// Seal encrypts; where names the table, row and column, and the ciphertext opens nowhere else.
func (dk DataKey) Seal(plain []byte, where string) ([]byte, error) {
	return dk.aead.Encrypt(plain, []byte(where))
}

// Open decrypts what Seal encrypted for the same place. ErrErased when nothing is stored; KindInternal when it does not
// decrypt there.
func (dk DataKey) Open(sealed []byte, where string) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, ErrErased
	}
	plain, err := dk.aead.Decrypt(sealed, []byte(where))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInternal, "a stored secret does not decrypt where it stands (%s)", where)
	}
	return plain, nil
}
