package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// refundable sells a line that can never be fulfilled.
func (s *stack) refundable() {
	s.drill("acme", "permanent")
	s.integration(keyturn.Integration{ID: "acme", PermanentErrors: keyturn.PermanentErrors{HTTPStatus: []int{410}}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
}

func TestRefundIsRepeatedUntilItIsDone(t *testing.T) {
	s := start(t, options{})
	s.refundable()
	a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 1, GrossPrice: "12.34"}}, "refund-fails-3")
	s.await(a, keyturn.OrderCancelPending)
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 1234, s.refunded(a))
	require.Equal(t, 4, s.count(`SELECT tries FROM sandbox_refunds`))
	require.Equal(t, 4, s.count(`SELECT attempts FROM refunds`))
	require.NotContains(t, s.alerts(fulfillment(a)), "Refund closed", "some seconds are not slow")
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Text, "12.34")
	require.Contains(t, letters[0].Text, "maker of the product", "why the line failed, not why its refund took long")
}

func TestDeclinedRefundIsAlertedAndGoesOn(t *testing.T) {
	s := start(t, options{})
	s.refundable()
	a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 1, GrossPrice: "12.34"}}, "refund-declined")
	f := fulfillment(a)
	s.eventually(func() (bool, string) {
		for _, alert := range s.alerts(f) {
			if alert == "Refund open" {
				return true, ""
			}
		}
		return false, "no alert"
	})
	s.eventually(func() (bool, string) {
		return s.count(`SELECT attempts FROM refunds`) >= 2, "the refund is not asked for again"
	})
	require.Equal(t, keyturn.LineCanceling, s.status(f))
	require.Zero(t, s.refunded(a))
	require.Empty(t, s.letters(buyer), "nobody is told of money that is not back")
	s.audit()
	s.record(workflows.LineWorkflowID(f), "open-refund-declined")
	s.exec(`UPDATE orders SET payment_reference = 'already-refunded'`)
	s.exec(`UPDATE refunds SET reference = 'already-refunded'`)
	s.await(a, keyturn.OrderCanceled)
	require.Contains(t, s.alerts(f), "Refund closed")
}

func TestFreeLineIsCanceledWithoutAPaymentProvider(t *testing.T) {
	s := start(t, options{})
	s.refundable()
	a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 1, GrossPrice: "0"}}, "refund-declined")
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Zero(t, s.count(`SELECT count(*) FROM sandbox_refunds`))
	require.Len(t, s.letters(buyer), 1)
}

func TestRefundsOfSeveralLinesAddUp(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand), Retry: every(time.Second, time.Second)})
	a := s.accept([]keyturn.LineItem{{ProductID: "antique", Quantity: 1, GrossPrice: "1.11"}, {ProductID: "antique", Quantity: 1, GrossPrice: "2.22"}, {ProductID: "antique", Quantity: 1, GrossPrice: "3.33"}}, "pay_1")
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 666, s.refunded(a))
}
