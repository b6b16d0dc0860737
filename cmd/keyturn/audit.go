package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/workflows"
)

type auditOptions struct {
	mailbox, partnerLog           string
	submissions                   string // the order system's journal
	honeypots                     string
	erasures                      string
	payments                      []string
	temporal, quiescent, all, dev bool
	processors                    bool
	processorsFor                 time.Duration
	noStore, gentle               bool
	dir                           string
	offset                        int
	slack                         time.Duration

	database databaseConfig
	address  string // Temporal's; empty: TEMPORAL_ADDRESS
}

// shownViolations is how many of each invariant are printed without --all, and keptViolations how many are stored.
const (
	shownViolations = 20
	keptViolations  = 100
	allViolations   = 10_000_000
)

func newAudit() *cobra.Command {
	o := auditOptions{}
	cmd := &cobra.Command{
		Use: "audit", Short: "Prove that the books balance: no order lost, no key twice, delivered or refunded",
		Long: `Checks every invariant of docs/run/audit.md in one snapshot of the database. It can run at any time,
also under load: it locks nothing and writes only its result. With a mailbox, a partner's log and
Temporal it checks more; the report says what was not checked for lack of them. While lines are
under way, only what is later than --slack counts as overdue; use --quiescent for a system at rest.
The exit status is 1 if an invariant is violated.

A schedule runs an audit every night; the subcommands now, list and show ask the API about those.
` + auditHelp,
		Example: `  keyturn audit --dev                                          the development stack with all its evidence
  KEYTURN_DATABASE_URL=postgres://… KEYTURN_KEYS=/etc/keyturn/keys.json keyturn audit --temporal
  keyturn audit --mailbox http://127.0.0.1:8025 --partner-log http://127.0.0.1:8090/_emulator/log
  keyturn audit --quiescent --all --output json > audit.json
  keyturn audit now                                            have the schedule do it, and wait for the result`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAudit(cmd.Context(), cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.mailbox, "mailbox", "", "address of a mail inbox, or its directory")
	f.StringVar(&o.partnerLog, "partner-log", "", "address of a partner emulator's log, or its file of JSON lines")
	f.StringVar(&o.honeypots, "honeypot-log", "",
		"log of a server that nobody should ask (the emulator's: /_emulator/honeypot): address or file of JSON lines")
	f.StringVar(&o.submissions, "submissions", "", "journal of the order system, a file of JSON lines (docs/run/audit.md)")
	f.StringArrayVar(&o.payments, "payment-log", nil,
		"books of a payment provider other than the sandbox: till=payments.jsonl; may be repeated")
	f.BoolVar(&o.processors, "processors", false,
		"compare with the lists of payment processors: Stripe's, by KEYTURN_STRIPE_KEY and KEYTURN_INSTALLATION")
	f.DurationVar(&o.processorsFor, "processors-for", 0, "with --processors: how far back; 0: 96h")
	f.StringVar(&o.erasures, "erasures", "",
		"file with the list of erasures that is kept outside (keyturn customer erasures)")
	f.BoolVar(&o.temporal, "temporal", false,
		"compare with the workflows that are open in Temporal (TEMPORAL_ADDRESS and the rest)")
	f.BoolVar(&o.quiescent, "quiescent", false, "the system is at rest: apply the strict form of every invariant")
	f.DurationVar(&o.slack, "slack", 0, "tolerance before something counts as overdue; 0: 10m, or 30s with --quiescent")
	f.BoolVar(&o.all, "all", false, "list every violation")
	f.BoolVar(&o.noStore, "no-store", false, "do not store the result in the database")
	f.BoolVar(&o.gentle, "gentle", false,
		"rest between the parts: it takes twice as long, and leaves more of a busy machine to sales")
	f.BoolVar(&o.dev, "dev", false, "audit the development stack that runs on this machine, with all its evidence")
	f.StringVar(&o.dir, "data-dir", ".keyturn", "with --dev: the directory of its state")
	f.IntVar(&o.offset, "port-offset", 0, "with --dev: the offset that it was started with")
	cmd.AddCommand(newAuditNow(), newAuditList(), newAuditShow())
	return cmd
}

const auditHelp = `
Settings come from the environment: KEYTURN_DATABASE_URL, KEYTURN_KEYS; with --temporal TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS… as for Temporal's own tools.`

func runAudit(ctx context.Context, cmd *cobra.Command, o auditOptions) error {
	o.database = databaseFromEnv()
	if o.dev {
		if err := o.useDev(); err != nil {
			return err
		}
	}
	d, err := o.database.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	e := audit.Evidence{DB: d, Quiescent: o.quiescent, Gentle: o.gentle, Slack: o.slack, Listed: keptViolations}
	if o.all {
		e.Listed = allViolations
	}
	done, err := o.addEvidence(ctx, &e)
	defer done()
	if err != nil {
		return err
	}
	report, err := audit.Run(ctx, e)
	if err != nil {
		return err
	}
	if !o.noStore {
		if err := storeAudit(ctx, d, report); err != nil {
			return err
		}
	}
	if err := show(cmd, report, func(w io.Writer) { printAudit(w, &report.AuditReport, o.all) }); err != nil {
		return err
	}
	if !report.OK {
		return keyturn.Errorf(keyturn.KindConflict, "%s of %s", counted(report.Violations, "violation", "violations"),
			strings.Join(report.Violated(), ", "))
	}
	return nil
}

// useDev takes the settings and the evidence of the development stack.
func (o *auditOptions) useDev() error {
	p := portsAt(o.offset)
	dsn, err := devstack.RunningPostgres(o.dir, p.postgres, "keyturn")
	if err != nil {
		return keyturn.Errorf(keyturn.KindInvalid,
			"the development stack is not running: start it with `keyturn dev`, or set --data-dir and "+
				"--port-offset as it was started: %w",
			err)
	}
	o.mailbox, o.partnerLog, o.temporal = filepath.Join(o.dir, "inbox"), filepath.Join(o.dir, "partner", "requests.jsonl"),
		true
	if honeypots := filepath.Join(o.dir, "partner", "honeypot.jsonl"); fileIsThere(honeypots) {
		o.honeypots = honeypots
	}
	o.database, o.address = databaseConfig{url: dsn, keysFile: filepath.Join(o.dir, "keys.json")}, addr(p.temporal)
	return nil
}

func fileIsThere(path string) bool { _, err := os.Stat(path); return err == nil }

// addEvidence opens what was named. done closes it again.
func (o auditOptions) addEvidence(ctx context.Context, e *audit.Evidence) (done func(), err error) {
	done = func() {}
	if o.mailbox != "" {
		if e.Mailbox, err = audit.OpenMailbox(o.mailbox); err != nil {
			return done, err
		}
	}
	if o.partnerLog != "" {
		if e.Partner, err = audit.OpenPartnerLog(o.partnerLog); err != nil {
			return done, err
		}
	}
	if o.honeypots != "" {
		if e.Honeypots, err = audit.OpenPartnerLog(o.honeypots); err != nil {
			return done, err
		}
	}
	if o.erasures != "" {
		if e.Erasures, err = readErasures(o.erasures); err != nil {
			return done, err
		}
	}
	if o.submissions != "" {
		if e.Submissions, err = audit.OpenSubmissions(o.submissions); err != nil {
			return done, err
		}
	}
	if len(o.payments) > 0 {
		e.Payments = []audit.Payments{audit.SandboxPayments{}}
	}
	for _, named := range o.payments {
		provider, path, _ := strings.Cut(named, "=")
		books, err := audit.OpenPaymentLog(provider, path)
		if err != nil {
			return done, err
		}
		e.Payments = append(e.Payments, books)
	}
	if o.processors {
		if e.Processors, err = configuredProcessors(ctx, e.DB); err != nil {
			return done, err
		}
		e.ProcessorsFor = o.processorsFor
	}
	if !o.temporal {
		return done, nil
	}
	c, err := dialTemporal(o.address)
	if err != nil {
		return done, err
	}
	e.Temporal = audit.Temporal{Client: c, TaskQueue: workflows.TaskQueue}
	return c.Close, nil
}

// dialTemporal returns a client that connects when it is first used. An empty address is that of Temporal's own
// settings.
func dialTemporal(address string) (client.Client, error) {
	options, err := temporalOptions(address, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return client.NewLazyClient(options)
}

// storeAudit keeps a report with the first violations of each invariant.
func storeAudit(ctx context.Context, d *db.DB, r *audit.Report) error {
	text, err := json.Marshal(r.Capped(keptViolations))
	if err != nil {
		return err
	}
	_, err = d.SaveAudit(ctx, db.Audit{StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, OK: r.OK, Report: string(text)},
		r.Findings())
	return err
}

func printAudit(w io.Writer, r *keyturn.AuditReport, all bool) {
	for _, res := range r.Invariants {
		mark := "ok"
		switch {
		case !res.Checked:
			mark = "not checked"
		case res.Violations > 0:
			mark = fmt.Sprintf("%d VIOLATED", res.Violations)
		}
		fmt.Fprintf(w, "%-3s %s  %-12s %s\n", res.ID, res.Severity, mark, res.Meaning)
		if note := auditNote(res); note != "" {
			fmt.Fprintf(w, "%21s%s\n", "", note)
		}
		for i, v := range res.Listed {
			if i == shownViolations && !all {
				break
			}
			fmt.Fprintf(w, "%21s%s\n", "", v)
		}
		if rest := res.Violations - int64(min(len(res.Listed), shownViolations)); rest > 0 && !all {
			fmt.Fprintf(w, "%21s… and %d more (--all)\n", "", rest)
		}
	}
	fmt.Fprintf(w, "\n%d of %d invariants checked in %s, %s\n", r.Checked, len(r.Invariants),
		r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond), counted(r.Violations, "violation", "violations"))
}

// auditNote says what was looked at, and what could not be.
func auditNote(res keyturn.InvariantResult) string {
	var parts []string
	for _, c := range res.Looked {
		parts = append(parts, fmt.Sprintf("%d %s", c.N, c.What))
	}
	if !res.Checked {
		parts = nil
	}
	if res.NotChecked != "" {
		parts = append(parts, res.NotChecked)
	}
	return strings.Join(parts, ", ")
}
