package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/vault"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Manage the keys that encrypt secrets",
		Example: "  keyturn keys create /etc/keyturn/keys.json",
	}
	cmd.AddCommand(&cobra.Command{
		Use: "create FILE", Short: "Create the key file of a new database",
		Long: "Creates the key file of a new database. Keep a copy apart from the database's backups: the secrets in " +
			"the database cannot be read without it.",
		Example: "  keyturn keys create /etc/keyturn/keys.json", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := vault.CreateKeys(args[0]); err != nil {
				return fmt.Errorf("make the key file: %w", err)
			}
			return show(cmd, map[string]string{"file": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "made %s; set KEYTURN_KEYS to it, and keep a copy in a safe place\n", args[0])
			})
		},
	})
	cmd.AddCommand(newKeysRotate(), newKeysRewrap(), newKeysRetire(), newKeysShow())
	return cmd
}
