package vault

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// RotateKeys adds a key-encryption key to the key file and makes it the primary one, which wraps all that is new. The
// old ones stay and still open what they wrapped; once everything is wrapped anew, DropOldKeys ends their use. The file
// is replaced as a whole.
func RotateKeys(path string) error {
	return changeKeys(path, func(m *keyset.Manager) error {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// DropOldKeys removes every key-encryption key from the file but the primary one, and returns how many it removed. What
// those keys wrap can never be opened again: the caller checks first that they wrap nothing.
func DropOldKeys(path string) (int, error) {
	n := 0
	err := changeKeys(path, func(m *keyset.Manager) error {
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
	return n, err
}

// changeKeys changes the keyset of a key file. The new file replaces the old one atomically.
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

// KeyInfo names a key-encryption key of the key file.
type KeyInfo struct {
	ID      uint32
	Primary bool // it wraps what is new
}

// KeyEncryptionKeys lists the key-encryption keys of the file.
func (k *Keys) KeyEncryptionKeys() []KeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	info := k.handle.KeysetInfo()
	var out []KeyInfo
	for _, i := range info.GetKeyInfo() {
		out = append(out, KeyInfo{ID: i.GetKeyId(), Primary: i.GetKeyId() == info.GetPrimaryKeyId()})
	}
	return out
}

// PrimaryPrefix is the prefix of what Wrap encrypts.
func (k *Keys) PrimaryPrefix() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Prefix(k.handle.KeysetInfo().GetPrimaryKeyId())
}

// PrefixSize is how many bytes of a Tink ciphertext say which key opens it: the version 1 and the key's ID.
const PrefixSize = 5

// Prefix is how ciphertexts of a key-encryption key begin.
func Prefix(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{1}, id) }

// KeyIDOf reads the ID of the key-encryption key from a prefix; false if it is not one.
func KeyIDOf(prefix []byte) (uint32, bool) {
	if len(prefix) != PrefixSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(prefix[1:]), true
}
