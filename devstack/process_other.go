//go:build unix && !linux

package devstack

import "syscall"

// childAttributes returns the child a process group of its own. Only Linux can also end it when we are killed.
func childAttributes(_ syscall.Signal, user *owner) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: user.credential()}
}
