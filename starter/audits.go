package starter

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/workflows"
)

type (
	// AuditView is one run of the audit.
	AuditView struct {
		ID         string    `json:"id"`
		StartedAt  time.Time `json:"startedAt"`
		SnapshotAt time.Time `json:"snapshotAt" doc:"The moment that was audited."`
		FinishedAt time.Time `json:"finishedAt"`
		OK         bool      `json:"ok" doc:"Nothing that was checked is violated."`
		Checked    int       `json:"checked" doc:"How many invariants were checked."`
		Violations int64     `json:"violations"`
		Violated   []string  `json:"violated" doc:"The invariants that do not hold, by their IDs."`
		Repaired   []string  `json:"repaired" doc:"What stood still and was set going."`
	}
	// Audits are the latest runs.
	Audits struct {
		Audits []AuditView `json:"audits"`
	}
	// AuditReport is one run with all that it looked at.
	AuditReport struct {
		AuditView
		Report *audit.Report `json:"report"`
	}
	// AuditAsked says that an audit was asked for. The one that answers it has a snapshot of requestedAt or later.
	AuditAsked struct {
		RequestedAt time.Time `json:"requestedAt"`
	}
	auditsInput struct {
		Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	}
	auditsOutput struct{ Body Audits }
	auditOutput  struct{ Body AuditReport }
	askedOutput  struct{ Body AuditAsked }
)

func (a *API) auditRoutes() {
	const tag = "Audits"
	register(a, operation{Operation: huma.Operation{
		OperationID: "listAudits", Method: http.MethodGet, Path: "/v1/audits", Tags: []string{tag}, Summary: "The latest audits",
		Description: "The newest first. The books are audited every night, and when somebody asks for it.", Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *auditsInput) (*auditsOutput, error) {
		runs, err := a.DB.Audits(ctx, in.Limit)
		if err != nil {
			return nil, err
		}
		out := Audits{Audits: []AuditView{}}
		for _, run := range runs {
			view, err := auditOf(run.ID, run.Report)
			if err != nil {
				return nil, err
			}
			out.Audits = append(out.Audits, view.AuditView)
		}
		return &auditsOutput{Body: out}, nil
	})
	register(a, operation{Operation: huma.Operation{
		OperationID: "getAudit", Method: http.MethodGet, Path: "/v1/audits/{id}", Tags: []string{tag}, Summary: "One audit with every invariant",
		Description: "Each invariant with what was looked at and the first hundred violations, order by order.", Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *idInput) (*auditOutput, error) {
		run, err := a.DB.AuditByID(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		out, err := auditOf(run.ID, run.Report)
		return &auditOutput{Body: out}, err
	})
	register(a, operation{Operation: huma.Operation{
		OperationID: "startAudit", Method: http.MethodPost, Path: "/v1/audits", Tags: []string{tag}, DefaultStatus: http.StatusAccepted, Summary: "Audit the books now",
		Description: "One that runs comes to its end first. Look for the audit whose `snapshotAt` is `requestedAt` or later.", Security: anyOf(ScopeOps),
	}}, a.startAudit)
}

func auditOf(id, stored string) (AuditReport, error) {
	var r audit.Report
	if err := json.Unmarshal([]byte(stored), &r); err != nil {
		return AuditReport{}, keyturn.Errorf(keyturn.KindInternal, "the stored report of audit %s cannot be read: %w", id, err)
	}
	v := AuditView{
		ID: id, StartedAt: r.StartedAt, SnapshotAt: r.SnapshotAt, FinishedAt: r.FinishedAt, OK: r.OK, Checked: r.Checked, Violations: r.Violations,
		Violated: r.Violated(), Repaired: append([]string{}, r.Repaired...),
	}
	return AuditReport{AuditView: v, Report: &r}, nil
}

// startAudit triggers the schedule, so that one audit runs at a time, whoever asks.
func (a *API) startAudit(ctx context.Context, _ *call, _ *struct{}) (*askedOutput, error) {
	if a.Temporal == nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "this process does not know Temporal")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	now, err := a.DB.Clock(ctx)
	if err != nil {
		return nil, err
	}
	err = a.Temporal.ScheduleClient().GetHandle(ctx, workflows.AuditScheduleID(a.TaskQueue)).
		Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE})
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "there is no schedule of audits yet: start a worker, which makes it")
	}
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "Temporal does not answer: %w", err)
	}
	return &askedOutput{Body: AuditAsked{RequestedAt: now.UTC()}}, nil
}
