package e2e_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/workflows"
)

func (s *stack) outboxEmpties() {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		waits := s.texts(`SELECT workflow || ' ' || subject FROM outbox`)
		return len(waits) == 0, fmt.Sprint(waits)
	})
}

// Stripe is taken out of the settings while links of it are open. Who wants to pay is told so, nothing is charged, and
// the payment's workflow ends; a payment that Stripe has keeps its workflow, and goes on when Stripe is back.
func TestStripeIsRemovedFromTheSettings(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(5)
	open := s.stripeLink("game")
	s.emulator.SetWebhooks(func(emulator.Notice) []emulator.Delivery { return nil })
	s.pays(open, emulator.Card(""))
	paid, _ := s.paymentOf(open)
	later := s.stripeLink("game")

	processor := s.acts.Desk.Processors[stripe.Name]
	s.worker.Stop() // its settings are read when it starts
	delete(s.acts.Desk.Processors, stripe.Name)
	s.startWorker()
	id := s.begins(later)
	_, err := s.acts.Desk.Open(t.Context(), id)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	s.awaitPayment(later, keyturn.PaymentExpired)
	s.outboxEmpties()
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(id))
	s.awaitAlert(keyturn.AlertProcessorRefuses, 1)
	require.Equal(t, "OPEN", s.texts(`SELECT status FROM checkout_links WHERE id = $1`, later)[0])

	require.NoError(t, s.db.LookAtPayment(t.Context(), paid))
	s.outboxEmpties()
	_, status := s.paymentOf(open)
	require.Equal(t, keyturn.PaymentOpen, status, "nobody knows whether it was paid")
	s.worker.Stop()
	s.acts.Desk.Processors[stripe.Name] = processor
	s.startWorker()
	s.isTriedNow(workflows.PaymentWorkflowID(paid), "RetrievePayment")
	s.awaitLink(open, keyturn.OrderCompleted)
	s.emulator.SetWebhooks(nil)
	s.pays(later, emulator.Card(""))
	s.awaitLink(later, keyturn.OrderCompleted)
	s.awaitAlert(keyturn.AlertProcessorRefuses, 0)
	s.audit()
}
