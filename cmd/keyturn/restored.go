package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/workflows"
)

// beforeBackup is how much earlier than the backup is looked: clocks differ, and a backup takes a while.
const beforeBackup = 5 * time.Minute

func newRestored() *cobra.Command {
	var since string
	var first int
	cmd := &cobra.Command{
		Use: "restored --since TIME", Short: "Reconcile a database that was restored from a backup", Args: cobra.NoArgs,
		Long: `Run this once the database is restored, before any API or worker starts. Since the backup, keys were
sold, money was refunded and partners were called. It asks Temporal what became of each line and
makes sure that nothing is done twice and nothing is lost:

  keys that may have been sold since are quarantined: import new ones afterwards
  lines that were refunded are refunded again under the same key, so that the provider pays once
  lines that may have received keys from a pool, a person or a URL are held: check their e-mails, then resolve them
  every other open line continues; its partner is called under the same ID
  orders that are missing are listed: have them sent again, and their lines get the same IDs

It can be repeated. docs/run/operating.md describes the whole procedure.` + databaseEnv +
			" TEMPORAL_ADDRESS and Temporal's other variables name its server.",
		Example: `  keyturn restored --since 2026-05-14T03:00:00Z
  keyturn restored --since 2026-05-14T03:00:00Z --first 2000     no pool has sold more than 2,000 keys since`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := time.Parse(time.RFC3339, since)
			if err != nil {
				return fmt.Errorf("--since must be the time of the backup, such as 2026-05-14T03:00:00Z")
			}
			if first < 0 {
				return fmt.Errorf("--first must not be negative")
			}
			return runRestored(cmd.Context(), cmd, at, first)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "time of the backup, or of its last commit")
	cmd.Flags().IntVar(&first, "first", 0, "upper bound of keys that each pool has sold since; 0: no bound")
	_ = cmd.MarkFlagRequired("since")
	return cmd
}

func runRestored(ctx context.Context, cmd *cobra.Command, since time.Time, first int) error {
	d, err := databaseFromEnv().open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	c, err := dialTemporal("")
	if err != nil {
		return err
	}
	defer c.Close()
	stopped, err := starter.StopWorkflows(ctx, c, workflows.TaskQueue)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "stopped %d workflows; open lines get new ones\n", stopped)
	happened, err := starter.WorkflowOutcomes(ctx, c, workflows.TaskQueue, since.Add(-beforeBackup), func(n int) {
		fmt.Fprintf(cmd.ErrOrStderr(), "asked %d workflows\n", n)
	})
	if err != nil {
		return err
	}
	out, err := d.Restored(ctx, since, first, happened)
	if err != nil {
		return err
	}
	return show(cmd, out, func(w io.Writer) { tellRestored(w, out) })
}

func tellRestored(w io.Writer, r db.Restored) {
	fmt.Fprintf(w, "%7d keys that may have been sold are quarantined: import new ones\n", r.Keys)
	fmt.Fprintf(w, "%7d lines were refunded since, and will be refunded again under the same key\n", r.Refunded)
	fmt.Fprintf(w, "%7d lines may have received keys and are HELD: `keyturn order list --status PARTIAL_COMPLETED`, see "+
		"their e-mails, `keyturn resolve`\n", r.Held)
	fmt.Fprintf(w, "%7d lines continue once API and workers run\n", r.Woken)
	fmt.Fprintf(w, "%7d orders are missing; have them sent again under the same idempotency keys:\n", len(r.Missing))
	for _, id := range r.Missing {
		fmt.Fprintf(w, "        %s\n", id)
	}
}
