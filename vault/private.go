package vault

import (
	"io"
	"io/fs"
	"os"

	"keyturn.dev/keyturn"
)

// readPrivate reads a key file that nobody but its owner can read. KindConfiguration for one that others can.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if tooOpen(info.Mode(), func() bool { return isSecretsMount(f) }) {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the key file %s has mode %04o, so others on this machine can "+
			"read or replace it, and whoever has it reads every secret in the database: run chmod 600 %s", path,
			info.Mode().Perm(), path)
	}
	return io.ReadAll(f)
}

// tooOpen says whether others than the owner can read or write a file of this mode. Orchestrators give secrets to a
// container as files in memory, read-only and often readable for all (Docker Swarm 0444, Kubernetes 0644): there the
// container is what keeps others out, and chmod is not possible.
func tooOpen(mode fs.FileMode, secretsMount func() bool) bool {
	const others, othersWrite = 0o077, 0o022
	return mode.Perm()&othersWrite != 0 || mode.Perm()&others != 0 && !secretsMount()
}
