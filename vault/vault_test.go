package vault_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := vault.LoadKeys(path)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.ErrorContains(t, err, "keyturn keys create")

	require.NoError(t, vault.CreateKeys(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.ErrorIs(t, vault.CreateKeys(path), os.ErrExist, "keys are never overwritten")

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, damaged := range map[string]string{
		"empty": "", "cut": string(text[:len(text)/2]), "not ours": "{}", "another's": `{"hashKey":"AAAA"}`,
		"without its keyset": `{"hashKey":"` + strings.Repeat("A", 44) + `"}`,
	} {
		bad := filepath.Join(t.TempDir(), "bad.json")
		require.NoError(t, os.WriteFile(bad, []byte(damaged), 0o600))
		_, err := vault.LoadKeys(bad)
		require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
		require.ErrorContains(t, err, "damaged", name)
		require.NotContains(t, err.Error(), "AAAA", name)
	}
	keys, err := vault.LoadKeys(path)
	require.NoError(t, err)
	again, err := vault.LoadKeys(path)
	require.NoError(t, err)
	require.Equal(t, keys.MAC("page/1"), again.MAC("page/1"))
	require.NotEqual(t, keys.MAC("page/1"), keys.MAC("page/2"))
	require.Equal(t, keys.Fingerprint("K-1"), again.Fingerprint("K-1"))
	require.NotEqual(t, keys.Fingerprint("K-1"), keys.Fingerprint("K-2"))
}

// newKeys creates a key file and loads it.
func newKeys(t *testing.T) (keys *vault.Keys, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(path))
	keys, err := vault.LoadKeys(path)
	require.NoError(t, err)
	return keys, path
}

// What is sealed opens for the same owner at the same place, and nowhere else.
func TestSecretsOpenOnlyWhereTheyWereSealed(t *testing.T) {
	t.Parallel()
	keys, _ := newKeys(t)
	ada, wrapped, err := keys.NewDataKey("customer/ada")
	require.NoError(t, err)
	sealed, err := ada.Seal([]byte("secret"), "orders/1")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "secret")

	same, err := keys.OpenDataKey(wrapped, "customer/ada")
	require.NoError(t, err)
	plain, err := same.Open(sealed, "orders/1")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))

	_, err = same.Open(sealed, "orders/2")
	require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err))
	_, err = keys.OpenDataKey(wrapped, "customer/bob")
	require.ErrorIs(t, err, vault.ErrWrongKeys)
	other, _ := newKeys(t)
	_, err = other.OpenDataKey(wrapped, "customer/ada")
	require.ErrorIs(t, err, vault.ErrWrongKeys)
}

// Without the wrapped form there is nothing to open, once the key has left the memory.
func TestErasedSecrets(t *testing.T) {
	t.Parallel()
	keys, _ := newKeys(t)
	dk, wrapped, err := keys.NewDataKey("customer/ada")
	require.NoError(t, err)
	require.True(t, keys.Cached("customer/ada"))
	keys.Forget(wrapped, "customer/ada")
	require.False(t, keys.Cached("customer/ada"))
	_, err = keys.OpenDataKey(nil, "customer/ada")
	require.ErrorIs(t, err, vault.ErrErased)
	_, err = dk.Open(nil, "orders/1")
	require.ErrorIs(t, err, vault.ErrErased)
}

// A process that runs on with the file of before opens what a new key wrapped, and old keys open until they are
// dropped.
func TestRotation(t *testing.T) {
	t.Parallel()
	keys, path := newKeys(t)
	old, err := keys.Wrap([]byte("secret"), "a")
	require.NoError(t, err)
	before := keys.PrimaryPrefix()
	require.Equal(t, before, old[:vault.PrefixSize])
	fingerprint := keys.Fingerprint("K-1")

	require.NoError(t, vault.RotateKeys(path))
	rotated, err := vault.LoadKeys(path)
	require.NoError(t, err)
	require.NotEqual(t, before, rotated.PrimaryPrefix())
	require.Equal(t, fingerprint, rotated.Fingerprint("K-1"))
	wrapped, err := rotated.Wrap([]byte("newer"), "a")
	require.NoError(t, err)
	for _, k := range []*vault.Keys{keys, rotated} {
		for text, sealed := range map[string][]byte{"secret": old, "newer": wrapped} {
			plain, err := k.Unwrap(sealed, "a")
			require.NoError(t, err)
			require.Equal(t, text, string(plain))
		}
	}
	require.Equal(t, rotated.KeyEncryptionKeys(), keys.KeyEncryptionKeys())
	id, ok := vault.KeyIDOf(before)
	require.True(t, ok)
	require.Contains(t, keys.KeyEncryptionKeys(), vault.KeyInfo{ID: id})

	n, err := vault.DropOldKeys(path)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	last, err := vault.LoadKeys(path)
	require.NoError(t, err)
	require.Len(t, last.KeyEncryptionKeys(), 1)
	_, err = last.Unwrap(old, "a")
	require.Error(t, err)
	_, err = last.Unwrap(wrapped, "a")
	require.NoError(t, err)
}

// A running process wraps by the newest key, although it has met nothing that this key has wrapped: what it wrapped by
// an old key after that key was found unused would be lost with the key.
func TestARunningProcessWrapsByTheNewestKey(t *testing.T) {
	t.Parallel()
	keys, path := newKeys(t)
	_, err := keys.Wrap([]byte("secret"), "a")
	require.NoError(t, err)
	require.NoError(t, vault.RotateKeys(path))
	rotated, err := vault.LoadKeys(path)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		sealed, err := keys.Wrap([]byte("newer"), "a")
		return err == nil && bytes.HasPrefix(sealed, rotated.PrimaryPrefix())
	}, 30*time.Second, 50*time.Millisecond)
}
