package bench

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// emptyWorkflow is the engine's own cost.
func emptyWorkflow(workflow.Context) error { return nil }

// oneActivityWorkflow is the least that a call of somebody else costs.
func oneActivityWorkflow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	return workflow.ExecuteActivity(ctx, "benchNothing").Get(ctx, nil)
}

func nothing(context.Context) error { return nil }

// RegisterFloors registers the bare workflows that orders are compared with.
func RegisterFloors(w sdkworker.Worker) {
	w.RegisterWorkflowWithOptions(emptyWorkflow, workflow.RegisterOptions{Name: "benchEmpty"})
	w.RegisterWorkflowWithOptions(oneActivityWorkflow, workflow.RegisterOptions{Name: "benchOneActivity"})
	w.RegisterActivityWithOptions(nothing, activity.RegisterOptions{Name: "benchNothing"})
}

// Ends tells when workflows of this process end, without asking anyone: the measure must not add to what it measures.
// All shapes are watched in the same way.
type Ends struct {
	interceptor.WorkerInterceptorBase
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// NewEnds makes one.
func NewEnds() *Ends { return &Ends{waiting: map[string]chan struct{}{}} }

// of gives a channel that is closed when the workflow ends or has ended.
func (e *Ends) of(id string) <-chan struct{} { return e.channel(id) }

func (e *Ends) channel(id string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.waiting[id]
	if !ok {
		c = make(chan struct{})
		e.waiting[id] = c
	}
	return c
}

// end says that the workflow ends. Its last task may be done more than once, when its answer was lost or came too late.
func (e *Ends) end(id string) {
	c := e.channel(id)
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

func (e *Ends) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting, id)
}

// InterceptWorkflow is part of the SDK's interface.
func (e *Ends) InterceptWorkflow(_ workflow.Context,
	next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	return &endsInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, ends: e}
}

type endsInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	ends *Ends
}

// ExecuteWorkflow is part of the SDK's interface.
func (i *endsInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	out, err := i.Next.ExecuteWorkflow(ctx, in)
	if !workflow.IsReplaying(ctx) && ctx.Err() == nil {
		i.ends.end(workflow.GetInfo(ctx).WorkflowExecution.ID)
	}
	return out, err
}
