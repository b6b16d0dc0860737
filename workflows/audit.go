package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// AuditScheduleID is the ID of the schedule that keeps the books of a task queue in order.
func AuditScheduleID(taskQueue string) string { return "audit-" + taskQueue }

// AuditOutcome is what Temporal gets to know of an audit; the report is in the database, under the ID.
type AuditOutcome struct {
	ID         string   `json:"id"`
	Checked    int      `json:"checked"`
	Violations int64    `json:"violations"`
	Violated   []string `json:"violated,omitempty"` // the invariants' IDs
	Repaired   int      `json:"repaired"`           // lines and errands that were set going again
}

// TidyOutcome says how much of what was kept long enough was removed.
type TidyOutcome struct {
	Audits   int64 `json:"audits"`
	Accesses int64 `json:"accesses"`
	Requests int64 `json:"requests"`
	Replies  int64 `json:"replies"`
	Emails   int64 `json:"emails"`
	Links    int64 `json:"links"`
	Payments int64 `json:"payments"`
	Events   int64 `json:"events"`
}

// An audit reads every table; a worker that stops or dies in the middle is noticed by its heartbeat, and another one
// begins anew.
var auditOptions = workflow.ActivityOptions{
	StartToCloseTimeout: time.Hour, HeartbeatTimeout: heartbeatTimeout, Summary: "check that the books balance",
	RetryPolicy: &temporal.RetryPolicy{
		InitialInterval: 10 * time.Second, BackoffCoefficient: 2,
		MaximumInterval: 10 * time.Minute, MaximumAttempts: 20,
	},
}

var tidyOptions = workflow.ActivityOptions{
	StartToCloseTimeout: 30 * time.Minute, HeartbeatTimeout: heartbeatTimeout, Summary: "remove what was kept long enough",
	RetryPolicy: &temporal.RetryPolicy{
		InitialInterval: 10 * time.Second, BackoffCoefficient: 2,
		MaximumInterval: 10 * time.Minute, MaximumAttempts: 20,
	},
}

// AuditBooks audits the books, sets going what stands still, and removes what was kept long enough. Its schedule starts
// it every night, and whenever somebody asks for it.
func AuditBooks(ctx workflow.Context) (AuditOutcome, error) {
	var out AuditOutcome
	if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, auditOptions), "AuditBooks").Get(ctx,
		&out); err != nil {
		return out, err
	}
	return out, workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, tidyOptions), "PurgeExpired").Get(ctx, nil)
}
