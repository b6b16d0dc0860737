package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/workflows"
)

// beforeBackup is how much earlier than the newest row is looked: clocks differ.
const beforeBackup = time.Hour

// samplesOfOrders is how many of the newest orders are looked for in Temporal, before anything is done.
const samplesOfOrders = 50

type restoredOptions struct {
	since        time.Time
	first        int
	temporalLost bool
	yes          bool
}

func newRestored() *cobra.Command {
	var since string
	var o restoredOptions
	cmd := &cobra.Command{
		Use: "restored", Short: "Reconcile a database that was restored from a backup", Args: cobra.NoArgs,
		Long: `Run this once the database is restored, from a dump or a base backup, before any API or worker starts.
Since the backup, keys were sold, money was refunded and partners were called. The command asks Temporal
what became of each line and makes sure that nothing is done twice and nothing is lost:

  keys that may have been sold since are quarantined: import new ones afterwards
  lines that were refunded are refunded again under the same key, so that the provider pays once
  lines that may have received keys from a pool, a person or a URL are held: check their e-mails, then resolve them
  every other open line continues; its partner is called under the same ID
  payments of checkout links are asked for at their providers: one that was paid since makes its order
  Stripe is asked for everything since, and the sums are printed that it has and this database does not: what was
    refunded there is not refunded again; payments that are not here are given back, if you say so
  orders that are missing are listed: have them sent again, and their lines get the same IDs

The time of the backup is read from the database: its newest row. Before anything is changed the command
checks that the database can be written, has this version's schema, opens with this key file, is used by nobody
else, and is the one whose workflows Temporal has.

It can be repeated. docs/run/operating.md describes the whole procedure.` + databaseEnv +
			" TEMPORAL_ADDRESS and Temporal's other variables name its server; KEYTURN_STRIPE_KEY and KEYTURN_INSTALLATION " +
			"are those of API and workers.",
		Example: `  keyturn restored
  keyturn restored --first 2000                      no pool has sold more than 2,000 keys since
  keyturn restored --yes                             give back what the database does not have, without asking
  keyturn restored --since 2026-05-14T03:00:00Z      the database's clock was wrong: look at all since this time`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				at, err := time.Parse(time.RFC3339, since)
				if err != nil {
					return keyturn.Errorf(keyturn.KindInvalid, "--since must be a time such as 2026-05-14T03:00:00Z")
				}
				o.since = at
			}
			if o.first < 0 {
				return keyturn.Errorf(keyturn.KindInvalid, "--first must not be negative")
			}
			return runRestored(cmd.Context(), cmd, o)
		},
	}
	cmd.Flags().StringVar(&since, "since", "",
		"look at everything since this time, if it is earlier than the newest row; "+
			"the time that an earlier run printed repeats that run")
	cmd.Flags().IntVar(&o.first, "first", 0, "upper bound of keys that each pool has sold since; 0: no bound")
	cmd.Flags().BoolVar(&o.temporalLost, "temporal-lost", false,
		"Temporal has lost its state, too: hold every open line that may have got keys")
	cmd.Flags().BoolVar(&o.yes, "yes", false,
		"give back at Stripe what was paid for payments that the database does not have, without asking")
	return cmd
}

