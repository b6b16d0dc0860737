package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// every is a policy that tries again after each delay, and gives up after giveUp.
func every(delay, giveUp time.Duration) keyturn.RetryPolicy {
	return keyturn.RetryPolicy{
		Schedule:    []keyturn.Duration{keyturn.Duration(delay)},
		GiveUpAfter: keyturn.Duration(giveUp),
	}
}

// setDeadline edits the product's policy: its lines are given up this long after the acceptance of their order, or at
// their next attempt if that has passed.
func (s *stack) setDeadline(product string, giveUp time.Duration) {
	s.t.Helper()
	p, err := s.db.Product(context.Background(), product)
	require.NoError(s.t, err)
	p.Retry.GiveUpAfter = keyturn.Duration(giveUp)
	s.product(p)
}

func fromPool(id string) keyturn.Source {
	return keyturn.Source{Type: keyturn.SourcePool, Pool: id}
}

func fromEndpoint(id string) keyturn.Source {
	return keyturn.Source{Type: keyturn.SourceEndpoint, Integration: id}
}

func sources(s ...keyturn.Source) []keyturn.Source { return s }

// fulfillment is the ID of an order's first line, or of the one that is named.
func fulfillment(a *db.Accepted, line ...int) string {
	if len(line) == 0 {
		line = []int{0}
	}
	return a.Order.LineItems[line[0]].FulfillmentID
}

func (s *stack) status(f string) keyturn.LineStatus {
	s.t.Helper()
	var status string
	require.NoError(s.t, s.sql(&status, `SELECT status FROM line_items WHERE fulfillment_id = $1`, f))
	return keyturn.LineStatus(status)
}

// awaitLine waits until the line has the status.
func (s *stack) awaitLine(f string, want keyturn.LineStatus) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		got := s.status(f)
		return got == want, fmt.Sprintf("line %s is %s, not %s", f, got, want)
	})
}

// path is the line's way through the statuses, as its log has it.
func (s *stack) path(f string) string {
	s.t.Helper()
	steps := s.texts(`SELECT g.to_status FROM line_log g JOIN line_items l ON l.id = g.line_id WHERE l.fulfillment_id = $1 ORDER BY g.version`, f)
	return strings.Join(append([]string{"PENDING"}, steps...), " ")
}

// calls are the requests that a partner got for an operation, in the order of their arrival.
func (s *stack) calls(partner, op string) []emulator.Entry {
	var out []emulator.Entry
	for _, e := range s.partner.Log() {
		if e.Partner == partner && e.Op == op {
			out = append(out, e)
		}
	}
	return out
}

func (s *stack) drill(partner, drill string) {
	s.t.Helper()
	require.NoError(s.t, s.partner.SetPartner(partner, emulator.Settings{Drill: drill, DrillOps: []string{"create"}}))
}

// alerts are the causes of the line's alerts, each with whether it is open or closed.
func (s *stack) alerts(f string) []string {
	s.t.Helper()
	return s.texts(`
		SELECT cause || CASE WHEN closed_at IS NULL THEN ' open' ELSE ' closed' END
		FROM alerts JOIN line_items l ON l.id = line_id WHERE fulfillment_id = $1 ORDER BY cause`, f)
}

// stock is available/claimed/delivered/quarantined of a pool, as the figures say.
func (s *stack) stock(pool string) string {
	s.t.Helper()
	p, err := s.db.Stock().Pool(context.Background(), pool)
	require.NoError(s.t, err)
	return fmt.Sprintf("%d/%d/%d/%d", p.Stock.Available, p.Stock.Claimed, p.Stock.Delivered, p.Stock.Quarantined)
}

// refunded is the money that the payment provider gave back for an order, in minor units.
func (s *stack) refunded(a *db.Accepted) int {
	s.t.Helper()
	return s.count(`SELECT coalesce(sum(amount_minor), 0) FROM sandbox_refunds WHERE order_id = $1 AND applied_at IS NOT NULL`, a.Order.ID)
}

// update decides on a line as the API does: it waits until the workflow has taken the decision.
func (s *stack) update(f string, payload any) (keyturn.Next, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var next keyturn.Next
	h, err := s.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.LineWorkflowID(f), UpdateName: workflows.ResolveName,
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{payload},
	})
	if err != nil {
		return next, err
	}
	return next, h.Get(ctx, &next)
}

// decide is an update that must be accepted.
func (s *stack) decide(f string, r keyturn.Resolution) keyturn.Next {
	s.t.Helper()
	r.By = "operator"
	next, err := s.update(f, r)
	require.NoError(s.t, err)
	return next
}

func (s *stack) signal(f string, payload any) {
	s.t.Helper()
	require.NoError(s.t, s.temporal.SignalWorkflow(context.Background(), workflows.LineWorkflowID(f), "",
		workflows.ResolveName, payload))
}

// state asks the workflow. A busy machine may answer too late.
func (s *stack) state(f string) workflows.State {
	s.t.Helper()
	var state workflows.State
	s.eventually(func() (bool, string) {
		v, err := s.temporal.QueryWorkflow(context.Background(), workflows.LineWorkflowID(f), "", workflows.StateName)
		if err != nil {
			return false, err.Error()
		}
		require.NoError(s.t, v.Get(&state))
		return true, ""
	})
	return state
}

// ended waits for a workflow's end and gives its result.
func (s *stack) ended(workflowID string) keyturn.LineStatus {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var result workflows.Result
	require.NoError(s.t, s.temporal.GetWorkflow(ctx, workflowID, "").Get(ctx, &result))
	return result.Status
}

func (s *stack) history(workflowID string) *history.History {
	s.t.Helper()
	out := &history.History{}
	it := s.temporal.GetWorkflowHistory(context.Background(), workflowID, "", false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		require.NoError(s.t, err)
		out.Events = append(out.Events, e)
	}
	return out
}

func (s *stack) eventsOf(workflowID string, kind enums.EventType) int {
	s.t.Helper()
	n := 0
	for _, e := range s.history(workflowID).Events {
		if e.EventType == kind {
			n++
		}
	}
	return n
}

// failure is what the workflow shows as the last thing that went wrong.
func (s *stack) failure(f string) *keyturn.Failure {
	s.t.Helper()
	var failure *keyturn.Failure
	s.eventually(func() (bool, string) {
		failure = s.state(f).Failure
		return failure != nil, "the workflow shows no failure"
	})
	return failure
}
