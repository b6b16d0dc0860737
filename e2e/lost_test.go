package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

// forget deletes workflows from Temporal, as if it had lost its state, or terminates them.
func (s *stack) forget(deleted bool, ids ...string) {
	s.t.Helper()
	ctx := context.Background()
	for _, id := range ids {
		if !deleted {
			require.NoError(s.t, s.temporal.TerminateWorkflow(ctx, id, "", "by mistake"))
			continue
		}
		request := &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: "default", WorkflowExecution: &common.WorkflowExecution{WorkflowId: id},
		}
		s.eventually(func() (bool, string) { // the relay may have started it once more since
			_, err := s.temporal.WorkflowService().DeleteWorkflowExecution(ctx, request)
			_, gone := errors.AsType[*serviceerror.NotFound](err)
			if !gone {
				require.NoError(s.t, err)
			}
			return gone, id + " is still there"
		})
	}
}

// Workflows of every type are terminated, or gone with Temporal's state: within minutes everything that is open goes on
// by itself, and comes to its end with every effect once.
func TestWhatTemporalLostComesBack(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		t.Run(fmt.Sprintf("deleted %v", deleted), func(t *testing.T) {
			s := start(t, options{})
			require.NoError(t, s.partner.SetPartner("acme",
				emulator.Settings{Drill: "always-500", DrillOps: []string{"create", "cancel"}}))
			s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: patient})
			s.product(keyturn.Product{ID: "scarce", Sources: sources(fromPool("empty")), Retry: patient})
			s.product(keyturn.Product{ID: "byhand", Sources: sources(byHand)})
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
			retrying, revoked, scarce, byhand, game := s.order("cad"), s.order("cad"), s.order("scarce"), s.order("byhand"),
				s.order("game")
			for _, a := range []string{fulfillment(retrying), fulfillment(revoked)} {
				s.awaitLine(a, keyturn.LineRetrying)
			}
			s.awaitLine(fulfillment(scarce), keyturn.LineWaitingForStock)
			s.await(game, keyturn.OrderCompleted)
			s.decide(fulfillment(revoked), keyturn.Resolution{Action: keyturn.ActionRefund}) // its partner is down
			s.awaitLine(fulfillment(revoked), keyturn.LineCanceled)
			s.eventually(func() (bool, string) {
				return s.count(`SELECT count(*) FROM outbox`) == 0 &&
					s.count(`SELECT count(*) FROM line_items WHERE wake_at IS NOT NULL`) == 0, "not all is started"
			})
			s.inbox.Fail(s.refuse(451)) // a mail server that is busy
			again, err := s.db.Resend(context.Background(), fulfillment(game), "", "ops", s.acts.Letters.Render)
			require.NoError(t, err)
			s.starter.Wake()
			ids := []string{
				workflows.LineWorkflowID(fulfillment(retrying)), workflows.LineWorkflowID(fulfillment(scarce)),
				workflows.LineWorkflowID(fulfillment(byhand)), workflows.RevokeWorkflowID(fulfillment(revoked) + "/endpoint/acme"),
				workflows.SendWorkflowID(again),
			}
			running := func() []string {
				return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
					d, err := s.temporal.DescribeWorkflowExecution(context.Background(), id, "")
					return err != nil || d.GetWorkflowExecutionInfo().GetCloseTime() != nil
				})
			}
			s.eventually(func() (bool, string) { return len(running()) == len(ids), fmt.Sprint(running()) })
			s.forget(deleted, ids...)

			attendant := &worker.Auditor{DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Logger: s.logger}
			s.eventually(func() (bool, string) {
				require.NoError(t, attendant.Attend(context.Background()))
				time.Sleep(200 * time.Millisecond)
				return len(running()) == len(ids), fmt.Sprintf("%d of %d run: %v", len(running()), len(ids), running())
			})
			before := s.history(ids[1]).GetEvents()
			for range 3 {
				require.NoError(t, attendant.Attend(context.Background()))
			}
			require.Len(t, s.history(ids[1]).GetEvents(), len(before), "what runs is left alone")

			s.inbox.Fail(nil)
			require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{}))
			s.decide(fulfillment(retrying), keyturn.Resolution{Action: keyturn.ActionRetry})
			require.NoError(t, s.db.StageSupply(t.Context(), fulfillment(byhand), "given", []string{"GIFT-1"}))
			s.decide(fulfillment(byhand), keyturn.Resolution{ID: "given", Action: keyturn.ActionSupply})
			s.load("empty", "SCARCE-1")
			for _, a := range []*db.Accepted{retrying, byhand, scarce} {
				s.await(a, keyturn.OrderCompleted)
			}
			s.atRest(retrying, revoked, scarce, byhand, game)
			sent := map[string]int{}
			for _, l := range s.letters(buyer) {
				sent[l.MessageID]++
			}
			require.Len(t, sent, 6, "four lines' keys, some of them again, and a refund")
			require.Len(t, s.letters(buyer), len(sent), "none of them twice")
			require.Len(t, s.calls("acme", "create"), 3, "two that failed, and one that did not")
		})
	}
}

