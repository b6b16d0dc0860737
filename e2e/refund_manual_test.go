package e2e_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// byHand accepts an order whose money a person gives back.
func (s *stack) byHand(product string) *db.Accepted {
	s.t.Helper()
	a := s.store(keyturn.Order{
		Payment:   keyturn.Payment{Provider: keyturn.PaymentManual, Reference: "wire-7"},
		LineItems: []keyturn.LineItem{{ProductID: product, Quantity: 1, GrossPrice: "12.34"}},
	})
	s.starter.Enqueue(a.Starts)
	return a
}

// requireWorkflowEnds waits until a workflow has completed.
func (s *stack) requireWorkflowEnds(id string) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		d, err := s.temporal.DescribeWorkflowExecution(context.Background(), id, "")
		require.NoError(s.t, err)
		status := d.GetWorkflowExecutionInfo().GetStatus()
		return status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, status.String()
	})
}

// A refund by hand waits for a person, however often processes restart, and ends with the confirmation at once.
func TestARefundByHandEndsWhenAPersonConfirmsIt(t *testing.T) {
	s := start(t, options{})
	s.refundable()
	ops := &client.Client{BaseURL: s.api().URL, Token: "dev"}
	a := s.byHand("cad")
	f := fulfillment(a)
	s.await(a, keyturn.OrderCancelPending)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM alerts WHERE cause = 'ManualRefund' AND closed_at IS NULL`) == 1, "no alert"
	})
	alerts, err := ops.Alerts(t.Context(), false, keyturn.AlertManualRefund, 10)
	require.NoError(t, err)
	require.Contains(t, alerts[0].Happened, "12.34 EUR of payment wire-7")
	require.Contains(t, alerts[0].ToDo, "keyturn order refund-confirm "+f)
	s.worker.Stop()
	s.startWorker()
	require.Equal(t, keyturn.LineCanceling, s.status(f))
	require.Empty(t, s.letters(buyer), "nobody is told of money that is not back")
	s.audit()
	s.record(workflows.LineWorkflowID(f), "open-refund-by-hand")

	_, err = ops.ConfirmRefund(t.Context(), f, keyturn.RefundConfirmation{Reference: "WIRE-17"})
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "a reason is required")
	confirmation := keyturn.RefundConfirmation{Reference: "WIRE-17", Reason: "transferred from the shop's account"}
	first, err := ops.ConfirmRefund(t.Context(), f, confirmation)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceled, first.Status)
	require.Equal(t, keyturn.RefundDone, first.Refund.Status)
	require.Equal(t, "WIRE-17", first.Refund.Reference)
	require.Equal(t, "dev", first.Refund.ConfirmedBy)
	s.await(a, keyturn.OrderCanceled)
	s.requireWorkflowEnds(workflows.LineWorkflowID(f))
	s.record(workflows.LineWorkflowID(f), "refund-by-hand")
	again, err := ops.ConfirmRefund(t.Context(), f, confirmation)
	require.NoError(t, err)
	require.Equal(t, first.Refund, again.Refund)
	_, err = ops.ConfirmRefund(t.Context(), f, keyturn.RefundConfirmation{Reference: "WIRE-18", Reason: "x"})
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.ErrorContains(t, err, "WIRE-17")
	require.Zero(t, s.count(`SELECT count(*) FROM alerts WHERE closed_at IS NULL`))
	s.eventually(func() (bool, string) { return len(s.letters(buyer)) == 1, "the customer is not told" })
	s.audit()
}

// A line that was delivered has another workflow for its refund. A confirmation ends that as well.
func TestARefundByHandOfADeliveredLine(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "editor", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "keys"}}}, "KEY-1")
	ops := &client.Client{BaseURL: s.api().URL, Token: "dev"}
	a := s.byHand("editor")
	f := fulfillment(a)
	s.await(a, keyturn.OrderCompleted)
	_, err := ops.ConfirmRefund(t.Context(), f, keyturn.RefundConfirmation{Reference: "WIRE-1", Reason: "x"})
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "nothing is owed")
	_, err = ops.CancelOrder(t.Context(), a.Order.ID, "withdrawal")
	require.NoError(t, err)
	s.await(a, keyturn.OrderCancelPending)
	s.eventually(func() (bool, string) {
		_, err := s.temporal.DescribeWorkflowExecution(context.Background(), workflows.CancelWorkflowID(f), "")
		return err == nil, "its workflow has not begun"
	})
	_, err = ops.ConfirmRefund(t.Context(), f, keyturn.RefundConfirmation{Reference: "WIRE-1", Reason: "withdrawal"})
	require.NoError(t, err)
	s.await(a, keyturn.OrderCanceled)
	s.requireWorkflowEnds(workflows.CancelWorkflowID(f))
	s.record(workflows.CancelWorkflowID(f), "cancel-delivered-refund-by-hand")
	s.audit()
}
