package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/notify"
)

// webhook puts a webhook with a receiver into the catalog, and sends what happens from now on.
func (s *stack) webhook(id string, patterns ...string) *testkit.Receiver {
	s.t.Helper()
	r := testkit.NewReceiver(s.t)
	s.putWebhook(keyturn.Webhook{
		ID: id, URL: r.URL, Events: patterns, Secret: &keyturn.SecretRef{Value: r.Secret},
	})
	return r
}

func (s *stack) putWebhook(w keyturn.Webhook) {
	s.t.Helper()
	w = w.WithDefaults()
	require.NoError(s.t, catalog.CheckWebhook(w, false))
	_, _, err := s.db.PutWebhook(context.Background(), w)
	require.NoError(s.t, err)
}

// sends runs a sender until the test ends.
func (s *stack) sends() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&notify.Sender{DB: s.db, Caller: s.acts.Caller, Logger: s.logger, Every: 50 * time.Millisecond}).Run(ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

// told waits until the receiver has taken events of these types, in any order, and gives them by type.
func (s *stack) told(r *testkit.Receiver, types ...keyturn.EventType) map[keyturn.EventType]map[string]any {
	s.t.Helper()
	out := map[keyturn.EventType]map[string]any{}
	s.eventually(func() (bool, string) {
		var got []keyturn.EventType
		for _, req := range r.Got() {
			if req.Status >= 300 || req.Status == 0 {
				continue
			}
			var e keyturn.Event
			require.NoError(s.t, json.Unmarshal([]byte(req.Body), &e))
			got = append(got, e.Type)
			out[e.Type], _ = e.Data.(map[string]any)
		}
		text, _ := json.Marshal(got)
		return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(types))), string(text)
	})
	return out
}

// A shop hears of an order by the fast path, and of one that fails first by the general one.
func TestAShopIsToldOfItsOrders(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))}, "KEY-1")
	shop := s.webhook("shop", "order.*", "line.delivered", "line.retrying", "line.waiting_for_stock")
	other := s.webhook("other", "line.held")
	s.sends()

	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	told := s.told(shop, keyturn.EventOrderCreated, keyturn.EventLineDelivered, keyturn.EventOrderCompleted)
	require.Equal(t, map[string]any{
		"orderId": a.Order.ID, "status": "COMPLETED", "fulfillmentId": fulfillment(a), "lineItemId": a.Order.LineItems[0].ID,
		"lineStatus": "DELIVERED", "productId": "game", "operation": "create", "quantity": 1.0, "grossPrice": "29.99",
		"currency": "EUR", "version": 3.0, "links": map[string]any{"self": "/v1/orders/" + a.Order.ID},
	}, told[keyturn.EventLineDelivered])
	require.Equal(t, map[string]any{
		"orderId": a.Order.ID, "status": "PENDING", "grossPrice": "29.99", "currency": "EUR", "version": 1.0,
		"links": map[string]any{"self": "/v1/orders/" + a.Order.ID},
	}, told[keyturn.EventOrderCreated])
	require.Equal(t, "COMPLETED", told[keyturn.EventOrderCompleted]["status"])

	late := s.order("game")
	s.await(late, keyturn.OrderPartialCompleted)
	s.load("games", "KEY-2")
	s.await(late, keyturn.OrderCompleted)
	s.told(shop, keyturn.EventOrderCreated, keyturn.EventLineDelivered, keyturn.EventOrderCompleted,
		keyturn.EventOrderCreated, keyturn.EventLineWaitingForStock, keyturn.EventOrderPartiallyCompleted,
		keyturn.EventLineRetrying, keyturn.EventLineDelivered, keyturn.EventOrderCompleted)
	require.Empty(t, other.Got())
}

// A receiver that fails gets the same event again, with the same ID and bytes; one that redirects or answers nonsense
// has not taken it.
func TestAnEventIsSentAgainUntilItIsTaken(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))})
	shop := s.webhook("shop", "order.created")
	answers := []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		func(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	}
	shop.Answer(func(w http.ResponseWriter, r *http.Request) { answers[min(len(shop.Got()), 2)](w, r) })
	s.sends()
	s.order("game")
	for tries := 1; tries <= len(answers); tries++ {
		s.eventually(func() (bool, string) {
			return s.count(`SELECT count(*) FROM event_deliveries WHERE lease_until IS NULL AND attempts = $1`, tries) == 1, ""
		})
		require.Equal(t, 1, s.count(`SELECT count(*) FROM event_deliveries WHERE status = 'PENDING'
			AND next_at BETWEEN tried_at + interval '4 s' AND tried_at + interval '34 min'`))
		if tries == len(answers) {
			shop.Answer(nil)
		}
		s.exec(`UPDATE event_deliveries SET next_at = now()`)
	}
	s.told(shop, keyturn.EventOrderCreated)
	got := shop.Got()
	require.Len(t, got, 4)
	for _, again := range got[1:] {
		require.Equal(t, got[0].ID, again.ID)
		require.Equal(t, got[0].Body, again.Body)
	}
}

// A receiver that answers 410 is left alone, and operations are told.
func TestAReceiverThatIsGoneIsSwitchedOff(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))})
	gone, fine := s.webhook("gone", "*"), s.webhook("fine", "order.created")
	gone.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	s.sends()
	s.order("game")
	s.told(fine, keyturn.EventOrderCreated)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM webhooks WHERE off_why = 'gone'`) == 1, ""
	})
	s.order("game")
	s.told(fine, keyturn.EventOrderCreated, keyturn.EventOrderCreated)
	require.Len(t, gone.Got(), 1)
	require.Equal(t, 1, s.count(
		`SELECT count(*) FROM alerts WHERE cause = 'WebhookFailing' AND subject = 'webhook/gone' AND closed_at IS NULL`))
}
