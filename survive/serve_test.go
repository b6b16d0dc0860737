package survive_test

import (
	"fmt"
	"os"
	"time"

	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/devstack/paymentemulator"
)

// The test's binary plays the merchant's neighbours, each as a process of its own that can be killed: what they took is
// on the disk before they say so. The role is in the environment, and so are its folder and its ports.
const (
	roleEnv     = "KEYTURN_SURVIVE_ROLE" // mail, partner, payment or hooks
	roleDirEnv  = "KEYTURN_SURVIVE_DIR"
	roleAddrEnv = "KEYTURN_SURVIVE_ADDR"
	rolePageEnv = "KEYTURN_SURVIVE_PAGE" // mail: its HTTP address
	roleToken   = "canary-till-token-41" // that the payment provider wants to see
)

func serve(role string) {
	dir, addr := os.Getenv(roleDirEnv), os.Getenv(roleAddrEnv)
	var start func() error
	switch role {
	case "mail":
		start = inbox.New(inbox.Config{SMTPAddr: addr, HTTPAddr: os.Getenv(rolePageEnv), Dir: dir, Sync: true}).Start
	case "partner":
		start = emulator.New(emulator.Config{Addr: addr, Dir: dir, Fsync: true}).Start
	case "payment":
		start = paymentemulator.New(paymentemulator.Config{
			Addr: addr, Journal: dir, Token: roleToken,
			Latency: 40 * time.Millisecond,
		}).Start
	case "hooks":
		start = func() error { return startHooks(addr, dir) }
	default:
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	select {} // until somebody kills it
}
