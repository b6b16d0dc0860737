package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newIntegration() *cobra.Command {
	cmd := &cobra.Command{
		Use: "integration", Short: "Test integrations and show the state of partners",
		Example: "  keyturn integration check catalog.yaml --send\n  keyturn integration replay 0198…\n  keyturn " +
			"integration show acme-licenses",
	}
	cmd.AddCommand(withAPI(&cobra.Command{
		Use: "show INTEGRATION", Short: "Show the state of a partner: breaker, waiting lines, limits, certificates",
		Example: "  keyturn integration show acme-licenses\n  keyturn integration show acme-licenses --output json",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Integration(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printIntegration(w, v, time.Now()) })
	}))
	cmd.AddCommand(newIntegrationCheck(), newIntegrationReplay())
	return cmd
}

func printIntegration(w io.Writer, v keyturn.IntegrationView, now time.Time) {
	limits, p := v.Limits.WithDefaults(), v.Partner
	fmt.Fprintf(w, "%s  %s  auth %s\n", v.ID, v.BaseURL, v.Auth.Type)
	fmt.Fprintf(w, "breaker  %s", p.Breaker)
	switch {
	case p.Breaker != keyturn.BreakerClosed:
		fmt.Fprintf(w, " for %s: %s", now.Sub(*p.OpenedAt).Round(time.Second), p.Failure)
	case p.Failing > 0:
		fmt.Fprintf(w, ", %s failed in a row: %s", counted(p.Failing, "order", "orders"), p.Failure)
	}
	fmt.Fprintln(w)
	if p.NextTryAt != nil {
		fmt.Fprintf(w, "next attempt %s\n", p.NextTryAt.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(w, "calls    %d under way of %d; at most %g a second; %s each\n", p.Running, limits.MaxConcurrent,
		limits.PerSecond, time.Duration(limits.Timeout))
	fmt.Fprintf(w, "waiting  %s", counted(p.Waiting, "line", "lines"))
	if p.OldestAt != nil {
		fmt.Fprintf(w, ", the oldest ordered %s ago", now.Sub(*p.OldestAt).Round(time.Second))
	}
	fmt.Fprintln(w)
	for _, c := range v.Certificates {
		fmt.Fprintf(w, "%-8s %s, expires %s, SHA-256 %s\n", c.Use, c.Subject, c.NotAfter.UTC().Format("2006-01-02"),
			c.Fingerprint)
	}
}
