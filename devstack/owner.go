package devstack

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the unprivileged user that PostgreSQL runs as when we are root; it refuses to run as root. A nil owner
// stands for ourselves.
type owner struct {
	name     string
	uid, gid int
}

// serverOwner is nil for an ordinary user.
func serverOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil stands for ourselves
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil {
			return &owner{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody " +
		"to run it as; run this as an ordinary user")
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)} //nolint:gosec // IDs are never negative
}

// take makes a private directory, or the tree of one that exists, the owner's.
func (o *owner) take(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of PostgreSQL: %w", err)
	}
	if o == nil {
		return nil
	}
	// Confined to the directory: the owner can write there, and we are root.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory of PostgreSQL: %w", err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = root.Lchown(path, o.uid, o.gid)
		}
		if err != nil {
			return fmt.Errorf("give the directory of PostgreSQL to the user %s: %w", o.name, err)
		}
		return nil
	})
}

// reaches reports whether the owner can pass through to the directory. Only the permission for others counts: the owner
// is a user of no consequence.
func (o *owner) reaches(dir string) bool {
	for o != nil {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return true
}
