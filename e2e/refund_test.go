package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
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

// The customer reads why the line was given up, not what happened on the way of the money.
func TestLetterSaysWhyTheLineWasGivenUp(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "always-500")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: patient})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("empty")), Retry: every(time.Second, time.Second)})
	s.product(keyturn.Product{
		ID: "bundle", OnGiveUp: keyturn.CancelOrder, Sources: sources(fromPool("empty-too")),
		Retry: every(time.Second, 2*time.Second),
	})
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand)})
	requested := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 1, GrossPrice: "1"}}, "refund-fails-1")
	soldOut := s.accept([]keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "2"}}, "refund-fails-1")
	other := s.accept([]keyturn.LineItem{
		{ProductID: "bundle", Quantity: 1, GrossPrice: "3"},
		{ProductID: "antique", Quantity: 1, GrossPrice: "4"},
	}, "pay_1")
	s.awaitLine(fulfillment(requested), keyturn.LineRetrying)
	s.decide(fulfillment(requested), keyturn.Resolution{Action: keyturn.ActionRefund})
	for _, a := range []*db.Accepted{requested, soldOut, other} {
		s.await(a, keyturn.OrderCanceled)
	}
	s.atRest(requested, soldOut, other)
	letters := map[string]string{}
	for _, l := range s.letters(buyer) {
		for _, amount := range []string{"1.00 EUR", "2.00 EUR", "3.00 EUR", "4.00 EUR"} {
			if strings.Contains(l.Text, amount) {
				letters[amount] = l.Text
			}
		}
	}
	require.Contains(t, letters["1.00 EUR"], "on request")
	require.Contains(t, letters["2.00 EUR"], "no key left")
	require.Contains(t, letters["3.00 EUR"], "no key left")
	require.NotEmpty(t, letters["4.00 EUR"])
	require.NotContains(t, letters["4.00 EUR"], "on request", "nobody asked for that line to be cancelled")
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
	a := s.accept([]keyturn.LineItem{
		{ProductID: "antique", Quantity: 1, GrossPrice: "1.11"},
		{ProductID: "antique", Quantity: 1, GrossPrice: "2.22"},
		{ProductID: "antique", Quantity: 1, GrossPrice: "3.33"},
	},
		"pay_1")
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 666, s.refunded(a))
}