// Payments of checkout links whose workflows are gone get others: also one that waits for a person, and one that is
// owed back.
func TestPaymentsWhoseWorkflowsAreGone(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("p"))}, "G-1")
	waits := s.link("pays-other-amount", "game")
	s.buy(waits)
	late := s.link("cannot-authorize refund-fails-8", "game")
	address := s.orderAndPay(late)
	_, err := s.db.Reconcile(t.Context(), s.awaitPayment(late, keyturn.PaymentOpen),
		keyturn.ProcessorState{Status: keyturn.AtProcessorExpired}, "test", nil)
	require.NoError(t, err)
	_, _ = s.visit("POST", address, url.Values{"action": {"pay"}})
	ids := []string{
		workflows.PaymentWorkflowID(s.awaitPayment(waits, keyturn.PaymentMismatch)),
		workflows.PaymentWorkflowID(s.awaitPayment(late, keyturn.PaymentCaptured)),
	}
	s.forget(true, ids...)
	attendant := &worker.Auditor{DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Logger: s.logger}
	s.eventually(func() (bool, string) {
		require.NoError(t, attendant.Attend(t.Context()))
		time.Sleep(200 * time.Millisecond)
		for _, id := range ids {
			d, err := s.temporal.DescribeWorkflowExecution(t.Context(), id, "")
			if err != nil || d.GetWorkflowExecutionInfo().GetCloseTime() != nil {
				return false, id
			}
		}
		return true, ""
	})
}

// A person decides on a line whose workflow is gone: the decision starts another one.
func TestADecisionStartsTheWorkflowThatIsGone(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	f := fulfillment(a)
	s.forget(true, workflows.LineWorkflowID(f))
	s.drill("acme", "ok")
	front := api.New(api.Config{DB: s.db, Temporal: s.temporal, Starter: s.starter, Logger: s.logger})
	_, err := front.Decide(context.Background(), f, keyturn.Resolution{
		ID: "decision-1", Action: keyturn.ActionRetry, By: "ops",
	})
	require.NoError(t, err)
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

// Somebody deleted the schedule of audits, or Temporal lost it: it comes back by itself.
func TestTheScheduleOfAuditsComesBack(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	ctx := context.Background()
	require.NoError(t, worker.ScheduleAudits(ctx, s.temporal, s.queue))
	handle := s.temporal.ScheduleClient().GetHandle(ctx, workflows.AuditScheduleID(s.queue))
	require.NoError(t, handle.Pause(ctx, client.SchedulePauseOptions{}))
	attendant := &worker.Auditor{DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Logger: s.logger}
	require.NoError(t, attendant.Attend(ctx))
	d, err := handle.Describe(ctx)
	require.NoError(t, err)
	require.True(t, d.Schedule.State.Paused, "one that somebody paused stays paused")
	require.NoError(t, handle.Delete(ctx))
	s.eventually(func() (bool, string) {
		require.NoError(t, attendant.Attend(ctx))
		_, err := handle.Describe(ctx)
		return err == nil, fmt.Sprint(err)
	})
	require.NoError(t, handle.Delete(ctx))
}
