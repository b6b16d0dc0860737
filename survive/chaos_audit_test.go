//go:build chaos

package survive_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/workflows"
)

// evidence is all that there is, but for Temporal.
func (l *lab) evidence() (audit.Evidence, error) {
	e := audit.Evidence{DB: l.books, Listed: 1000}
	var err error
	if e.Mailbox, err = audit.OpenMailbox(filepath.Join(l.dir, "mailbox")); err != nil {
		return e, err
	}
	if e.Partner, err = audit.OpenPartnerLog(filepath.Join(l.dir, "partner", "requests.jsonl")); err != nil {
		return e, err
	}
	if e.Submissions, err = audit.OpenSubmissions(filepath.Join(l.dir, "orders.jsonl")); err != nil {
		return e, err
	}
	till, err := audit.OpenPaymentLog("till", filepath.Join(l.dir, "payments.jsonl"))
	e.Payments = []audit.Payments{audit.SandboxPayments{}, till}
	return e, err
}

// auditAlong checks, while faults are on, everything that must hold at any moment.
func (l *lab) auditAlong(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(6 * time.Second):
		}
		e, err := l.evidence()
		if err != nil {
			continue // nobody has written it yet
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		r, err := audit.Run(ctx, e)
		cancel()
		if err != nil {
			l.note("an audit under way was cut short: %v", err)
			continue
		}
		l.tally.add("audits while faults were on", 1)
		l.judge("while faults are on", r, nil)
	}
}

// auditAtRest is the strict form, with every evidence.
func (l *lab) auditAtRest(explained func(id string) bool) {
	l.t.Helper()
	e, err := l.evidence()
	require.NoError(l.t, err)
	c := l.dial()
	defer c.Close()
	e.Erasures, err = l.books.Erasures(context.Background())
	require.NoError(l.t, err)
	e.Quiescent, e.Temporal = true, audit.Temporal{Client: c, TaskQueue: workflows.TaskQueue}
	r, err := audit.Run(context.Background(), e)
	require.NoError(l.t, err)
	for _, res := range r.Invariants {
		if res.Checked {
			l.tally.checked[res.ID] = true
		}
	}
	l.judge("at rest", r, explained)
}

// judge books what an audit found.
func (l *lab) judge(when string, r *audit.Report, explained func(id string) bool) {
	for _, res := range r.Invariants {
		for _, v := range res.Listed {
			if explained != nil && explained(res.ID) {
				l.tally.mu.Lock()
				l.tally.excepted[res.ID]++
				l.tally.mu.Unlock()
				continue
			}
			l.tally.mu.Lock()
			l.tally.broken[res.ID]++
			l.tally.mu.Unlock()
			l.t.Errorf("%s violated %s: %s: %s", res.ID, when, res.Meaning, v)
		}
		if rest := res.Violations - int64(len(res.Listed)); rest > 0 && (explained == nil || !explained(res.ID)) {
			l.t.Errorf("%s violated %s: %d more", res.ID, when, rest)
		}
	}
}

func (l *lab) dial() client.Client {
	l.t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: l.current().temporal.Address(),
		Logger:   log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(l.t, err)
	return c
}

// quietMost is the time after the last fault in which everything has to be decided.
const quietMost = 10 * time.Minute

// quiesce waits until nothing is left to do anywhere, and gives how long that took.
func (l *lab) quiesce(since time.Time) time.Duration {
	l.t.Helper()
	c := l.dial()
	defer c.Close()
	l.calmReceivers()
	for {
		left := l.left(c)
		if left == "" {
			return time.Since(since)
		}
		if time.Since(since) > quietMost {
			l.t.Fatalf("liveness: after %s without faults there are still %s", quietMost, left)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (l *lab) left(c client.Client) string {
	var lines, payments, outbox, owed, unsent, alerts int
	if err := l.direct.QueryRow(`SELECT (SELECT count(*) FROM line_items WHERE status NOT IN ('DELIVERED', 'CANCELED')),
		(SELECT count(*) FROM payments WHERE ended_at IS NULL)
			+ (SELECT count(*) FROM payment_refunds WHERE status <> 'DONE')
			+ (SELECT count(*) FROM payment_mails WHERE due_at IS NOT NULL),
		(SELECT count(*) FROM outbox), (SELECT count(*) FROM revocations WHERE status = 'OWED'),
			(SELECT count(*) FROM deliveries WHERE status = 'SENDING'),
		(SELECT count(*) FROM alerts WHERE mailed_at IS NULL)`).Scan(&lines, &payments, &outbox, &owed, &unsent,
		&alerts); err != nil {
		return err.Error()
	}
	// The nightly audit's schedule is no line's.
	list, err := c.ListWorkflow(context.Background(),
		&workflowservice.ListWorkflowExecutionsRequest{Query: `ExecutionStatus = "Running"`, PageSize: 100})
	if err != nil {
		return err.Error()
	}
	open := []string{}
	for _, w := range list.GetExecutions() {
		if id := w.GetExecution().GetWorkflowId(); !isSchedule(id) {
			open = append(open, id)
		}
	}
	if err := hurryHooks(l.direct); err != nil {
		return err.Error()
	}
	events, err := hooksLeft(l.direct)
	if err != nil {
		return err.Error()
	}
	if lines+payments+outbox+owed+unsent+alerts+events+len(open) == 0 {
		return ""
	}
	return fmt.Sprintf("%d lines undecided, %d payments under way, %d starts due, %d cancels owed, "+
		"%d e-mails under way, %d alerts to mail, %d events to tell, %d workflows open\n%s",
		lines, payments, outbox, owed, unsent, alerts, events, len(open), l.undecided(open))
}

// undecided describes some of what is left.
func (l *lab) undecided(open []string) string {
	s := &site{t: l.t, sql: l.direct}
	return s.undecided(open)
}

// count adds up what came of the orders.
func (l *lab) count() {
	l.t.Helper()
	for what, counted := range map[string]string{
		"orders":                       `orders`,
		"lines delivered":              `line_items WHERE status = 'DELIVERED'`,
		"lines refunded":               `line_items WHERE status = 'CANCELED'`,
		"cancels that partners took":   `revocations WHERE status = 'DONE'`,
		"keys replaced after a recall": `replacements WHERE status = 'DONE'`,
		"customers erased":             `erasures`,
		"orders by checkout links":     `orders WHERE payment_id IS NOT NULL`,
		"payments captured":            `payments WHERE status = 'CAPTURED'`,
		"payments let go or lost":      `payments WHERE status IN ('VOIDED', 'LOST')`,
		"alerts of clocks that differ": `alerts WHERE cause = 'ClockSkew'`,
		"alerts of moved partners":     `alerts WHERE cause = 'PartnerMoved'`,
	} {
		var n int64
		require.NoError(l.t, l.direct.QueryRow(`SELECT count(*) FROM `+counted).Scan(&n))
		l.tally.add(what, n)
	}
	letters, err := os.ReadDir(filepath.Join(l.dir, "mailbox"))
	require.NoError(l.t, err)
	l.tally.add("e-mails that arrived", int64(len(letters)))
	l.tally.add("requests repeated by the order system", l.load.repeats.Load())
}
