// Package audit proves that the books balance. It reads the database in one snapshot and, where they are given, the
// mailbox, the partner's log, the payment provider's records and Temporal, and checks every invariant that this
// evidence allows (docs/run/audit.md). It writes nothing and makes nobody wait, so it can be run at any time, also
// under load.
package audit

import (
	"context"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/pg"
)

// Evidence is what an audit reads. Only DB is required; an invariant without its evidence is reported as not checked.
type Evidence struct {
	DB          *db.DB
	Mailbox     Mailbox
	Partner     PartnerLog
	Payments    []Payments // nil: the sandbox, whose books are in the database
	Temporal    Workflows
	Submissions Submissions
	// Processors are asked for their lists of what was made in the last ProcessorsFor (0: four days), where they have any:
	// they are compared with our rows.
	Processors    payment.Processors
	ProcessorsFor time.Duration
	// Honeypots is the log of servers that nobody should ask, such as where a redirect leads; nil: there are none.
	Honeypots PartnerLog
	// Erasures is the list of erasures that is kept outside of the database; nil: there is none.
	Erasures []db.Erasure

	// Quiescent says that everything has come to rest: faults are over and everybody had time to do what was due. Then
	// the strict form holds. Otherwise things that are under way are given time.
	Quiescent bool
	// Slack is how late something may be before it counts as late; 0: ten minutes, or half a minute when quiescent.
	Slack time.Duration
	// Listed bounds how many violations of each invariant are named; all are counted. 0: 100.
	Listed int
	// Gentle rests between the parts, as long as they took: an audit takes twice as long, and leaves more of a machine
	// that is busy to sales.
	Gentle bool

	onProbe func(p probe, took time.Duration) // of the benchmark
}

func (e Evidence) withDefaults() Evidence {
	if e.Slack == 0 && e.Quiescent {
		e.Slack = 30 * time.Second
	}
	if e.Slack == 0 {
		e.Slack = 10 * time.Minute
	}
	if e.Listed == 0 {
		e.Listed = 100
	}
	if e.ProcessorsFor == 0 {
		e.ProcessorsFor = listedFor
	}
	if e.Payments == nil {
		e.Payments = []Payments{SandboxPayments{}}
	}
	return e
}

// run is one audit under way.
type run struct {
	Evidence
	s      *pg.Snapshot
	report *Report
	// seen is the database's time before the evidence outside of it was read: what was booked before can be found there.
	seen          time.Time
	letters       []Letter
	calls         []PartnerCall
	honeypotCalls []PartnerCall
	submissions   []Submission
	open          []OpenWorkflow
	samples       []canarySample
	listed        []providerLists // of processors
	unread        []string        // processors that did not answer, and why
	counts        map[string]int64
	// suspects are violations by Temporal's list, which may be behind.
	suspects []suspect
}

// Run audits. An error means that the database or given evidence could not be read; violations are in the report.
//
// What is outside of the database is read first: whatever it shows was booked before, so the later snapshot has it.
func Run(ctx context.Context, e Evidence) (*Report, error) {
	r := &run{Evidence: e.withDefaults(), counts: map[string]int64{}}
	r.report = newReport(r.Evidence)
	var err error
	if r.seen, err = e.DB.Clock(ctx); err != nil {
		return nil, err
	}
	if err := r.readOutside(ctx); err != nil {
		return nil, err
	}
	err = e.DB.Snapshot(ctx, func(s *pg.Snapshot) error {
		r.s, r.report.SnapshotAt = s, s.At.UTC()
		for _, check := range []func(context.Context) error{
			r.count, r.runProbes, r.checkOrderStatus, r.checkDeadlines, r.checkSupplied, r.checkSubmissions, r.checkPayments,
			r.checkProcessors, r.checkSecrets, r.checkAnswers, r.checkErasures, r.checkMailbox, r.checkPartner, r.checkHoneypots,
			r.checkConcurrency,
			r.checkSamples,
		} {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return r.findWorkflowSuspects(ctx)
	})
	if err != nil {
		return nil, err
	}
	if err := r.confirmWorkflowSuspects(ctx); err != nil {
		return nil, err
	}
	if err := r.checkHistories(ctx); err != nil {
		return nil, err
	}
	r.report.finish(r.counts)
	return r.report, nil
}

func (r *run) readOutside(ctx context.Context) (err error) {
	if r.Mailbox != nil {
		if r.letters, err = r.Mailbox.List(ctx); err != nil {
			return err
		}
		r.counts[looksLetters] = int64(len(r.letters))
	}
	if r.Partner != nil {
		if r.calls, err = r.Partner.Calls(ctx, r.DB.Fingerprint); err != nil {
			return err
		}
		r.counts[looksPartnerCalls] = int64(len(r.calls))
	}
	if r.Honeypots != nil {
		if r.honeypotCalls, err = r.Honeypots.Calls(ctx, r.DB.Fingerprint); err != nil {
			return err
		}
		r.counts[looksHoneypots] = int64(len(r.honeypotCalls))
	}
	if r.Submissions != nil {
		if r.submissions, err = r.Submissions(ctx); err != nil {
			return err
		}
		r.counts[looksSent] = int64(len(r.submissions))
	}
	for _, p := range r.Payments {
		if err := p.Read(ctx); err != nil {
			return err
		}
	}
	r.readProcessors(ctx)
	if r.Temporal != nil {
		if r.open, err = r.Temporal.Open(ctx); err != nil {
			return err
		}
		r.counts[looksWorkflows] = int64(len(r.open))
	}
	return nil
}

// args are what probes may name.
func (r *run) args() map[string]any {
	return map[string]any{
		"slack": r.Slack.Seconds(), "strict": r.Quiescent, "listed": r.Listed, "seen": r.seen,
		"partners": pq.Array(keyturn.PartnerSources()), "known_events": pq.Array(keyturn.EventTypesOf(nil)),
	}
}
