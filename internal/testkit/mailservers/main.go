// Mailservers gets the mail servers of `make test/mail`: Debian's Postfix, Exim and Dovecot, each unpacked into a folder
// of its own, because the first two cannot be installed side by side.
//
//	mailservers FOLDER
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"keyturn.dev/keyturn/devstack/debian"
)

// packages are what each server is made of.
var packages = map[string][]string{
	"postfix": {"postfix"}, "exim": {"exim4-daemon-light"}, "dovecot": {"dovecot-imapd", "dovecot-lmtpd"},
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := get(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mailservers:", err)
		os.Exit(1)
	}
}

func get(ctx context.Context) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: mailservers FOLDER")
	}
	folder, err := filepath.Abs(os.Args[1]) // apt-get takes relative ones for its own
	if err != nil {
		return err
	}
	for name, of := range packages {
		if err := debian.Unpack(ctx, filepath.Join(folder, name), debian.Packages{Names: of}); err != nil {
			return err
		}
	}
	return nil
}
