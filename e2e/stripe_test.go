package e2e_test

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/workflows"
)

// stripeShop is a stack that sells through Stripe's emulator.
type stripeShop struct {
	*stack
	emulator *emulator.Server
}

func startStripe(t *testing.T, with ...options) *stripeShop {
	t.Helper()
	o := options{}
	if len(with) > 0 {
		o = with[0]
	}
	o.noWorker = true
	return start(t, o).throughStripe()
}

// throughStripe has a stack sell through Stripe's emulator, and starts its worker.
func (s *stack) throughStripe() *stripeShop {
	t := s.t
	t.Helper()
	x := &stripeShop{stack: s, emulator: emulator.New(emulator.Config{Exchanges: exchanges(t)})}
	require.NoError(t, x.emulator.Start())
	t.Cleanup(func() { require.NoError(t, x.emulator.Close()) })
	require.NoError(t, s.db.CheckKeys(t.Context()))
	require.NoError(t, s.db.NameInstallation(t.Context(), "e2e"))
	processor, err := stripe.New(stripe.Config{
		Key: emulator.Key, WebhookSecrets: []keyturn.Secret{"whsec_e2e"}, Authorize: stripe.DefaultAuthorize,
		Installation: "e2e", URL: x.emulator.URL(), PageOrigin: x.emulator.PageURL(),
	})
	require.NoError(t, err)
	s.acts.Desk.Processors[stripe.Name], s.acts.Providers[stripe.Name] = processor, processor
	x.emulator.AddEndpoint(s.pages.URL+"/hooks/stripe", "whsec_e2e")
	s.startWorker()
	return x
}

// exchanges is the file, if any, that gets what is said to the emulator and by it: tools/stripecheck compares it with
// what Stripe publishes.
func exchanges(t *testing.T) io.Writer {
	t.Helper()
	path := os.Getenv("KEYTURN_STRIPE_EXCHANGES")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// pays buys a link on Stripe's page.
func (s *stripeShop) pays(linkID string, m emulator.Method) {
	s.t.Helper()
	page := s.orderAndPay(linkID)
	require.Contains(s.t, page, s.emulator.PageURL())
	var session string
	require.NoError(s.t, s.sql(&session, `SELECT session_reference FROM payments WHERE link_id = $1
		ORDER BY number DESC LIMIT 1`, linkID))
	_, err := s.emulator.Pay(session, m)
	require.NoError(s.t, err)
}

func (s *stripeShop) atStripe(linkID string) emulator.Payment {
	s.t.Helper()
	id, _ := s.paymentOf(linkID)
	for _, p := range s.emulator.Books().Payments {
		if p.Metadata["keyturn"] == "e2e/"+id {
			return p
		}
	}
	s.t.Fatal("Stripe has no payment of the link")
	return emulator.Payment{}
}

func (s *stripeShop) stripeLink(products ...string) string {
	return s.linkOf(keyturn.CheckoutLink{Provider: stripe.Name}, "", products...)
}

// The money is authorized at Stripe, the key obtained, the money taken, the key mailed; and given back once.
func TestAStripePurchaseIsCapturedAndRefunded(t *testing.T) {
	s := startStripe(t)
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "GAME-1")
	link := s.stripeLink("game")
	s.pays(link, emulator.Card(""))
	s.awaitLink(link, keyturn.OrderCompleted)
	id := s.awaitPayment(link, keyturn.PaymentCaptured)
	require.EqualValues(t, 1000, s.atStripe(link).Captured)
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(id))
	require.Contains(t, s.awaitLetters(2)[1].Text, "GAME-1")

	require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	p := s.atStripe(link)
	require.EqualValues(t, 1000, p.Refunded)
	require.Equal(t, 1, p.Refunds)
	s.audit()
	require.Zero(t, s.count(`SELECT count(*) FROM alerts WHERE closed_at IS NULL AND subject LIKE 'processor/%'`))
	require.NotZero(t, s.count(`SELECT count(*) FROM provider_events WHERE provider = 'stripe' AND payment_id IS NOT NULL`),
		"Stripe's events have arrived")
	require.NotContains(t, s.logs.String(), "could not be booked", "several at the same moment do not disturb each other")
}

// What cannot be delivered is not charged.
func TestAStripePaymentIsLetGo(t *testing.T) {
	s := startStripe(t)
	s.product(keyturn.Product{
		ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(2 * time.Second)},
	})
	link := s.stripeLink("game")
	s.pays(link, emulator.Card(""))
	s.awaitLink(link, keyturn.OrderCanceled)
	s.awaitPayment(link, keyturn.PaymentVoided)
	p := s.atStripe(link)
	require.Equal(t, "canceled", p.Status)
	require.Zero(t, p.Captured)
	require.Zero(t, p.Refunds)
	s.audit()
}

// However Stripe's answers go wrong, each purchase is charged once and each refund is paid once.
func TestStripePurchasesThroughTrouble(t *testing.T) {
	s := startStripe(t)
	keys := []string{"GAME-1", "GAME-2", "GAME-3", "GAME-4", "GAME-5", "GAME-6"}
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, keys...)
	for _, f := range []emulator.Fault{
		emulator.Lost, emulator.Cut, emulator.Failed, emulator.FailedAfter, emulator.InUse,
		emulator.Limited,
	} {
		hit := map[string]bool{}
		s.emulator.SetFaults(func(c emulator.Call) emulator.Fault {
			if hit[c.Operation] || c.Operation == "checkout.session.create" {
				return ""
			}
			hit[c.Operation] = true
			return f
		})
		link := s.stripeLink("game")
		s.pays(link, emulator.Card(""))
		s.awaitLink(link, keyturn.OrderCompleted)
		s.awaitPayment(link, keyturn.PaymentCaptured)
		require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
		if f != emulator.Failed { // it is looked for during a quarter of an hour first
			s.await(s.orderOf(link), keyturn.OrderCanceled)
			p := s.atStripe(link)
			require.EqualValues(t, 1000, p.Captured, f)
			require.EqualValues(t, 1000, p.Refunded, f)
			require.Equal(t, 1, p.Refunds, f)
		}
	}
	s.audit()
}
