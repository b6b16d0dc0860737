package api

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
	"keyturn.dev/keyturn/workflows"
)

type (
	auditsInput struct {
		Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	}
	auditsOutput struct{ Body keyturn.Audits }
	auditOutput  struct{ Body keyturn.AuditDetail }
	askedOutput  struct{ Body keyturn.AuditAsked }
)

func (a *API) auditRoutes() {
	const tag = "Audits"
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listAudits", Method: http.MethodGet, Path: "/v1/audits", Tags: []string{tag},
		Summary: "List the latest audits",
		Description: "The newest first. An audit runs every night and on request. A token with a prefix sees what concerns " +
			"its orders.", Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *auditsInput) (*auditsOutput, error) {
		runs, err := a.DB.Audits(ctx, in.Limit)
		if err != nil {
			return nil, err
		}
		out := keyturn.Audits{Audits: []keyturn.AuditView{}}
		for _, run := range runs {
			view, err := auditOf(c.client.Prefix, run.ID, run.Report)
			if err != nil {
				return nil, err
			}
			out.Audits = append(out.Audits, view.AuditView)
		}
		return &auditsOutput{Body: out}, nil
	})
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "getAudit", Method: http.MethodGet, Path: "/v1/audits/{id}", Tags: []string{tag},
		Summary:     "Show an audit with its report",
		Description: "Each invariant, with what was examined and its first hundred violations.", Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *idInput) (*auditOutput, error) {
		run, err := a.DB.AuditByID(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		out, err := auditOf(c.client.Prefix, run.ID, run.Report)
		return &auditOutput{Body: out}, err
	})
	register(a, operation{of: ofInstallation, Operation: huma.Operation{
		OperationID: "startAudit", Method: http.MethodPost, Path: "/v1/audits", Tags: []string{tag},
		DefaultStatus: http.StatusAccepted, Summary: "Start an audit",
		Description: "A running audit completes first. The requested audit is the first whose `snapshotAt` is at or after " +
			"`requestedAt`.", Security: anyOf(ScopeOps),
	}}, a.startAudit)
}

func auditOf(prefix keyturn.Prefix, id, stored string) (keyturn.AuditDetail, error) {
	var whole keyturn.AuditReport
	if err := json.Unmarshal([]byte(stored), &whole); err != nil {
		return keyturn.AuditDetail{}, keyturn.Errorf(keyturn.KindInternal, "the stored report of audit %s cannot be read: %w",
			id, err)
	}
	r := whole.Of(prefix)
	v := keyturn.AuditView{
		ID: id, StartedAt: r.StartedAt, SnapshotAt: r.SnapshotAt, FinishedAt: r.FinishedAt, OK: r.OK, Checked: r.Checked,
		Violations: r.Violations,
		Violated:   r.Violated(), Repaired: append([]string{}, r.Repaired...),
	}
	return keyturn.AuditDetail{AuditView: v, Report: r}, nil
}

// scheduleTimeout is how long a request waits for Temporal to take it.
const scheduleTimeout = 10 * time.Second

// startAudit triggers the schedule, so that one audit runs at a time, whoever asks.
func (a *API) startAudit(ctx context.Context, _ *call, _ *struct{}) (*askedOutput, error) {
	if a.Temporal == nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "this process is not connected to Temporal")
	}
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	now, err := a.DB.Clock(ctx)
	if err != nil {
		return nil, err
	}
	err = a.Temporal.ScheduleClient().GetHandle(ctx, workflows.AuditScheduleID(a.TaskQueue)).
		Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE})
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil, keyturn.Errorf(keyturn.KindUnavailable,
			"the audit schedule does not exist yet: start a worker, which creates it")
	}
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "Temporal is unavailable: %w", err)
	}
	return &askedOutput{Body: keyturn.AuditAsked{RequestedAt: now.UTC()}}, nil
}
