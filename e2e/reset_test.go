package e2e_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// reset has a workflow begin again from its first decision, as `temporal workflow reset` does.
func (s *stack) reset(id string) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		for _, e := range s.history(id).GetEvents() {
			if e.GetEventType() != enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
				continue
			}
			_, err := s.temporal.ResetWorkflowExecution(context.Background(), &workflowservice.ResetWorkflowExecutionRequest{
				Namespace: "default", WorkflowExecution: &common.WorkflowExecution{WorkflowId: id}, Reason: "by mistake",
				RequestId: rand.Text(), WorkflowTaskFinishEventId: e.GetEventId(),
			})
			return err == nil, fmt.Sprint(err) // its history has grown meanwhile
		}
		return false, id + " has decided nothing yet"
	})
}

// An operator resets workflows to their beginning: those of lines that are delivered, refunded, retrying, or wait for
// stock or a person, and those of a cancel at a partner and of an e-mail that was sent again. Each asks the database
// where it stands. What was done is not done again, and what is open goes on, with the decisions that were taken.
func TestAWorkflowThatIsResetDoesNothingTwice(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Drill: "always-500", DrillOps: []string{"create"}}))
	require.NoError(t, s.partner.SetPartner("lost",
		emulator.Settings{Drill: "timeout-after-issuing", DrillOps: []string{"create"}}))
	s.integration(keyturn.Integration{ID: "lost", Limits: keyturn.Limits{Timeout: keyturn.Duration(time.Second)}})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient}, "GAME-1")
	s.product(keyturn.Product{ID: "scarce", Sources: sources(fromPool("empty")), Retry: patient})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: patient})
	s.product(keyturn.Product{ID: "lost", Sources: sources(fromEndpoint("lost")), Retry: patient})
	s.product(keyturn.Product{ID: "byhand", Sources: sources(byHand)})
	delivered, scarce, retrying, refunded, byhand := s.order("game"), s.order("scarce"), s.order("cad"), s.order("lost"),
		s.order("byhand")

	s.await(delivered, keyturn.OrderCompleted)
	again, err := s.db.Resend(t.Context(), fulfillment(delivered), "again@buyer.test", "ops", s.acts.Letters.Render)
	require.NoError(t, err)
	s.starter.Wake()
	s.awaitLine(fulfillment(scarce), keyturn.LineWaitingForStock)
	s.awaitLine(fulfillment(retrying), keyturn.LineRetrying)
	s.decide(fulfillment(retrying), keyturn.Resolution{Action: keyturn.ActionHold})
	s.awaitLine(fulfillment(retrying), keyturn.LineHeld)
	s.awaitLine(fulfillment(refunded), keyturn.LineRetrying)
	s.decide(fulfillment(refunded), keyturn.Resolution{Action: keyturn.ActionRefund})
	s.await(refunded, keyturn.OrderCanceled)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM revocations WHERE status = 'DONE'`) == 1, "the partner is not told"
	})
	revoke := workflows.RevokeWorkflowID(fulfillment(refunded) + "/endpoint/lost")
	ended := []string{
		workflows.LineWorkflowID(fulfillment(delivered)), workflows.LineWorkflowID(fulfillment(refunded)), revoke,
		workflows.SendWorkflowID(again),
	}
	for _, id := range ended {
		s.requireWorkflowEnds(id)
	}
	letters, cancels := len(s.inbox.Messages()), len(s.calls("lost", "cancel"))
	require.Equal(t, 1, cancels)
	require.Len(t, s.letters("again@buyer.test"), 1)

	for _, id := range ended {
		s.reset(id)
	}
	for _, a := range []string{fulfillment(scarce), fulfillment(retrying), fulfillment(byhand)} {
		s.reset(workflows.LineWorkflowID(a))
	}
	for _, id := range ended {
		s.requireWorkflowEnds(id)
	}
	require.Equal(t, keyturn.LineHeld, s.status(fulfillment(retrying)), "the decision holds")
	require.Len(t, s.calls("acme", "create"), 1, "a line that is held is not asked for")
	require.Len(t, s.calls("lost", "cancel"), cancels)
	require.Len(t, s.letters("again@buyer.test"), 1)
	require.Len(t, s.letters(buyer), 2, "the keys, and the news of the refund")
	require.GreaterOrEqual(t, len(s.inbox.Messages()), letters)

	s.drill("acme", "ok")
	s.eventually(func() (bool, string) { // it refuses what its line does not take, once it has asked where that stands
		answer, err := s.temporal.QueryWorkflow(t.Context(), workflows.LineWorkflowID(fulfillment(retrying)), "",
			workflows.StateName)
		if err != nil {
			return false, err.Error()
		}
		var state workflows.State
		require.NoError(t, answer.Get(&state))
		return state.Status == keyturn.LineHeld, string(state.Status)
	})
	s.decide(fulfillment(retrying), keyturn.Resolution{Action: keyturn.ActionRelease})
	s.await(retrying, keyturn.OrderCompleted)
	s.load("empty", "SCARCE-1")
	s.await(scarce, keyturn.OrderCompleted)
	require.NoError(t, s.db.StageSupply(t.Context(), fulfillment(byhand), "given", []string{"GIFT-1"}))
	s.decide(fulfillment(byhand), keyturn.Resolution{ID: "given", Action: keyturn.ActionSupply})
	s.await(byhand, keyturn.OrderCompleted)
	s.atRest(delivered, scarce, retrying, refunded, byhand)
	require.Len(t, s.letters(buyer), 5)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 2, s.count(`SELECT count(*) FROM pool_keys WHERE state = 'delivered'`))
}
