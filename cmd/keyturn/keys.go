package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
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

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Manage API tokens",
		Example: "  keyturn token create shop --scope orders:write --scope orders:read",
	}
	var scopes []string
	create := &cobra.Command{
		Use: "create NAME", Short: "Create an API token",
		Long: "Creates an API token and prints it once; only its hash is stored. Scopes: " +
			strings.Join(api.Scopes, ", ") + "." + configHelp,
		Example: "  keyturn token create shop --scope orders:write --scope orders:read", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range scopes {
				if !slices.Contains(api.Scopes, s) {
					return keyturn.Errorf(keyturn.KindInvalid, "there is no scope %s; there are %s", s, strings.Join(api.Scopes, ", "))
				}
			}
			if !keyturn.ValidID(args[0]) {
				return keyturn.Errorf(keyturn.KindInvalid, "the name must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
			}
			d, err := databaseFromEnv().open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			text, err := d.CreateToken(cmd.Context(), db.Token{Name: args[0], Scopes: scopes})
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"name": args[0], "token": text, "scopes": scopes}, func(w io.Writer) {
				fmt.Fprintln(w, text)
			})
		},
	}
	create.Flags().StringSliceVar(&scopes, "scope", nil, "scope of the token; repeatable")
	_ = create.MarkFlagRequired("scope")
	cmd.AddCommand(create)
	return cmd
}
