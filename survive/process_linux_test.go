package survive_test

import "syscall"

// attributes give the child a group of its own, and its end when the test dies first.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
