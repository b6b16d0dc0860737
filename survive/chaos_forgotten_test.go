//go:build chaos

package survive_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// What Temporal forgets, because an operator ends workflows or its state is lost.

// atOnce is how many workflows an operator ends with one command.
const atOnce = 5

// lostWorkflows does something to some of the workflows that are there.
func lostWorkflows(how, which string, do func(context.Context, client.Client, *common.WorkflowExecution) error) fault {
	return fault{kind: "Temporal: workflows " + how, fire: func(l *lab, rng *mathrand.Rand, _ *part) bool {
		c, err := client.NewLazyClient(client.Options{
			HostPort: l.current().temporal.Address(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		})
		if err != nil {
			l.t.Errorf("a client of Temporal: %v", err)
			return false
		}
		defer c.Close()
		done, deadline := 0, time.Now().Add(3*patience)
		for ; done == 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
			list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: which, PageSize: 50})
			found := list.GetExecutions()
			rng.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
			for _, w := range found {
				if err != nil || done == atOnce {
					break
				}
				if !isSchedule(w.GetExecution().GetWorkflowId()) && do(ctx, c, w.GetExecution()) == nil {
					done++
				}
			}
			cancel()
			if err != nil {
				l.note("workflows cannot be listed: %v", err)
			}
		}
		return done > 0
	}}
}

const (
	allRunning = `ExecutionStatus = "Running"`
	everything = ""
)

func terminate(ctx context.Context, c client.Client, w *common.WorkflowExecution) error {
	return c.TerminateWorkflow(ctx, w.GetWorkflowId(), w.GetRunId(), "by mistake")
}

func remove(ctx context.Context, c client.Client, w *common.WorkflowExecution) error {
	_, err := c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: client.DefaultNamespace, WorkflowExecution: w,
	})
	return err
}

// reset has a workflow begin again from a decision of its past.
func reset(ctx context.Context, c client.Client, w *common.WorkflowExecution) error {
	var decisions []int64
	history := c.GetWorkflowHistory(ctx, w.GetWorkflowId(), w.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return err
		}
		if event.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			decisions = append(decisions, event.GetEventId())
		}
	}
	if len(decisions) == 0 {
		return errors.New("it has decided nothing yet")
	}
	_, err := c.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: client.DefaultNamespace, WorkflowExecution: w, Reason: "by mistake", RequestId: rand.Text(),
		WorkflowTaskFinishEventId: decisions[mathrand.Intn(len(decisions))],
	})
	return err
}

// lostStore is a Temporal that comes back without anything that it knew.
func lostStore() fault {
	return fault{kind: "Temporal: its state lost", parts: []string{"temporal"}, fire: func(l *lab, _ *mathrand.Rand,
		on *part,
	) bool {
		ok := l.working(on.name)
		on.kill()
		files, err := filepath.Glob(filepath.Join(l.dir, "temporal.db*"))
		if err != nil || len(files) == 0 {
			l.t.Errorf("Temporal's state is not found: %v", err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				l.t.Errorf("lose Temporal's state: %v", err)
			}
		}
		on.start()
		return ok
	}}
}
