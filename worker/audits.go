package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/workflows"
)

// Auditor keeps the books in order: its activities audit, repair and purge. Every field but
// Retention and Processors is required.
type Auditor struct {
	DB        *db.DB
	Temporal  client.Client
	TaskQueue string
	Logger    *slog.Logger
	Retention db.Retention // the zero value: db.DefaultRetention
	// Processors are asked, at each audit, what they have of the last days
	Processors payment.Processors
}

// Register adds the auditor's activities to a worker.
func (a *Auditor) Register(w sdkworker.ActivityRegistry) {
	w.RegisterActivityWithOptions(a.AuditBooks, activity.RegisterOptions{Name: "AuditBooks"})
	w.RegisterActivityWithOptions(a.PurgeExpired, activity.RegisterOptions{Name: "PurgeExpired"})
}

// keptViolations of each invariant are named in the report that is kept; all are counted.
const keptViolations = 100

// AuditBooks audits the database and the workflows, sets going what stands still, and keeps the report under the ID of
// the workflow's run, so that a repetition keeps one.
func (a *Auditor) AuditBooks(ctx context.Context) (workflows.AuditOutcome, error) {
	info := activity.GetInfo(ctx)
	ctx, stop := untilWorkerStops(ctx)
	defer stop()
	out := workflows.AuditOutcome{ID: info.WorkflowExecution.RunID}
	report, err := audit.Run(ctx, audit.Evidence{
		DB: a.DB, Temporal: audit.Temporal{Client: a.Temporal, TaskQueue: a.TaskQueue}, Listed: keptViolations, Gentle: true,
		Processors: a.Processors,
	})
	if err != nil {
		return out, a.failed("the audit could not be made", err)
	}
	if err := report.Repair(ctx, a.DB); err != nil {
		return out, a.failed("what the audit found could not be repaired", err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return out, err
	}
	if _, err := a.DB.SaveAudit(ctx, db.Audit{
		ID: out.ID, StartedAt: report.StartedAt, FinishedAt: report.FinishedAt, OK: report.OK, Report: string(text),
	}, report.Findings()); err != nil {
		return out, a.failed("the audit's report could not be kept", err)
	}
	out.Checked, out.Violations, out.Violated, out.Repaired = report.Checked, report.Violations, report.Violated(),
		len(report.Repaired)
	a.log(out, report)
	return out, nil
}

// failed logs an error with its cause and gives Temporal its kind alone.
func (a *Auditor) failed(what string, err error) error {
	a.Logger.Warn("an audit failed and is tried again", "what", what, "kind", string(keyturn.KindOf(err)), "error", err,
		"cause", errors.Unwrap(err))
	return temporal.NewApplicationError(what+"; the worker's log has the cause", string(keyturn.KindOf(err)))
}

func (a *Auditor) log(out workflows.AuditOutcome, r *audit.Report) {
	took := r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond).String()
	if r.OK {
		a.Logger.Info("the books balance", "audit", out.ID, "checked", out.Checked, "took", took)
		return
	}
	a.Logger.Error("the books do not balance", "audit", out.ID, "violations", out.Violations, "violated",
		strings.Join(out.Violated, " "), "took", took)
	for _, what := range r.Repaired {
		a.Logger.Warn("the audit set going what stood still", "audit", out.ID, "what", what)
	}
}

// PurgeExpired removes what was kept long enough (db.Retention).
func (a *Auditor) PurgeExpired(ctx context.Context) (workflows.TidyOutcome, error) {
	ctx, stop := untilWorkerStops(ctx)
	defer stop()
	t, err := a.DB.Tidy(ctx, cmp.Or(a.Retention, db.DefaultRetention))
	if err != nil {
		return workflows.TidyOutcome{}, a.failed("what was kept long enough could not be removed", err)
	}
	if t != (db.Tidied{}) {
		a.Logger.Info("what was kept long enough is gone", "audits", t.Audits, "accesses", t.Accesses, "requests", t.Requests,
			"replies", t.Replies, "emails", t.Emails, "links", t.Links, "payments", t.Payments,
			"events", t.Events)
	}
	return workflows.TidyOutcome(t), nil
}

// untilWorkerStops ends a long reader when its worker is asked to stop: another worker begins anew.
func untilWorkerStops(ctx context.Context) (context.Context, context.CancelFunc) {
	stopping := activity.GetWorkerStopChannel(ctx)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// The audit begins at this hour, UTC, and some minutes later, so that several installations on one cluster do not begin
// at once.
const (
	auditHour   = 3
	auditJitter = 30 * time.Minute
)

// Attend sets going what has no workflow although it needs one (audit.Attend), and makes the schedule of audits if it
// is gone: somebody deleted it, or Temporal lost its state. It is for every few minutes.
func (a *Auditor) Attend(ctx context.Context) error {
	_, err := a.Temporal.ScheduleClient().GetHandle(ctx, workflows.AuditScheduleID(a.TaskQueue)).Describe(ctx)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		a.Logger.Warn("the schedule of audits is gone and is made anew", "schedule", workflows.AuditScheduleID(a.TaskQueue))
		err = ScheduleAudits(ctx, a.Temporal, a.TaskQueue)
	}
	if err != nil {
		return err
	}
	woken, err := audit.Attend(ctx, a.DB, audit.Temporal{Client: a.Temporal, TaskQueue: a.TaskQueue})
	if len(woken) > 0 {
		a.Logger.Warn("what had no workflow was given to the relay", "count", len(woken), "first", woken[0])
	}
	return err
}

// ScheduleAudits makes the schedule of a task queue, or brings it to what this version wants; one that somebody paused
// stays paused.
func ScheduleAudits(ctx context.Context, c client.Client, taskQueue string) error {
	id := workflows.AuditScheduleID(taskQueue)
	spec := client.ScheduleSpec{Calendars: []client.ScheduleCalendarSpec{{
		Hour:    []client.ScheduleRange{{Start: auditHour}},
		Comment: "every night",
	}}, Jitter: auditJitter}
	action := &client.ScheduleWorkflowAction{
		ID: id, Workflow: "AuditBooks", TaskQueue: taskQueue, WorkflowExecutionTimeout: 12 * time.Hour,
		StaticSummary: "audit the books",
	}
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: action, CatchupWindow: 6 * time.Hour,
		Note: "audits the books, sets going what stands still, removes what was kept long enough",
	})
	if err == nil || !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	err = c.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			s.Spec, s.Action = &spec, action
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone { // somebody deleted it just now
		return fmt.Errorf("the schedule %s went away while it was updated: %w", id, err)
	}
	return err
}
