package devstack

import "syscall"

// childAttributes gives the child a process group of its own and a signal for the case that we die first.
func childAttributes(orphan syscall.Signal, user *owner) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphan, Credential: user.credential()}
}
