package audit

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
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
			out = append(out, OpenWorkflow{ID: e.GetExecution().GetWorkflowId(), Type: e.GetType().GetName(), Started: e.GetStartTime().AsTime()})
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
