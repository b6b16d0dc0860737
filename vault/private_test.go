package vault_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

// Whoever can read the key file reads every secret: it is refused, for root and for everybody else, until it is
// private.
func TestAKeyFileThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(path))
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o600), mode(), "as it is made")
	for _, open := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o444, 0o660, 0o666} {
		require.NoError(t, os.Chmod(path, open))
		_, err := vault.LoadKeys(path)
		require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err), open)
		require.ErrorContains(t, err, "run chmod 600 "+path)
		require.ErrorContains(t, err, "reads every secret in the database")
		require.Error(t, vault.RotateKeys(path), "neither is it rotated")
	}
	for _, private := range []os.FileMode{0o600, 0o400} {
		require.NoError(t, os.Chmod(path, private))
		_, err := vault.LoadKeys(path)
		require.NoError(t, err)
	}
	require.NoError(t, vault.RotateKeys(path))
	require.Equal(t, os.FileMode(0o600), mode(), "as it is replaced")
}

// As orchestrators mount secrets: in memory, read-only, readable for all. It takes the right to mount.
func TestASecretOfAnOrchestratorMayBeReadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount := func(args ...string) error {
		return exec.CommandContext(t.Context(), "mount", append(args, dir)...).Run()
	}
	if os.Getuid() != 0 || mount("-t", "tmpfs", "tmpfs") != nil {
		t.Skip("mounting takes root")
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	path := filepath.Join(dir, "keys.json")
	require.NoError(t, vault.CreateKeys(path))
	require.NoError(t, os.Chmod(path, 0o444))
	_, err := vault.LoadKeys(path)
	require.ErrorContains(t, err, "chmod 600", "not while it can be changed")
	require.NoError(t, mount("-o", "remount,ro"))
	_, err = vault.LoadKeys(path)
	require.NoError(t, err)
}
