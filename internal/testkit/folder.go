package testkit

import (
	"fmt"
	"os"
	"syscall"
)

// sharedMemory is Linux's filesystem in memory. Making and dropping a database for a test is making and deleting some
// 600 files: on a disk that is busy with other journals that takes a second, in memory a few hundredths of one.
const sharedMemory = "/dev/shm"

// memoryWanted is how much room the servers of the tests may need there; a container has 64 MB by default.
const memoryWanted = 3 << 30

// Folder makes a temporary folder for servers, in memory where there is room for them. When we are root, PostgreSQL
// runs as a user who must pass through, so everybody may. The caller removes it.
func Folder(pattern string) (string, error) {
	parent := ""
	var room syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &room); err == nil && room.Bavail*uint64(room.Bsize) >= memoryWanted { //nolint:gosec // a block's size is positive
		parent = sharedMemory
	}
	path, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := os.Chmod(path, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("open a temporary folder: %w", err)
	}
	return path, nil
}
