package starter

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
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
		case <-s.poke:
		}
	}
}

// relay takes what is due, starts or wakes it, and books what came through.
func (s *Starter) relay(ctx context.Context) (int, error) {
	due, err := s.db.TakeDue(ctx, relayChunk)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	results := make([]error, len(due))
	g, runCtx := errgroup.WithContext(ctx)
	g.SetLimit(startersAtOnce)
	for i, d := range due {
		g.Go(func() error {
			if d.Workflow != "" {
				results[i] = s.errand(runCtx, d)
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
			return len(due), err
		}
	}
	return len(due), errors.Join(results...)
}

// startOrWake starts a line's workflow, or tells the one that runs to look at the database.
func (s *Starter) startOrWake(ctx context.Context, d db.Due) error {
	if !d.Status.Open() { // a delivered line of an order that is to be cancelled: its workflow has ended
		_, err := s.db.Review(ctx, d.Start.FulfillmentID)
		return err
	}
	err := s.startLine(ctx, d.Start)
	if !errors.Is(err, errRunning) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = s.temporal.SignalWorkflow(ctx, workflows.LineWorkflowID(d.Start.FulfillmentID), "", workflows.WakeName, nil)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone { // it ended in between: the next look starts it if need be
		return errors.New("the workflow ended while it was woken")
	}
	return err
}
