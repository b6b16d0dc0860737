package devstack

import "syscall"

// childAttributes puts the child into its own process group and has it killed if we die first.
func childAttributes(orphan syscall.Signal, user *owner) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphan, Credential: user.credential()}
}
