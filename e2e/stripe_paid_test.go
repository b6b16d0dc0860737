package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/workflows"
)

// cameInPaid is an order of two keys that came in with a payment which the shop took at Stripe itself: 59.98 EUR.
func (s *stripeShop) cameInPaid() (a *db.Accepted, intent string) {
	s.t.Helper()
	intent = s.emulator.PaidElsewhere(5998, "eur", map[string]string{"cart": "77"}, emulator.Card(""))
	return s.paidOrder(intent), intent
}

// paidOrder is an order of two keys that came in with a PaymentIntent.
func (s *stripeShop) paidOrder(intent string) *db.Accepted {
	s.t.Helper()
	a := s.store(keyturn.Order{
		Payment: keyturn.Payment{Provider: stripe.Name, Reference: intent},
		LineItems: []keyturn.LineItem{
			{ProductID: "game", Quantity: 1, GrossPrice: "29.99"}, {ProductID: "game", Quantity: 1, GrossPrice: "29.99"},
		},
	})
	s.starter.Enqueue(a.Starts)
	s.await(a, keyturn.OrderCompleted)
	return a
}

func (s *stripeShop) intent(id string) emulator.Payment {
	s.t.Helper()
	for _, p := range s.emulator.Books().Payments {
		if p.ID == id {
			return p
		}
	}
	s.t.Fatal("Stripe has no such payment")
	return emulator.Payment{}
}

func (s *stripeShop) sellsGames(n int) {
	s.t.Helper()
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("p"))}, keys("GAME", n)...)
}

// A dispute of a payment that an order came in paid with is told of; refunds wait for its end, and what is lost is back
// already.
func TestADisputeOfAnOrderThatCameInPaid(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(10)
	a, intent := s.cameInPaid()
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	view, err := s.db.Order(t.Context(), a.Order.ID)
	require.NoError(t, err)
	require.NotNil(t, view.Payment.DisputedAt)
	evidence, err := s.db.OrderEvidence(t.Context(), a.Order.ID, false, "ana")
	require.NoError(t, err)
	require.Len(t, evidence.Disputes, 1)
	require.Equal(t, "open", evidence.Disputes[0].Status)
	_, err = s.db.EraseCustomer(t.Context(), "", "user-1", "ana")
	require.ErrorContains(t, err, "disputed")

	require.NoError(t, s.db.CancelOrder(t.Context(), a.Order.ID, "the customer asks for it"))
	s.await(a, keyturn.OrderCancelPending)
	s.awaitAlert(keyturn.AlertRefund, 2)
	require.Zero(t, s.intent(intent).Refunds, "it is not paid back twice")
	require.NoError(t, s.emulator.CloseDispute(dispute, false))
	s.awaitAlert(keyturn.AlertDispute, 0)
	s.refundsAreTriedNow()
	s.await(a, keyturn.OrderCanceled)
	require.Zero(t, s.intent(intent).Refunds)
	require.Equal(t, 2, s.count(`SELECT count(*) FROM refunds WHERE provider_id = $1`, dispute))
	s.audit()
	s.requireWorkflowEnds(workflows.FollowWorkflowID("stripe/" + intent))
	s.record(workflows.FollowWorkflowID("stripe/"+intent), "follow-payment")
}

// refundsAreTriedNow has refunds that wait for their next try be asked for at once.
func (s *stripeShop) refundsAreTriedNow() {
	s.exec(`UPDATE line_items SET next_attempt_at = now(), wake_at = now() WHERE status = 'CANCELING'`)
	s.starter.Wake()
	for _, f := range s.texts(`SELECT CAST(fulfillment_id AS text) FROM line_items WHERE status = 'CANCELING'`) {
		s.isTriedNow("fulfillment-"+f, "Refund")
		s.isTriedNow("cancel-"+f, "Refund")
	}
}

// What somebody refunds in the dashboard of a payment that an order came in paid with cancels the order, without being
// refunded once more; a part is a person's to look at.
func TestRefundsThatOthersMakeOfAnOrderThatCameInPaid(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(10)
	shop := s.webhook("shop", "refund.external")
	s.sends()
	a, intent := s.cameInPaid()
	_, err := s.emulator.Refund(intent, 5998)
	require.NoError(t, err)
	s.await(a, keyturn.OrderCanceled)
	require.Equal(t, 1, s.intent(intent).Refunds)
	require.Equal(t, 2, s.count(`SELECT count(*) FROM refunds WHERE provider_id = 'refunded-elsewhere'`))

	part, intent := s.cameInPaid()
	_, err = s.emulator.Refund(intent, 1000)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertExternalRefund, 1)
	s.await(part, keyturn.OrderCompleted)
	told := s.told(shop, keyturn.EventRefundExternal, keyturn.EventRefundExternal)[keyturn.EventRefundExternal]
	require.NotContains(t, told, "paymentId")
	require.Contains(t, []any{a.Order.ID, part.Order.ID}, told["orderId"])
	s.audit()
}

