package audit

import (
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn/db"
)

// Severity says what a violation costs.
type Severity string

const (
	// S0: money, a key, or a secret.
	S0 Severity = "S0"
	// S1: something wrong is shown or alerted.
	S1 Severity = "S1"
	// S2: something does not come to its end.
	S2 Severity = "S2"
)

// Report is what an audit found. It names orders, lines and pools, and holds no key, no address and no partner's text.
type Report struct {
	StartedAt  time.Time `json:"startedAt"`
	SnapshotAt time.Time `json:"snapshotAt"`
	FinishedAt time.Time `json:"finishedAt"`
	Quiescent  bool      `json:"quiescent"`
	Evidence   []string  `json:"evidence,omitempty"` // what was read besides the database
	OK         bool      `json:"ok"`                 // nothing that was checked is violated
	Checked    int       `json:"checked"`
	Violations int64     `json:"violations"`
	Invariants []Result  `json:"invariants"`
	// Repaired names what was set going again (Repair).
	Repaired []string `json:"repaired,omitempty"`

	unattendedLines   []string
	unattendedErrands []db.Errand
}

// Result is what became of one invariant.
type Result struct {
	ID         string      `json:"id"`
	Severity   Severity    `json:"severity"`
	Meaning    string      `json:"meaning"`
	Looked     []Count     `json:"looked,omitempty"`
	NotChecked string      `json:"notChecked,omitempty"` // why not; also of the part that was not
	Checked    bool        `json:"checked"`
	Violations int64       `json:"violations"`
	Listed     []Violation `json:"listed,omitempty"` // the first of them
}

// Count says how many of something were looked at.
type Count struct {
	What string `json:"what"`
	N    int64  `json:"n"`
}

// Violation is one place where an invariant does not hold.
type Violation struct {
	OrderID string `json:"orderId,omitempty"`
	LineID  string `json:"lineId,omitempty"`
	Subject string `json:"subject,omitempty"` // a pool, a workflow, a message: what is neither
	What    string `json:"what"`
}

// String names where, and what is wrong.
func (v Violation) String() string {
	where := ""
	for _, part := range []struct{ name, value string }{{"order", v.OrderID}, {"line", v.LineID}, {"", v.Subject}} {
		if part.value != "" {
			where += strings.TrimSpace(part.name+" "+part.value) + ", "
		}
	}
	return strings.TrimSuffix(where, ", ") + ": " + v.What
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
	r := &Report{StartedAt: time.Now().UTC(), Quiescent: e.Quiescent}
	for _, n := range []need{needMailbox, needPartner, needTemporal, needJournal, needErasures} {
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

// Result gives the result of an invariant by its ID, nil for an unknown one.
func (r *Report) Result(id string) *Result {
	i := slices.IndexFunc(r.Invariants, func(res Result) bool { return res.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Invariants[i]
}

// Violated lists the IDs of the invariants that do not hold.
func (r *Report) Violated() []string {
	out := []string{}
	for _, res := range r.Invariants {
		if res.Violations > 0 {
			out = append(out, res.ID)
		}
	}
	return out
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
				res.Looked = append(res.Looked, Count{what, n})
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