func runRestored(ctx context.Context, cmd *cobra.Command, o restoredOptions) error {
	from := databaseFromEnv()
	from.url = db.WithApplication(from.url, fmt.Sprintf("keyturn-restored-%d", os.Getpid()))
	d, err := from.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := db.CheckSchema(ctx, from.url); err != nil {
		return err
	}
	since, err := d.InspectRestored(ctx, o.since)
	if err != nil {
		return err
	}
	abroad, err := askProviders(ctx, cmd.ErrOrStderr(), d, since.Add(-beforeBackup))
	if err != nil {
		return err
	}
	c, err := dialTemporal("")
	if err != nil {
		return err
	}
	defer c.Close()
	var outcomes []db.WorkflowOutcome
	if o.temporalLost {
		if outcomes, err = d.UnknownOutcomes(ctx); err != nil {
			return err
		}
	} else if err := sameInstallation(ctx, d, c); err != nil {
		return repeatable(err, since)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the backup knows of nothing after %s; to repeat this run: --since %[1]s\n",
		since.Format(time.RFC3339Nano))
	stopped, err := starter.StopWorkflows(ctx, c, workflows.TaskQueue)
	if err != nil {
		return repeatable(err, since)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "stopped %s; open lines get new ones\n",
		counted(stopped, "workflow", "workflows"))
	known, err := starter.WorkflowOutcomes(ctx, c, workflows.TaskQueue, since.Add(-beforeBackup), func(n int) {
		fmt.Fprintf(cmd.ErrOrStderr(), "asked %s\n", counted(n, "workflow", "workflows"))
	})
	if err != nil {
		return repeatable(err, since)
	}
	knows := map[string]bool{} // after all
	for _, k := range known {
		knows[k.FulfillmentID] = true
	}
	outcomes = slices.DeleteFunc(outcomes, func(u db.WorkflowOutcome) bool { return knows[u.FulfillmentID] })
	payments, err := starter.PaymentOutcomes(ctx, c, workflows.TaskQueue, since.Add(-beforeBackup))
	if err != nil {
		return repeatable(err, since)
	}
	known = append(known, outcomes...)
	for _, a := range abroad {
		if err := a.Settle(ctx); err != nil {
			return err
		}
		if known, err = a.AddOutcomes(ctx, known); err != nil {
			return err
		}
	}
	out, err := d.Restored(ctx, since, o.first, known)
	if err != nil {
		return err
	}
	if out.MissingPayments, err = d.MissingPayments(ctx, payments); err != nil {
		return err
	}
	orders := map[string]string{}
	for _, p := range payments {
		orders[p.PaymentID] = p.OrderID
	}
	for _, a := range abroad {
		if err := a.CatchUp(ctx); err != nil {
			return err
		}
		if err := giveBack(ctx, cmd, a, o.yes, orders); err != nil {
			return err
		}
		out.Money = append(out.Money, a.Sums()...)
	}
	return show(cmd, out, func(w io.Writer) { tellRestored(w, out) })
}

// repeatable says of a Temporal that does not answer what that means and what to do. Until it has answered everything,
// the database is as it was restored; a workflow that was ended is asked for its outcome all the same.
func repeatable(err error, since time.Time) error {
	if keyturn.KindOf(err) != keyturn.KindUnavailable {
		return err
	}
	return keyturn.Errorf(keyturn.KindUnavailable, "Temporal did not answer in time. Nothing was changed in the "+
		"database; workflows may have been ended, whose lines get new ones. Once Temporal answers, run it again before any API or "+
		"worker starts, `keyturn restored --since %s`: %w", since.Format(time.RFC3339Nano), err)
}

// sameInstallation refuses a database and a Temporal that do not belong together, because ending the workflows of
// another installation, or missing the outcomes of this one, cannot be undone.
func sameInstallation(ctx context.Context, d *db.DB, c client.Client) error {
	newest, err := d.NewestFulfillments(ctx, samplesOfOrders)
	if err != nil || len(newest) == 0 {
		return err
	}
	known, err := starter.KnowsAny(ctx, c, newest)
	if err != nil || known {
		return err
	}
	return keyturn.Errorf(keyturn.KindConflict, "Temporal knows no workflow of the newest orders in this database: check "+
		"KEYTURN_DATABASE_URL, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE. If both are right, Temporal has lost its state, or "+
		"its retention is shorter than the backup is old: --temporal-lost then holds every line that may have got keys")
}

func tellRestored(w io.Writer, r db.Restored) {
	fmt.Fprintf(w, "%7d keys that may have been sold are quarantined: import new ones\n", r.Keys)
	fmt.Fprintf(w, "%7d lines were refunded since, and will be refunded again under the same key\n", r.Refunded)
	fmt.Fprintf(w, "%7d lines may have received keys and are HELD: `keyturn order list --status PARTIAL_COMPLETED`, see "+
		"their e-mails, `keyturn resolve`\n", r.Held)
	fmt.Fprintf(w, "%7d lines continue once API and workers run\n", r.Woken)
	fmt.Fprintf(w, "%7d payments of checkout links are asked for at their providers then, and make their orders if they "+
		"are paid\n", r.Payments)
	tellMoney(w, r.Money)
	if len(r.MissingPayments) > 0 {
		fmt.Fprintf(w, "%7d payments of checkout links are missing; look for them at the payment provider, and give "+
			"back what was taken:\n", len(r.MissingPayments))
		for _, p := range r.MissingPayments {
			fmt.Fprintf(w, "        %s (order %s)\n", p.PaymentID, p.OrderID)
		}
	}
	fmt.Fprintf(w, "%7d orders are missing; have them sent again under the same idempotency keys:\n", len(r.Missing))
	for _, id := range r.Missing {
		fmt.Fprintf(w, "        %s\n", id)
	}
}
