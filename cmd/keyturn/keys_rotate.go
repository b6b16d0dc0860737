package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/vault"
)

const rotationHelp = `
A rotation in full, while everything runs:
  1. keyturn keys rotate FILE      adds a new key to the file; copy the file to every machine and keep a backup
  2. keyturn keys rewrap           wraps all data keys with the new key; orders are untouched
  3. keyturn keys retire FILE      removes the old keys from the file once they wrap nothing`

func newKeysRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate FILE", Short: "Add a new key to the key file", Args: cobra.ExactArgs(1),
		Long: "Adds a key-encryption key to the key file. It wraps new data keys; old keys remain for reading. Running " +
			"processes reload the file when they meet data wrapped with the new key." + rotationHelp,
		Example: "  keyturn keys rotate /etc/keyturn/keys.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := vault.RotateKeys(args[0]); err != nil {
				return err
			}
			return show(cmd, map[string]string{"file": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "%s has a new key: copy the file to every machine, keep a backup, then run keyturn keys rewrap\n",
					args[0])
			})
		},
	}
}

func newKeysRewrap() *cobra.Command {
	return &cobra.Command{
		Use: "rewrap", Short: "Wrap all data keys with the newest key", Args: cobra.NoArgs,
		Long: "Wraps the data keys of customers and pools, and the secrets of integrations, with the newest key of the " +
			"key file (KEYTURN_KEYS). Safe to interrupt, to repeat, and to run while orders come in." + rotationHelp,
		Example: "  keyturn keys rewrap",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := databaseFromEnv().open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			progress := newBar(cmd.ErrOrStderr(), 0)
			n, err := d.RewrapAll(cmd.Context(), progress.count)
			progress.end()
			if err != nil {
				return fmt.Errorf("after %d: %w", n, err)
			}
			return show(cmd, map[string]int{"rewrapped": n}, func(w io.Writer) {
				fmt.Fprintf(w, "%s rewrapped\n", counted(n, "data key", "data keys"))
			})
		},
	}
}

func newKeysRetire() *cobra.Command {
	return &cobra.Command{
		Use: "retire FILE", Short: "Remove old keys from the key file", Args: cobra.ExactArgs(1),
		Long: "Removes old key-encryption keys from the key file, provided that they wrap nothing in the database. " +
			"Backups from before the rewrap need the old file: keep it as long as the backups." + rotationHelp,
		Example: "  keyturn keys retire /etc/keyturn/keys.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c := databaseFromEnv()
			c.keysFile = args[0]
			d, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			n, err := d.RetireKeys(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, map[string]int{"retired": n}, func(w io.Writer) {
				fmt.Fprintf(w, "removed %s from %s\n", counted(n, "old key", "old keys"), args[0])
			})
		},
	}
}

func newKeysShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the keys of the key file and their use", Args: cobra.NoArgs, Example: "  keyturn keys show",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := databaseFromEnv().open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			uses, err := d.KeyUses(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, uses, func(w io.Writer) {
				for _, u := range uses {
					note := ""
					if u.Primary {
						note = ", the newest"
					}
					fmt.Fprintf(w, "key %s wraps %d%s\n", u.ID, u.Wraps, note)
				}
			})
		},
	}
}
