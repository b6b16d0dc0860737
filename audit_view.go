package keyturn

import (
	"slices"
	"strings"
	"time"
)

// AuditView is one run of the audit.
type AuditView struct {
	ID         string    `json:"id"`
	StartedAt  time.Time `json:"startedAt"`
	SnapshotAt time.Time `json:"snapshotAt" doc:"The point in time that was audited."`
	FinishedAt time.Time `json:"finishedAt"`
	OK         bool      `json:"ok" doc:"No checked invariant is violated."`
	Checked    int       `json:"checked" doc:"The number of invariants checked."`
	Violations int64     `json:"violations"`
	Violated   []string  `json:"violated" doc:"The IDs of the violated invariants."`
	Repaired   []string  `json:"repaired" doc:"Lines and tasks that had stalled and were restarted."`
}

// Audits are the latest runs.
type Audits struct {
	Audits []AuditView `json:"audits"`
}

// AuditDetail is one run with its report.
type AuditDetail struct {
	AuditView
	Report *AuditReport `json:"report"`
}

// AuditAsked says that an audit was requested. The one that answers it has a snapshot of RequestedAt or later.
type AuditAsked struct {
	RequestedAt time.Time `json:"requestedAt"`
}

// AuditSeverity says what a violation costs.
type AuditSeverity string

const (
	// S0: money, a key, or a secret.
	S0 AuditSeverity = "S0"
	// S1: something wrong is shown or alerted.
	S1 AuditSeverity = "S1"
	// S2: something does not complete.
	S2 AuditSeverity = "S2"
)

// AuditReport is what an audit found. It names orders, lines and pools, and holds no key, no address and no partner's
// text.
type AuditReport struct {
	StartedAt  time.Time         `json:"startedAt"`
	SnapshotAt time.Time         `json:"snapshotAt"`
	FinishedAt time.Time         `json:"finishedAt"`
	Quiescent  bool              `json:"quiescent"`
	Evidence   []string          `json:"evidence,omitempty" doc:"What was read besides the database."`
	OK         bool              `json:"ok" doc:"No checked invariant is violated."`
	Checked    int               `json:"checked"`
	Violations int64             `json:"violations"`
	Invariants []InvariantResult `json:"invariants"`
	Repaired   []string          `json:"repaired,omitempty" doc:"Lines and tasks that had stalled and were restarted."`
}

// InvariantResult is the result of one invariant.
type InvariantResult struct {
	ID         string           `json:"id"`
	Severity   AuditSeverity    `json:"severity" enum:"S0,S1,S2"`
	Meaning    string           `json:"meaning"`
	Looked     []AuditCount     `json:"looked,omitempty"`
	NotChecked string           `json:"notChecked,omitempty" doc:"Why the invariant, or a part of it, was not checked."`
	Checked    bool             `json:"checked"`
	Violations int64            `json:"violations"`
	Listed     []AuditViolation `json:"listed,omitempty" doc:"The first violations."`
}

// AuditCount says how many of something were examined.
type AuditCount struct {
	What string `json:"what"`
	N    int64  `json:"n"`
}

// AuditViolation is one place where an invariant does not hold.
type AuditViolation struct {
	OrderID string `json:"orderId,omitempty"`
	LineID  string `json:"lineId,omitempty"`
	Subject string `json:"subject,omitempty" doc:"What it is about, if neither an order nor a line: a pool, a workflow, a message."`
	What    string `json:"what"`
}

// String names where, and what is wrong.
func (v AuditViolation) String() string {
	where := ""
	for _, part := range []struct{ name, value string }{{"order", v.OrderID}, {"line", v.LineID}, {"", v.Subject}} {
		if part.value != "" {
			where += strings.TrimSpace(part.name+" "+part.value) + ", "
		}
	}
	return strings.TrimSuffix(where, ", ") + ": " + v.What
}

// Of gives what the report says about one merchant: the listed violations at orders that the prefix covers, counted
// anew. What was examined, read and restarted is the whole installation's, and left out. The empty prefix gives the
// report as it is.
func (r *AuditReport) Of(p Prefix) *AuditReport {
	if p == "" {
		return r
	}
	out := &AuditReport{
		StartedAt: r.StartedAt, SnapshotAt: r.SnapshotAt, FinishedAt: r.FinishedAt, Quiescent: r.Quiescent, OK: true,
		Checked: r.Checked,
	}
	for _, res := range r.Invariants {
		own := InvariantResult{ID: res.ID, Severity: res.Severity, Meaning: res.Meaning, Checked: res.Checked}
		for _, v := range res.Listed {
			if v.OrderID != "" && p.Covers(v.OrderID) {
				own.Listed = append(own.Listed, v)
			}
		}
		own.Violations = int64(len(own.Listed))
		out.Violations += own.Violations
		out.OK = out.OK && own.Violations == 0
		out.Invariants = append(out.Invariants, own)
	}
	return out
}

// Result gives the result of an invariant by its ID, nil for an unknown one.
func (r *AuditReport) Result(id string) *InvariantResult {
	i := slices.IndexFunc(r.Invariants, func(res InvariantResult) bool { return res.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Invariants[i]
}

// Violated lists the IDs of the invariants that do not hold.
func (r *AuditReport) Violated() []string {
	out := []string{}
	for _, res := range r.Invariants {
		if res.Violations > 0 {
			out = append(out, res.ID)
		}
	}
	return out
}
