// Package debian gets programs from the packages of a Debian-like distribution: installed by root, or unpacked into a
// folder by an ordinary user, who needs no more than apt-get and dpkg for it.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Here reports whether this is such a distribution.
func Here() bool {
	for _, program := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

// Install installs packages with the system's package manager. Only root can.
func Install(ctx context.Context, names ...string) error {
	if err := run(ctx, "", "apt-get", "update", "-q"); err != nil {
		return err
	}
	// The time-out waits for another installation that holds the lock, such as a nightly upgrade.
	args := append([]string{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=180"}, names...)
	return run(ctx, "", "apt-get", args...)
}

// InstallPostgres installs PostgreSQL's programs, without the server that the package would set up and start.
func InstallPostgres(ctx context.Context) error {
	const (
		folder = "/etc/postgresql-common/createcluster.d"
		file   = folder + "/keyturn-dev.conf"
	)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // the system's own mode for it
		return fmt.Errorf("tell PostgreSQL's package to set up no server: %w", err)
	}
	if err := os.WriteFile(file, []byte("create_main_cluster = false\n"), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("tell PostgreSQL's package to set up no server: %w", err)
	}
	err := Install(ctx, "postgresql")
	return errors.Join(err, os.Remove(file))
}

// Libraries lists the folders with shared libraries below an unpacked root, for LD_LIBRARY_PATH.
func Libraries(root string) []string {
	var found []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		matches, _ := filepath.Glob(filepath.Join(root, pattern)) // only a malformed pattern is an error
		found = append(found, matches...)
	}
	return found
}

func run(ctx context.Context, dir, name string, args ...string) error {
	_, err := output(ctx, dir, name, args...)
	return err
}

// output runs a command and gives its standard output; an error shows the end of what it said.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // apt-get and dpkg
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(stdout.String()+stderr.String()), "\n")
		return nil, fmt.Errorf("%s %s: %w:\n  %s", name, args[0], err, strings.Join(lines[max(0, len(lines)-8):], "\n  "))
	}
	return stdout.Bytes(), nil
}
