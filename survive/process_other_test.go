//go:build !linux

package survive_test

import "syscall"

// attributes give the child a group of its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
