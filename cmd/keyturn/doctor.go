package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/doctor"
)

func newDoctor() *cobra.Command {
	var to string
	var noMail bool
	var backupAge time.Duration
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check that an installation is set up so that it works", Args: cobra.NoArgs,
		Long: `Checks settings, key file, database, poolers, Temporal and its workers, webhooks, and how e-mails are
sent: the mail server, SPF, DKIM, DMARC and MX in DNS, and whether what cannot be delivered comes
back, by an e-mail to an address that does not exist. It explains what is wrong and what to do. The
exit status is 1 if anything is wrong. It reads the environment of the processes, and changes
nothing.`,
		Example: "  keyturn doctor\n  keyturn doctor --no-round-trip --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := examine(cmd.Context(), examination{noMail: noMail, to: to, backupAge: backupAge})
			err := show(cmd, report, func(w io.Writer) { printFindings(w, report) })
			if err == nil && !report.OK {
				err = errFound
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&noMail, "no-round-trip", false, "send no e-mail")
	cmd.Flags().StringVar(&to, "to", "",
		"the address that does not exist; default: one at the domain of KEYTURN_MAIL_FROM")
	cmd.Flags().DurationVar(&backupAge, "backup-age", 24*time.Hour,
		"how old a backup may be that you restore; Temporal must remember for as long")
	return cmd
}

var errFound = errors.New("something is wrong")

// examination is what is to be examined.
type examination struct {
	noMail    bool
	to        string
	backupAge time.Duration
}

// examine makes all checks that the settings allow. Without settings there is one.
func examine(ctx context.Context, e examination) doctor.Report {
	c, err := configFromEnv()
	settings := doctor.Check{Area: "settings", Name: "environment", Look: func(context.Context) doctor.Finding {
		if err != nil {
			return doctor.Bad("correct what is named; docs/run/settings.md has every setting", "%s", err.Error())
		}
		return doctor.Found("complete")
	}}
	if err != nil {
		return doctor.Run(ctx, []doctor.Check{settings})
	}
	quiet := slog.New(slog.DiscardHandler)
	a, openErr := newApp(ctx, c, quiet)
	opened := doctor.Check{Area: "database", Name: "key file and schema", Look: func(context.Context) doctor.Finding {
		if openErr != nil {
			return doctor.Bad("do what it says", "%s", openErr.Error())
		}
		return doctor.Found("the database opens with the key file, and has this build's schema")
	}}
	if openErr != nil {
		return doctor.Run(ctx, []doctor.Check{settings, opened})
	}
	defer a.close()
	checks := []doctor.Check{settings, opened}
	checks = append(checks, a.databaseChecks()...)
	checks = append(checks, a.temporalChecks(e)...)
	checks = append(checks, a.webhookCheck())
	checks = append(checks, a.mailChecks(net.DefaultResolver)...)
	checks = append(checks, a.roundTrip(e))
	return doctor.Run(ctx, checks)
}

func printFindings(w io.Writer, r doctor.Report) {
	area := ""
	for _, f := range r.Findings {
		if f.Area != area {
			fmt.Fprintf(w, "\n%s\n", f.Area)
			area = f.Area
		}
		fmt.Fprintf(w, "  %-8s %s: %s\n", f.Status, f.Check, f.Found)
		if f.ToDo != "" {
			fmt.Fprintf(w, "           %s\n", strings.ToUpper(f.ToDo[:1])+f.ToDo[1:]+".")
		}
	}
	fmt.Fprintln(w)
}
