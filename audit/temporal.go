package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// OpenWorkflow is a workflow that runs.
type OpenWorkflow struct {
	ID, Type string
	Started  time.Time
}

// Workflows shows which workflows run.
type Workflows interface {
	// Open lists them; the list may be some seconds behind.
	Open(ctx context.Context) ([]OpenWorkflow, error)
	// Running says whether one runs, without delay.
	Running(ctx context.Context, workflowID string) (bool, error)
}

// Temporal lists the workflows of a task queue.
type Temporal struct {
	Client    client.Client
	TaskQueue string
}

// Open is part of Workflows.
func (t Temporal) Open(ctx context.Context) ([]OpenWorkflow, error) {
	var out []OpenWorkflow
	var next []byte
	for {
		page, err := t.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: 1000, NextPageToken: next, Query: `ExecutionStatus = "Running" AND TaskQueue = "` + t.TaskQueue + `"`,
		})
		if err != nil {
			return nil, err
		}
		for _, e := range page.GetExecutions() {
			out = append(out, OpenWorkflow{
				ID: e.GetExecution().GetWorkflowId(), Type: e.GetType().GetName(),
				Started: e.GetStartTime().AsTime(),
			})
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return out, nil
		}
	}
}

// Running is part of Workflows.
func (t Temporal) Running(ctx context.Context, workflowID string) (bool, error) {
	d, err := t.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// openLooked is how many running workflows are asked how long their history is; of those that have ended, Temporal's
// index says it.
const openLooked = 100

// Heavy is part of Histories.
func (t Temporal) Heavy(ctx context.Context, events, bytes int64) ([]HeavyWorkflow, error) {
	var out []HeavyWorkflow
	queue := ` AND TaskQueue = "` + t.TaskQueue + `"`
	closed, err := t.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: 1000, Query: fmt.Sprintf("ExecutionStatus != \"Running\" AND (HistoryLength > %d OR HistorySizeBytes > %d)",
			events, bytes) + queue,
	})
	if err != nil {
		return nil, err
	}
	for _, e := range closed.GetExecutions() {
		out = append(out, HeavyWorkflow{
			ID: e.GetExecution().GetWorkflowId(), Events: e.GetHistoryLength(),
			Bytes: e.GetHistorySizeBytes(),
		})
	}
	open, err := t.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: openLooked,
		Query:    `ExecutionStatus = "Running"` + queue,
	})
	if err != nil {
		return nil, err
	}
	for _, e := range open.GetExecutions() {
		d, err := t.Client.DescribeWorkflowExecution(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
		if err != nil {
			continue // it has ended and is gone
		}
		if i := d.GetWorkflowExecutionInfo(); i.GetHistoryLength() > events || i.GetHistorySizeBytes() > bytes {
			out = append(out, HeavyWorkflow{
				ID: i.GetExecution().GetWorkflowId(), Events: i.GetHistoryLength(),
				Bytes: i.GetHistorySizeBytes(),
			})
		}
	}
	return out, nil
}

// History is part of Histories.
func (t Temporal) History(ctx context.Context, workflowID string) (*history.History, error) {
	out := &history.History{}
	for it := t.Client.GetWorkflowHistory(ctx, workflowID, "", false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil, nil //nolint:nilnil // Temporal has forgotten it
		}
		if err != nil {
			return nil, err
		}
		out.Events = append(out.Events, e)
	}
	return out, nil
}
