package vault

import (
	"os"
	"syscall"
)

const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
	readOnly   = 1 // ST_RDONLY
)

// isSecretsMount says whether the file is in memory and mounted read-only.
func isSecretsMount(f *os.File) bool {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &s); err != nil {
		return false
	}
	inMemory := int64(s.Type) == tmpfsMagic || uint32(s.Type) == ramfsMagic //nolint:gosec,unconvert // as the platform has it
	return inMemory && s.Flags&readOnly != 0
}
