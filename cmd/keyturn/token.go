package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Create, list and withdraw API tokens",
		Long: "Creates, lists and withdraws API tokens. No route of the API does." + databaseEnv,
		Example: "  keyturn token create shop --scope orders:write --scope orders:read\n  keyturn token list\n" +
			"  keyturn token withdraw shop",
	}
	cmd.AddCommand(newTokenCreate(), newTokenList(), newTokenWithdraw())
	return cmd
}

// What a token's requests may have beyond the fields that the API knows.
const (
	refuseUnknownFields = "refuse"
	ignoreUnknownFields = "ignore"
)

func newTokenCreate() *cobra.Command {
	var scopes []string
	var prefix string
	unknownFields := refuseUnknownFields
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an API token",
		Long: `Creates an API token and prints it once; only its hash is stored. The name appears in records of
what was done with the token, and is never given again.

A token with a --prefix is a merchant's: it sees, makes and touches only orders, products, pools,
integrations and webhooks whose ID begins with the prefix, and what belongs to those orders. To it,
everything else does not exist. A token without one sees all.

Scopes: ` + strings.Join(api.Scopes, ", ") + "." + databaseEnv,
		Example: "  keyturn token create shop --scope orders:write --scope orders:read\n  keyturn token create m42 " +
			"--prefix m42: --scope orders:write,orders:read,catalog:write,keys:write,ops\n  keyturn token create erp " +
			"--scope orders:write --unknown-fields ignore", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := db.Client{Name: args[0], Scopes: scopes, Prefix: keyturn.Prefix(prefix)}
			c.IgnoreUnknownFields = unknownFields == ignoreUnknownFields
			if err := checkClient(c, unknownFields); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), func(ctx context.Context, d *db.DB) error {
				text, err := d.CreateToken(ctx, c)
				if err != nil {
					return err
				}
				made := map[string]any{"name": c.Name, "token": text, "scopes": scopes, "unknownFields": unknownFields}
				if prefix != "" {
					made["prefix"] = prefix
				}
				return show(cmd, made, func(w io.Writer) { fmt.Fprintln(w, text) })
			})
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "scope of the token; repeatable")
	cmd.Flags().StringVar(&prefix, "prefix", "",
		"what the IDs begin with that the token sees, makes and touches, such as m42:; default: it sees all")
	cmd.Flags().StringVar(&unknownFields, "unknown-fields", unknownFields,
		"unknown fields of its requests: refuse, or ignore for an order system that sends more than Keyturn knows")
	_ = cmd.MarkFlagRequired("scope")
	return cmd
}

func checkClient(c db.Client, unknownFields string) error {
	for _, s := range c.Scopes {
		if !slices.Contains(api.Scopes, s) {
			return keyturn.Errorf(keyturn.KindInvalid, "there is no scope %s; there are %s", s, strings.Join(api.Scopes, ", "))
		}
	}
	if !keyturn.ValidID(c.Name) {
		return keyturn.Errorf(keyturn.KindInvalid, "the name must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	}
	if unknownFields != refuseUnknownFields && unknownFields != ignoreUnknownFields {
		return keyturn.Errorf(keyturn.KindInvalid, "--unknown-fields must be %s or %s", refuseUnknownFields,
			ignoreUnknownFields)
	}
	return c.Prefix.Check()
}

// listedToken is a token as the command shows it.
type listedToken struct {
	Name          string     `json:"name"`
	Scopes        []string   `json:"scopes"`
	Prefix        string     `json:"prefix,omitempty"`
	UnknownFields string     `json:"unknownFields"`
	CreatedAt     time.Time  `json:"createdAt"`
	LastUsedAt    *time.Time `json:"lastUsedAt,omitempty"`
	WithdrawnAt   *time.Time `json:"withdrawnAt,omitempty"`
}

func newTokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List API tokens", Args: cobra.NoArgs,
		Long: "Lists all tokens, also those that were withdrawn: name, scopes, prefix, when it was made, when it was used " +
			"last (to a minute), and when it was withdrawn." + databaseEnv,
		Example: "  keyturn token list\n  keyturn token list --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd.Context(), func(ctx context.Context, d *db.DB) error {
				found, err := d.Tokens(ctx)
				if err != nil {
					return err
				}
				out := make([]listedToken, len(found))
				for i, t := range found {
					out[i] = listedToken{
						Name: t.Name, Scopes: t.Scopes, Prefix: string(t.Prefix), UnknownFields: refuseUnknownFields,
						CreatedAt: t.CreatedAt, LastUsedAt: t.LastUsedAt, WithdrawnAt: t.WithdrawnAt,
					}
					if t.IgnoreUnknownFields {
						out[i].UnknownFields = ignoreUnknownFields
					}
				}
				return show(cmd, map[string]any{"tokens": out}, func(w io.Writer) { printTokens(w, out) })
			})
		},
	}
}

func printTokens(w io.Writer, tokens []listedToken) {
	if len(tokens) == 0 {
		fmt.Fprintln(w, "no tokens: make one with `keyturn token create`")
		return
	}
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.DateTime)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSCOPES\tPREFIX\tUNKNOWN FIELDS\tCREATED\tLAST USED\tWITHDRAWN")
	for _, token := range tokens {
		prefix := token.Prefix
		if prefix == "" {
			prefix = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", token.Name, strings.Join(token.Scopes, ","), prefix,
			token.UnknownFields, at(&token.CreatedAt), at(token.LastUsedAt), at(token.WithdrawnAt))
	}
	_ = t.Flush()
}

func newTokenWithdraw() *cobra.Command {
	return &cobra.Command{
		Use: "withdraw NAME", Short: "Withdraw an API token", Args: cobra.ExactArgs(1),
		Long: "Withdraws a token for good: each API process refuses it within " + api.TokenLife.String() + ", and ends its " +
			"streams. Withdrawing it again changes nothing." + databaseEnv,
		Example: "  keyturn token withdraw shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDatabase(cmd.Context(), func(ctx context.Context, d *db.DB) error {
				if err := d.WithdrawToken(ctx, args[0]); err != nil {
					return err
				}
				return show(cmd, map[string]any{"name": args[0], "withdrawn": true}, func(w io.Writer) {
					fmt.Fprintf(w, "withdrew %s: API processes refuse it within %s\n", args[0], api.TokenLife)
				})
			})
		},
	}
}

// withDatabase opens the database of the environment's settings for fn.
func withDatabase(ctx context.Context, fn func(context.Context, *db.DB) error) error {
	d, err := databaseFromEnv().open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return fn(ctx, d)
}