// One payment may pay several orders: a lost dispute cancels them all, and the alert names them.
func TestADisputeOfOrdersThatShareAPayment(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(10)
	shop := s.webhook("shop", "payment.*", "refund.external")
	s.sends()
	intent := s.emulator.PaidElsewhere(2*5998, "eur", nil, emulator.Card(""))
	one, other := s.paidOrder(intent), s.paidOrder(intent)
	require.NoError(t, s.emulator.Warn(intent))
	s.awaitAlert(keyturn.AlertFraudWarning, 1)
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	var detail string
	require.NoError(t, s.sql(&detail, `SELECT detail FROM alerts WHERE cause = 'Dispute'`))
	require.Contains(t, detail, one.Order.ID+", "+other.Order.ID)
	require.NoError(t, s.emulator.CloseDispute(dispute, false))
	for _, a := range []*db.Accepted{one, other} {
		s.await(a, keyturn.OrderCanceled)
	}
	require.Zero(t, s.intent(intent).Refunds)
	for _, told := range s.toldOf(shop, one, other, keyturn.EventPaymentFraudWarning, keyturn.EventPaymentDisputed,
		keyturn.EventPaymentDisputeClosed) {
		require.NotContains(t, told, "paymentId")
		require.NotContains(t, told, "link")
		require.Equal(t, "CAPTURED", told["status"])
		require.Equal(t, "59.98", told["captured"], "the order's share")
		require.Equal(t, "EUR", told["currency"])
		if dispute, ok := told["dispute"].(map[string]any); ok {
			require.Equal(t, "119.96", dispute["amount"], "of the whole payment")
		}
	}
	for _, got := range shop.Got() {
		require.NotContains(t, got.Body, intent)
	}
	s.audit()
}

// toldOf waits until the receiver has taken an event of each type about each of the two orders, and gives them.
func (s *stripeShop) toldOf(r *testkit.Receiver, one, other *db.Accepted, types ...keyturn.EventType) []map[string]any {
	s.t.Helper()
	var events []map[string]any
	s.eventually(func() (bool, string) {
		events = nil
		var got, want []string
		for _, req := range r.Got() {
			var e struct {
				Type keyturn.EventType `json:"type"`
				Data map[string]any    `json:"data"`
			}
			require.NoError(s.t, json.Unmarshal([]byte(req.Body), &e))
			events = append(events, e.Data)
			got = append(got, fmt.Sprint(e.Type, " ", e.Data["orderId"], " ", e.Data["links"]))
		}
		for _, t := range types {
			for _, a := range []*db.Accepted{one, other} {
				want = append(want, fmt.Sprint(t, " ", a.Order.ID, " map[self:/v1/orders/", a.Order.ID, "]"))
			}
		}
		return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))), strings.Join(got, "\n")
	})
	return events
}

// Events that never come cost a day: each night Stripe is asked for what came of payments.
func TestWhatNoEventTellsOfIsFoundAtNight(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(10)
	a, intent := s.cameInPaid()
	link, sold := s.sold("GAME-A", "")
	s.emulator.SetWebhooks(func(emulator.Notice) []emulator.Delivery { return nil })
	payment, _ := s.paymentOf(link)
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(payment)) // it would see the dispute when it looks once more
	s.outboxEmpties()
	for _, id := range []string{intent, sold} {
		_, err := s.emulator.Dispute(id)
		require.NoError(t, err)
	}
	s.emulator.SetFaults(emulator.Shaky(100, emulator.Down))
	require.Error(t, s.acts.Desk.ReviewRecent(t.Context()))
	s.emulator.SetFaults(nil)
	require.NoError(t, s.acts.Desk.ReviewRecent(t.Context()))
	time.Sleep(time.Second)
	s.awaitAlert(keyturn.AlertDispute, 0) // the review that failed is repeated in ten minutes
	s.exec(`UPDATE processor_reviews SET at = at - interval '11 minutes'`)
	require.NoError(t, s.acts.Desk.ReviewRecent(t.Context()))
	s.awaitAlert(keyturn.AlertDispute, 2)
	require.NoError(t, s.acts.Desk.ReviewRecent(t.Context()), "not again on the same day")
	s.await(a, keyturn.OrderCompleted)
	s.await(s.orderOf(link), keyturn.OrderCompleted)
	s.audit()
}

// A payment that Stripe has further on than we do is asked for at night, too.
func TestAPaymentThatIsBehindIsFoundAtNight(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(2)
	s.emulator.SetWebhooks(func(emulator.Notice) []emulator.Delivery { return nil })
	link := s.stripeLink("game")
	s.pays(link, emulator.Card(""))
	id, status := s.paymentOf(link)
	require.Equal(t, keyturn.PaymentOpen, status)
	s.exec(`UPDATE payments SET look_at = now() + interval '1 hour' WHERE id = $1`, id)
	require.NoError(t, s.acts.Desk.ReviewRecent(context.Background()))
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
}
