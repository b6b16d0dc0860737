package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// askedAtOnce is how many workflows are asked at the same time.
const askedAtOnce = 16

// The workflows of lines, and those of what else is to be done for customers and partners.
const (
	ofLines = `WorkflowType IN ("FulfillLineItem", "CancelLineItem")`
	ofOrder = `WorkflowType IN ("FulfillLineItem", "CancelLineItem", "CancelAtPartner", "SendFollowUpEmail", ` +
		`"SettlePayment", "FollowPayment")`
	ofPayments = `WorkflowType = "SettlePayment"`
)

// StopWorkflows ends the workflows that run for orders, and says how many there were: those of a database that was
// restored may know more than it does, and end as if all were done. Whatever the database knows to be undone gets
// another one.
func StopWorkflows(ctx context.Context, c client.Client, taskQueue string) (n int, err error) {
	err = eachPage(ctx, c, taskQueue, ofOrder+` AND ExecutionStatus = "Running"`,
		func(some []*workflow.WorkflowExecutionInfo) error {
			for _, e := range some {
				err := c.TerminateWorkflow(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(),
					"the database was restored from a backup")
				if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone { // gone: it has just ended
					return err
				}
				n++
			}
			return nil
		})
	return n, err
}

// KnowsAny says whether Temporal knows the workflow, running or closed, of any of these fulfillments.
func KnowsAny(ctx context.Context, c client.Client, fulfillments []string) (bool, error) {
	for _, id := range fulfillments {
		_, err := c.DescribeWorkflowExecution(ctx, workflows.LineWorkflowID(id), "")
		if err == nil {
			return true, nil
		}
		if _, unknown := errors.AsType[*serviceerror.NotFound](err); !unknown {
			return false, unreadable(err)
		}
	}
	return false, nil
}

// WorkflowOutcomes asks Temporal what became of lines since a time, for a database that was restored to it: of each
// workflow that has ended since or still runs. seen, which may be nil, is told how many were asked.
func WorkflowOutcomes(ctx context.Context, c client.Client, taskQueue string, since time.Time,
	seen func(n int),
) (out []db.WorkflowOutcome, err error) {
	which := fmt.Sprintf(ofLines+` AND (CloseTime >= %q OR ExecutionStatus = "Running")`,
		since.UTC().Format(time.RFC3339Nano))
	err = eachPage(ctx, c, taskQueue, which, func(some []*workflow.WorkflowExecutionInfo) error {
		asked, err := ask(ctx, c, some)
		if out = append(out, asked...); err == nil && seen != nil {
			seen(len(out))
		}
		return err
	})
	return out, err
}

// PaymentOutcomes are the payments of checkout links whose workflows have ended since a time or still run.
func PaymentOutcomes(ctx context.Context, c client.Client, taskQueue string, since time.Time) (
	out []db.PaymentOutcome, err error,
) {
	which := fmt.Sprintf(ofPayments+` AND (CloseTime >= %q OR ExecutionStatus = "Running")`,
		since.UTC().Format(time.RFC3339Nano))
	known := map[string]bool{} // one may have had several workflows
	err = eachPage(ctx, c, taskQueue, which, func(some []*workflow.WorkflowExecutionInfo) error {
		for _, info := range some {
			_, id, _ := strings.Cut(info.GetExecution().GetWorkflowId(), "-")
			p := db.PaymentOutcome{PaymentID: id}
			order := info.GetSearchAttributes().GetIndexedFields()[workflows.OrderIDKey.GetName()]
			if err := converter.GetDefaultDataConverter().FromPayload(order, &p.OrderID); err != nil {
				return err
			}
			if keyturn.ValidPaymentID(id) && !known[id] {
				known[id] = true
				out = append(out, p)
			}
		}
		return nil
	})
	return out, err
}

// eachPage lists the workflows of a task queue that which describes.
func eachPage(ctx context.Context, c client.Client, taskQueue, which string,
	do func([]*workflow.WorkflowExecutionInfo) error,
) error {
	query := fmt.Sprintf(`TaskQueue = %q AND %s`, taskQueue, which)
	var next []byte
	for {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: 500, NextPageToken: next,
			Query: query,
		})
		if err != nil {
			return unreadable(err)
		}
		if err := do(page.GetExecutions()); err != nil {
			return unreadable(err)
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return nil
		}
	}
}

func unreadable(err error) error {
	return keyturn.Errorf(keyturn.KindUnavailable, "Temporal does not say what happened: %w", err)
}

func ask(ctx context.Context, c client.Client, some []*workflow.WorkflowExecutionInfo) ([]db.WorkflowOutcome, error) {
	out, errs := make([]db.WorkflowOutcome, len(some)), make([]error, len(some))
	var wg sync.WaitGroup
	turns := make(chan struct{}, askedAtOnce)
	for i, info := range some {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			out[i], errs[i] = askOne(ctx, c, info)
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// askOne reads how a workflow began, and how it ended; of one that runs, where it stood when last something went wrong.
func askOne(ctx context.Context, c client.Client, info *workflow.WorkflowExecutionInfo) (db.WorkflowOutcome, error) {
	id, run := info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId()
	_, fulfillmentID, _ := strings.Cut(id, "-")
	h := db.WorkflowOutcome{FulfillmentID: fulfillmentID}
	began, err := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
	if err != nil {
		return h, err
	}
	var in workflows.LineInput
	input := began.GetWorkflowExecutionStartedEventAttributes().GetInput()
	if err := converter.GetDefaultDataConverter().FromPayloads(input, &in); err != nil {
		return h, err
	}
	h.LineID, h.OrderID, h.ProductID, h.Source = in.LineID, in.OrderID, in.ProductID, in.Next.Source
	shown := info.GetSearchAttributes().GetIndexedFields()
	var source, status string
	if p := shown[workflows.SourceKey.GetName()]; p != nil &&
		converter.GetDefaultDataConverter().FromPayload(p, &source) == nil && source != "" {
		h.Source = source
	}
	if p := shown[workflows.LineStatusKey.GetName()]; p != nil &&
		converter.GetDefaultDataConverter().FromPayload(p, &status) == nil {
		h.Status = keyturn.LineStatus(status)
	}
	if info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		var result workflows.Result
		if err := c.GetWorkflow(ctx, id, run).Get(ctx, &result); err != nil {
			return h, err
		}
		h.Status = result.Status
	}
	return h, nil
}
