package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newAlert() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alert", Short: "List and close alerts",
		Example: "  keyturn alert list\n  keyturn alert close 17 --reason \"key blocked at the publisher\"",
	}
	var all bool
	var cause string
	limit := 50
	list := &cobra.Command{
		Use: "list", Short: "List the open alerts, the newest first", Args: cobra.NoArgs,
		Long: "Lists the open alerts. Most close automatically; a `*` marks those that stay open until a person closes " +
			"them (keyturn alert close).",
		Example: "  keyturn alert list\n  keyturn alert list --cause Revocation\n  keyturn alert list --all --output json",
	}
	list.Flags().BoolVar(&all, "all", false, "include closed alerts")
	list.Flags().StringVar(&cause, "cause", "", "only alerts with this cause (docs/run/operating.md lists them)")
	list.Flags().IntVar(&limit, "limit", limit, "number of alerts, 1 to 200")
	cmd.AddCommand(withAPI(list, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		found, err := api.Alerts(ctx, all, keyturn.AlertCause(cause), limit)
		if err != nil {
			return err
		}
		return show(cmd, found, func(w io.Writer) {
			if len(found) == 0 {
				fmt.Fprintln(w, "no open alerts (--all includes closed ones)")
				return
			}
			printAlerts(w, found)
		})
	}))
	var reason string
	end := &cobra.Command{
		Use: "close ID", Short: "Close an alert", Args: cobra.ExactArgs(1),
		Long: "Closes an alert that needs a person to act outside Keyturn, such as telling a partner or blocking a key " +
			"at its publisher.",
		Example: "  keyturn alert close 17 --reason \"key blocked at the publisher\"",
	}
	end.Flags().StringVar(&reason, "reason", "", "how the alert was resolved; recorded")
	_ = end.MarkFlagRequired("reason")
	cmd.AddCommand(withAPI(end, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return keyturn.Errorf(keyturn.KindInvalid, "%q is not the ID of an alert: `keyturn alert list` shows them", args[0])
		}
		v, err := api.CloseAlert(ctx, id, reason)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printAlerts(w, []keyturn.AlertView{v}) })
	}))
	return cmd
}

func printAlerts(w io.Writer, alerts []keyturn.AlertView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ALERT\tSINCE\tCLOSED\tCAUSE\tABOUT\tHAPPENED")
	for _, a := range alerts {
		closed, mark := "-", ""
		if a.ClosedAt != nil {
			closed = a.ClosedAt.UTC().Format(time.DateTime)
			if a.ClosedBy != "" {
				closed += " by " + a.ClosedBy
			}
		}
		if a.Closable {
			mark = "*"
		}
		fmt.Fprintf(t, "%d%s\t%s\t%s\t%s\t%s\t%s\n", a.ID, mark, a.OpenedAt.UTC().Format(time.DateTime), closed, a.Cause,
			aboutOf(a), a.Happened)
	}
	_ = t.Flush()
}

func aboutOf(a keyturn.AlertView) string {
	switch {
	case a.OrderID != "":
		return "order " + a.OrderID + " " + a.FulfillmentID
	case a.Pool != "":
		return "pool " + a.Pool
	}
	return a.Subject
}
