package devstack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Dir is a data directory held by this process alone. What the servers keep is below it; so are their logs, in logs/.
type Dir struct {
	path string
	id   string // made with the directory: tells a directory that was deleted and made anew from the one before
	lock *os.File
}

// Open makes the data directory where it is missing and takes it for this process. A second process that opens it gets
// an error that names the first. Close gives it back; so does the end of the process, however it ends.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	// 0711: the unprivileged user that PostgreSQL runs as when we are root passes through, and nobody lists it.
	if err := os.MkdirAll(filepath.Join(path, "logs"), 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("make the data directory: %w; choose another with --data-dir", err)
	}
	lock, err := takeLock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, err
	}
	id, err := readOrCreate(filepath.Join(path, "id"))
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	held.Store(lock, true)
	return &Dir{path: path, id: id, lock: lock}, nil
}

// held keeps the locks of Dirs that nobody refers to any more from the garbage collector, which would release them
// while the servers still run.
var held sync.Map

// Path is a path below the data directory.
func (d *Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// Close lets another process open the directory. Stop the servers first.
func (d *Dir) Close() error {
	held.Delete(d.lock)
	if err := d.lock.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("release the data directory: %w", err)
	}
	return nil
}

// takeLock relies on flock, which the kernel undoes with the process: a crash leaves no stale lock behind.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data directory: %w; choose another with --data-dir", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("the data directory %s is in use by the process with PID %s; stop that one, or run beside "+
			"it with --data-dir and --port-offset",
			filepath.Dir(path), strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write the lock of the data directory: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// readOrCreate returns the content of a small private file, made with a random text when it is missing or was cut
// short.
func readOrCreate(path string) (string, error) {
	const length = 26 // of rand.Text
	if have, err := os.ReadFile(path); err == nil && len(have) == length {
		return string(have), nil
	}
	text := rand.Text()[:length]
	if err := writeFile(path, text); err != nil {
		return "", err
	}
	return text, nil
}

// writeFile writes by rename, so that a reader never sees half of it.
func writeFile(path, text string) error {
	part := path + ".part"
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
