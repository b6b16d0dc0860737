package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
)

// Stripe's events are hints. However they come, or do not come, and whatever claims to be one, a purchase is booked
// once and charged once.
func TestStripeEventsThatGoWrong(t *testing.T) {
	s := startStripe(t)
	ways := []struct {
		name  string
		sent  []emulator.Delivery
		known bool // events of the payment are booked
	}{
		{name: "twice", sent: []emulator.Delivery{{}, {}}, known: true},
		{name: "in another order", sent: []emulator.Delivery{{After: time.Second}, {After: 10 * time.Millisecond}}, known: true},
		{name: "of another version", sent: []emulator.Delivery{{APIVersion: "2020-08-27"}}, known: true},
		{name: "a day late", sent: []emulator.Delivery{{After: 24 * time.Hour}}},
		{name: "never"},
		{name: "signed by nobody", sent: []emulator.Delivery{{Unsigned: true, Once: true}}},
		{name: "signed by others", sent: []emulator.Delivery{{Secret: "whsec_of_nobody", Once: true}}},
		{name: "signed long ago", sent: []emulator.Delivery{{Age: time.Hour, Once: true}}},
		{name: "signed in the future", sent: []emulator.Delivery{{Age: -time.Hour, Once: true}}},
		{name: "altered", sent: []emulator.Delivery{{Altered: true, Once: true}}},
		{name: "of the other mode", sent: []emulator.Delivery{{OtherMode: true, Once: true}}},
		{name: "of another installation", sent: []emulator.Delivery{{
			Metadata: map[string]string{"keyturn": "elsewhere/" + s.queue}, Once: true,
		}}},
	}
	var keys []string
	for _, way := range ways {
		keys = append(keys, "KEY-"+way.name)
	}
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("p"))}, keys...)
	late := ""
	for _, way := range ways {
		s.emulator.SetWebhooks(func(n emulator.Notice) []emulator.Delivery {
			if way.known || way.name != "of another installation" || n.Type == "checkout.session.completed" {
				return way.sent
			}
			return nil // a charge tells of no installation
		})
		link := s.stripeLink("game")
		s.pays(link, emulator.Card(""))
		id, _ := s.paymentOf(link)
		_, err := s.acts.Desk.Look(t.Context(), id) // the customer comes back
		require.NoError(t, err, way.name)
		s.awaitLink(link, keyturn.OrderCompleted)
		s.awaitPayment(link, keyturn.PaymentCaptured)
		require.EqualValues(t, 1000, s.atStripe(link).Captured, way.name)
		if way.known {
			s.awaitEvents(id)
		} else {
			require.Zero(t, s.count(`SELECT count(*) FROM provider_events WHERE payment_id = $1`, id), way.name)
		}
		if way.name == "a day late" {
			late = id
		}
	}
	require.NotZero(t, s.count(`SELECT count(*) FROM alerts WHERE cause = 'ProcessorMode'`))
	s.emulator.SetWebhooks(nil)
	s.emulator.Advance(25 * time.Hour)
	s.awaitEvents(late)
	s.atRest()
	require.Equal(t, len(ways), s.count(`SELECT count(*) FROM orders WHERE status = 'COMPLETED'`), "late ones change nothing")
	require.Empty(t, s.unfair())
	s.audit()
}

func (s *stripeShop) awaitEvents(paymentID string) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM provider_events WHERE payment_id = $1`, paymentID) > 0, "no event is booked"
	})
}

// An authorization that runs out at Stripe before there is a key: nothing is charged, and the order ends.
func TestAStripeAuthorizationThatRunsOut(t *testing.T) {
	s := startStripe(t)
	s.product(keyturn.Product{
		ID: "game", Sources: sources(fromPool("p")),
		Retry: every(time.Hour, 30*24*time.Hour),
	})
	link := s.stripeLink("game")
	s.pays(link, emulator.Card(""))
	s.awaitLink(link, keyturn.OrderPartialCompleted)
	s.awaitPayment(link, keyturn.PaymentAuthorized)
	s.emulator.Advance(8 * 24 * time.Hour)
	s.awaitPayment(link, keyturn.PaymentLost)
	s.awaitLink(link, keyturn.OrderCanceled)
	p := s.atStripe(link)
	require.Zero(t, p.Captured)
	require.Zero(t, p.Authorized)
	require.Empty(t, s.unfair())
	s.audit()
}
