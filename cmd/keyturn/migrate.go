package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/starter"
)

func newMigrate() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Migrate the database schema, and create Temporal's search attributes",
		Long: "Migrates the database (KEYTURN_DATABASE_URL) to this version's schema. Migrations are additive: the " +
			"previous version can keep running. Where TEMPORAL_ADDRESS is set, it also creates the search attributes that " +
			"Temporal's namespace lacks; a worker does so, too, when it starts.",
		Example: "  KEYTURN_DATABASE_URL=postgres://… keyturn migrate", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dsn, err := secretFromEnv(databaseURLEnv)
			if err != nil {
				return err
			}
			if dsn == "" {
				return keyturn.Errorf(keyturn.KindInvalid, "KEYTURN_DATABASE_URL is not set: set it to the database's address")
			}
			done, err := db.Migrate(cmd.Context(), dsn)
			if err != nil {
				return err
			}
			temporal, err := prepareTemporal(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"applied": slices.Concat([]string{}, done), "searchAttributes": temporal},
				func(w io.Writer) {
					for _, name := range done {
						fmt.Fprintln(w, "applied", name)
					}
					fmt.Fprintln(w, "the database is up to date")
					if temporal {
						fmt.Fprintln(w, "Temporal's namespace has the search attributes")
					}
				})
		},
	}
}

// prepareTimeout is how long migrate waits for a Temporal that does not answer.
const prepareTimeout = 15 * time.Second

// prepareTemporal creates the search attributes where Temporal's settings give an address, and says whether they are
// there. A Temporal that does not answer is no failure: the worker does the same when it starts.
func prepareTemporal(ctx context.Context, progress io.Writer) (bool, error) {
	options, err := temporalOptions("", slog.New(slog.DiscardHandler))
	if err != nil || options.HostPort == "" {
		return false, err
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return false, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	namespace := namespaceOf(options)
	missing, err := starter.EnsureSearchAttributes(ctx, c, namespace)
	if err != nil && len(missing) == 0 {
		fmt.Fprintf(progress, "Temporal at %s does not answer; a worker creates the search attributes of the namespace %s "+
			"when it starts: %v\n", options.HostPort, namespace, err)
		return false, nil
	}
	if len(missing) > 0 {
		return false, keyturn.Errorf(keyturn.KindConfiguration, "the database is up to date, but Temporal's namespace %s "+
			"lacks the search attributes %s, which could not be created, and without them no workflow starts: %s: %w", namespace,
			strings.Join(missing, ", "), starter.HowToCreate(namespace), err)
	}
	return true, nil
}

// namespaceOf is Temporal's namespace by its own settings.
func namespaceOf(o client.Options) string {
	if o.Namespace == "" {
		return client.DefaultNamespace
	}
	return o.Namespace
}
