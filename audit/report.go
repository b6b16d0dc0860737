package audit

import (
	"slices"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// The audit's words for what it reports.
type (
	Severity  = keyturn.AuditSeverity
	Result    = keyturn.InvariantResult
	Count     = keyturn.AuditCount
	Violation = keyturn.AuditViolation
)

// Severities of invariants.
const (
	S0 = keyturn.S0
	S1 = keyturn.S1
	S2 = keyturn.S2
)

// Report is what an audit found, with what it takes to set going again what stands still.
type Report struct {
	keyturn.AuditReport

	unattendedLines   []string
	unattendedErrands []db.Errand
}

// Capped is the report with at most n named violations of each invariant.
func (r *Report) Capped(n int) *Report {
	out := *r
	out.Invariants = slices.Clone(r.Invariants)
	for i := range out.Invariants {
		res := &out.Invariants[i]
		res.Listed = res.Listed[:min(n, len(res.Listed))]
	}
	return &out
}

func newReport(e Evidence) *Report {
	r := &Report{AuditReport: keyturn.AuditReport{StartedAt: time.Now().UTC(), Quiescent: e.Quiescent}}
	for _, n := range []need{needMailbox, needPartner, needTemporal, needJournal, needErasures, needProcessors} {
		if n.given(e) {
			r.Evidence = append(r.Evidence, string(n))
		}
	}
	for _, in := range invariants {
		res := Result{ID: in.id, Severity: in.severity, Meaning: in.meaning}
		res.Checked, res.NotChecked = in.evidence(e)
		r.Invariants = append(r.Invariants, res)
	}
	return r
}

// violate books violations of an invariant; total may be more than are named.
func (r *run) violate(id string, total int64, named ...Violation) {
	res := r.report.Result(id)
	res.Violations += total
	room := max(r.Listed-len(res.Listed), 0)
	res.Listed = append(res.Listed, named[:min(room, len(named))]...)
}

// found books one violation.
func (r *run) found(id string, v Violation) { r.violate(id, 1, v) }

func (r *Report) finish(counts map[string]int64) {
	for i := range r.Invariants {
		res := &r.Invariants[i]
		for _, what := range invariants[i].looks {
			if n, ok := counts[what]; ok {
				res.Looked = append(res.Looked, Count{What: what, N: n})
			}
		}
		r.Violations += res.Violations
		if res.Checked {
			r.Checked++
		}
	}
	r.OK = r.Violations == 0
	r.FinishedAt = time.Now().UTC()
}
