package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

// auditWait is how long `audit now` waits: millions of lines, and one that runs already.
const auditWait = 30 * time.Minute

func newAuditNow() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "now", Short: "Start an audit and wait for its result", Args: cobra.NoArgs,
		Long: `Starts an audit on the running system and waits for the result. As in the nightly audit, stalled
lines are restarted and violations are alerted. The exit status is 1 if an invariant is violated.`,
		Example: "  keyturn audit now --api https://keyturn.example.com",
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		ctx, cancel := context.WithTimeout(ctx, auditWait)
		defer cancel()
		fmt.Fprintln(cmd.ErrOrStderr(), "audit requested; waiting for its result")
		found, err := api.AuditNow(ctx)
		if err != nil {
			return err
		}
		return showAudit(cmd, found)
	})
}

func newAuditList() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use: "list", Short: "List the latest audits", Example: "  keyturn audit list --limit 5",
		Args: cobra.NoArgs,
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "number of audits, 1 to 100")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		found, err := api.Audits(ctx, limit)
		if err != nil {
			return err
		}
		return show(cmd, found, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "AUDIT\tAT\tTOOK\tCHECKED\tVIOLATED\tREPAIRED")
			for _, a := range found {
				violated := "-"
				if !a.OK {
					violated = strings.Join(a.Violated, " ")
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\n", a.ID, a.SnapshotAt.UTC().Format(time.DateTime),
					a.FinishedAt.Sub(a.StartedAt).Round(time.Millisecond), a.Checked, violated, len(a.Repaired))
			}
			_ = t.Flush()
		})
	})
}

func newAuditShow() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "show [ID]", Short: "Show an audit; default: the latest", Args: cobra.MaximumNArgs(1),
		Long: "Shows an audit, by default the latest, with every invariant and its first hundred violations. Exits " +
			"with status 1 if an invariant is violated.",
		Example: "  keyturn audit show\n  keyturn audit show 0198… --output json",
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		if len(args) == 0 {
			latest, err := api.Audits(ctx, 1)
			if err != nil {
				return err
			}
			if len(latest) == 0 {
				return keyturn.Errorf(keyturn.KindNotFound,
					"no audit has run yet: wait for the nightly one, or run `keyturn audit now`")
			}
			args = []string{latest[0].ID}
		}
		found, err := api.Audit(ctx, args[0])
		if err != nil {
			return err
		}
		return showAudit(cmd, found)
	})
}

func showAudit(cmd *cobra.Command, a keyturn.AuditDetail) error {
	if err := show(cmd, a, func(w io.Writer) {
		printAudit(w, a.Report, false)
		for _, what := range a.Repaired {
			fmt.Fprintln(w, "set going again:", what)
		}
	}); err != nil {
		return err
	}
	if !a.OK {
		return keyturn.Errorf(keyturn.KindConflict, "%s of %s", counted(a.Violations, "violation", "violations"),
			strings.Join(a.Violated, ", "))
	}
	return nil
}
