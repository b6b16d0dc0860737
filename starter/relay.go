package starter

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// relayLoop starts or wakes what the database says is due. While Temporal is down it tries on; everything waits in the
// database meanwhile.
func (s *Starter) relayLoop(ctx context.Context) {
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		for {
			n, err := s.relay(ctx)
			if err != nil && ctx.Err() == nil {
				s.logger.Warn("the relay could not finish; it tries again", "error", err)
			}
			if err != nil || n < relayChunk {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// relay takes what is due, starts or wakes it, and books what came through.
func (s *Starter) relay(ctx context.Context) (int, error) {
	due, err := s.db.TakeDue(ctx, relayChunk)
	if len(due) == 0 {
		return 0, err
	}
	return len(due), errors.Join(err, s.dispatch(ctx, due))
}

// dispatch starts or wakes what was taken, and books what succeeded.
func (s *Starter) dispatch(ctx context.Context, due []db.Due) error {
	results := make([]error, len(due))
	g, runCtx := errgroup.WithContext(ctx)
	g.SetLimit(startersAtOnce)
	for i, d := range due {
		g.Go(func() error {
			if d.Workflow != "" {
				results[i] = s.startEntry(runCtx, d)
			} else {
				results[i] = s.startOrWake(runCtx, d)
			}
			return nil
		})
	}
	_ = g.Wait() // every error is in its place
	var done []db.Due
	for i, d := range due {
		if results[i] == nil {
			done = append(done, d)
		}
	}
	if len(done) > 0 {
		if err := s.db.RelayDone(ctx, done); err != nil {
			return err
		}
	}
	return errors.Join(results...)
}

// The time between looks at the lines that wait for partners: while some go out, and while none can. After some were
// woken, the servers are left to others for dispatchRest times as long as that took, because it takes longer when they
// are busy.
const (
	dispatchNext = 50 * time.Millisecond
	dispatchLook = 250 * time.Millisecond
	dispatchRest = 15
)

// dispatchLoop wakes lines that wait for partners when it is their turn. It runs beside the relay: neither waits for
// the other.
func (s *Starter) dispatchLoop(ctx context.Context) {
	over := time.Duration(0)
	for {
		start := time.Now()
		due, soon, err := s.db.DispatchWaiting(ctx, over)
		over = time.Since(start) + dispatchNext
		wait := dispatchLook
		if soon && err == nil {
			wait = dispatchNext
		}
		if len(due) > 0 {
			start = time.Now()
			err = errors.Join(err, s.dispatch(ctx, due))
			wait = max(wait, dispatchRest*time.Since(start))
		}
		if err != nil && ctx.Err() == nil {
			s.logger.Warn("lines that wait for partners could not be dispatched; they are at the next look", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// wakeCall ends the sleep of a line's call of its partner between two attempts. It costs no history, as a signal would;
// where there is no such sleep (a timer of the workflow, a workflow that is gone, a server that cannot do it), it says
// so.
func (s *Starter) wakeCall(ctx context.Context, fulfillmentID string) bool {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := s.temporal.WorkflowService().ResetActivity(ctx, &workflowservice.ResetActivityRequest{
		Namespace: s.namespace, Identity: "keyturn relay",
		Execution: &common.WorkflowExecution{WorkflowId: workflows.LineWorkflowID(fulfillmentID)},
		Activity:  &workflowservice.ResetActivityRequest_Type{Type: "CallEndpoint"},
	})
	return err == nil
}

// startOrWake starts a line's workflow, or tells the one that runs to look at the database.
func (s *Starter) startOrWake(ctx context.Context, d db.Due) error {
	woken := d.Called && s.wakeCall(ctx, d.Start.FulfillmentID)
	// a delivered line of an order that is to be cancelled, or one whose call sleeps although another has been answered
	if !d.Status.Open() {
		_, err := s.db.Review(ctx, d.Start.FulfillmentID)
		return err
	}
	if woken {
		return nil
	}
	err := s.startLine(ctx, d.Start)
	if !errors.Is(err, errRunning) {
		return err
	}
	return s.wakeRunning(ctx, workflows.LineWorkflowID(d.Start.FulfillmentID))
}

// wakeRunning tells a workflow that runs to look at the database. If it ends in between, the relay's next look starts
// it if need be.
func (s *Starter) wakeRunning(ctx context.Context, workflowID string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := s.temporal.SignalWorkflow(ctx, workflowID, "", workflows.WakeName, nil)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return errors.New("the workflow ended while it was woken")
	}
	return err
}
