package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is a database cluster on disk, ready to be served.
type cluster struct {
	programs *programs
	owner    *owner
	home     string // holds data/ and the password
	data     string
	password string
}

// openCluster finds the cluster of the data directory, makes it where there is none, and clears away what an earlier
// run that was killed may have left.
func openCluster(ctx context.Context, dir *Dir, noSync bool, progress func(string)) (*cluster, error) {
	// The programs come first: installing them makes the user that the server runs as.
	found, err := findPrograms(ctx, dir, progress)
	if err != nil {
		return nil, err
	}
	owner, err := serverOwner()
	if err != nil {
		return nil, err
	}
	home, err := clusterHome(dir, owner, progress)
	if err != nil {
		return nil, err
	}
	if err := owner.take(home); err != nil {
		return nil, err
	}
	c := &cluster{owner: owner, home: home, data: filepath.Join(home, "data")}
	if c.programs, err = choosePrograms(found, c.data); err != nil {
		return nil, err
	}
	if c.password, err = readOrCreate(filepath.Join(home, "password")); err != nil {
		return nil, err
	}
	if err := c.initialise(ctx, noSync); err != nil {
		return nil, err
	}
	return c, c.clearStalePID()
}

// systemHome is where the cluster lives when the server's user cannot reach the data directory.
func systemHome(dir *Dir) string {
	return filepath.Join("/var/lib/keyturn-dev", strings.ReplaceAll(strings.Trim(dir.path, "/"), "/", "-"))
}

// clusterHome chooses where the cluster lives. A cluster in the system's place belongs to the data directory it was
// made for: when that was deleted and made anew, its orders are meant to be gone too.
func clusterHome(dir *Dir, owner *owner, progress func(string)) (string, error) {
	if owner.reaches(dir.path) {
		return dir.Path("postgres"), nil
	}
	home := systemHome(dir)
	if id, err := os.ReadFile(filepath.Join(home, "id")); err == nil && string(id) != dir.id {
		if err := os.RemoveAll(home); err != nil {
			return "", fmt.Errorf("clear the database of a deleted data directory: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o711); err != nil { //nolint:gosec // the server's user passes through
		return "", fmt.Errorf("make the directory of PostgreSQL: %w; choose a data directory that the user %s can reach "+
			"with --data-dir", err, owner.name)
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of PostgreSQL: %w", err)
	}
	progress(fmt.Sprintf("PostgreSQL keeps its data in %s: it runs as the user %s, who cannot reach %s", home, owner.name,
		dir.path))
	return home, writeFile(filepath.Join(home, "id"), dir.id)
}

// initialise runs initdb beside the final place and renames the result, so that what is in the final place is complete.
func (c *cluster) initialise(ctx context.Context, noSync bool) error {
	switch _, err := os.Stat(filepath.Join(c.data, "PG_VERSION")); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at the database cluster: %w", err)
	}
	if left, err := os.ReadDir(c.data); err == nil && len(left) > 0 {
		return fmt.Errorf("%s is not a complete PostgreSQL data directory (it has no PG_VERSION); move it away or delete "+
			"it, and start again", c.data)
	}
	part := c.data + ".new" // of an initdb that was killed; never served, so nothing is lost with it
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(c.data)); err != nil {
		return fmt.Errorf("clear a half-made database cluster: %w", err)
	}
	if err := c.owner.take(c.home); err != nil { // the password file was written by us
		return err
	}
	args := []string{
		"-D", part, "--username=" + superuser, "--pwfile=" + filepath.Join(c.home, "password"), "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if noSync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, c.programs.path("initdb"), args...) //nolint:gosec // a program that we found
	cmd.Env = append(os.Environ(), c.programs.env()...)
	cmd.Dir = c.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner.credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the database cluster with initdb: %w:\n%s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(part, c.data); err != nil {
		return fmt.Errorf("put the database cluster in its place: %w", err)
	}
	return nil
}

// clearStalePID removes the PID file of a server that is gone. PostgreSQL does so itself, except when another process
// of the same user has that PID now. A server that still runs was told to stop when its parent died: it gets a moment.
func (c *cluster) clearStalePID() error {
	path := filepath.Join(c.data, "postmaster.pid")
	for deadline := time.Now().Add(releaseTimeout); ; time.Sleep(100 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // no file, no server
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || !c.serves(pid) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove a stale PID file: %w", err)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another PostgreSQL (PID %d) serves %s; stop it with `kill -INT %d`, and start again", pid, c.data,
				pid)
		}
	}
}

// serves reports whether the process is a PostgreSQL on our data. Where that cannot be seen, a living process counts.
func (c *cluster) serves(pid int) bool {
	if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)) // a server's is its data directory
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return cwd == c.data
}
