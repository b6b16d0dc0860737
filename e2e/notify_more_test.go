package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/notify"
)

// A webhook that Keyturn has switched off is on again after a test that its receiver takes, and not before; what it
// missed is replayed, marked, under the IDs that it had.
func TestATestSwitchesAWebhookOnAgain(t *testing.T) {
	s := start(t, options{noWorker: true})
	ctx := context.Background()
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))})
	shop := s.webhook("shop", "order.created")
	shop.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	began := time.Now().Add(-time.Minute)
	s.sends()
	s.order("game")
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM webhooks WHERE off_at IS NOT NULL`) == 1, ""
	})
	sender := &notify.Sender{DB: s.db, Caller: s.acts.Caller, Logger: s.logger}
	v, err := sender.Test(ctx, "shop")
	require.NoError(t, err)
	require.Equal(t, keyturn.EventFailed, v.Status)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM webhooks WHERE off_at IS NOT NULL`))
	s.order("game") // while it is off
	s.eventually(func() (bool, string) { return s.count(`SELECT count(*) FROM events WHERE number IS NULL`) == 0, "" })

	shop.Answer(nil)
	v, err = sender.Test(ctx, "shop")
	require.NoError(t, err)
	require.Equal(t, keyturn.EventDelivered, v.Status)
	require.Equal(t, http.StatusNoContent, v.HTTPStatus)
	require.Equal(t, 0, s.count(`SELECT count(*) FROM alerts WHERE cause = 'WebhookFailing' AND closed_at IS NULL`))
	s.told(shop, keyturn.EventWebhookTest) // what was pending is tried at its time

	for range 2 { // the same request
		out, err := s.db.ReplayEvents(ctx, "shop", "key", keyturn.ReplayEvents{From: began, FailedOnly: true})
		require.NoError(t, err)
		require.Equal(t, 2, out.Events)
	}
	s.told(shop, keyturn.EventWebhookTest, keyturn.EventOrderCreated, keyturn.EventOrderCreated)
	for _, got := range shop.Got() {
		if got.Status == http.StatusNoContent && strings.Contains(got.Body, "order.created") {
			require.Contains(t, got.Body, `"replay":true`)
		}
	}
	page, err := s.db.EventDeliveries(ctx, "shop", "", 0, 200)
	require.NoError(t, err)
	require.Len(t, page.Deliveries, 5, "one that failed, two tests, two replayed")
}

// During a rotation a receiver may have either secret.
func TestRotationSignsWithBoth(t *testing.T) {
	s := start(t, options{noWorker: true})
	shop := s.webhook("shop", "order.*") // verifies with the secret before
	out, err := s.db.RotateWebhook(context.Background(), "shop")
	require.NoError(t, err)
	require.NotEqual(t, shop.Secret, out.Secret)
	_, err = (&notify.Sender{DB: s.db, Caller: s.acts.Caller, Logger: s.logger}).Test(context.Background(), "shop")
	require.NoError(t, err)
	got := shop.Got()
	require.Len(t, got, 1)
	signed := got[0].Header.Get("Webhook-Signature")
	require.Len(t, strings.Fields(signed), 2)
	again := notify.Header(got[0].ID, time.Now(), got[0].Body, []string{out.Secret})
	require.NotEmpty(t, again.Get("Webhook-Signature"))
}

// After five events in a row that failed, one request at a time finds out whether the receiver is back; another webhook
// notices nothing. No more than the webhook allows are under way, over all processes.
func TestAReceiverThatHangsIsLeftAlone(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))})
	fine := s.webhook("fine", "order.created")
	dead := testkit.NewReceiver(t)
	dead.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.putWebhook(keyturn.Webhook{
		ID: "dead", URL: dead.URL, Events: []string{"order.created"}, Secret: &keyturn.SecretRef{Value: dead.Secret},
		Rate: keyturn.WebhookRate{MaxConcurrent: 2},
	})
	for range 20 {
		s.order("game")
	}
	s.sends()
	s.sends()
	want := make([]keyturn.EventType, 20)
	for i := range want {
		want[i] = keyturn.EventOrderCreated
	}
	s.told(fine, want...)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM webhooks WHERE opened_at IS NOT NULL`) == 1, ""
	})
	require.LessOrEqual(t, len(dead.Got()), 8, "then probes alone")
	dead.Answer(nil)
	s.exec(`UPDATE webhooks SET next_try_at = now() WHERE id = 'dead'`)
	s.exec(`UPDATE event_deliveries SET next_at = now() WHERE next_at > now() AND lease_until IS NULL`)
	s.told(dead, want...)
	require.Equal(t, 0, s.count(`SELECT count(*) FROM webhooks WHERE opened_at IS NOT NULL`))
}

// No event holds what is a person's, a key, or a partner's words; nor does what is kept of answers once the person is
// erased.
func TestEventsHoldNothingPersonal(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))}, "CANARY-KEY-1", "CANARY-KEY-2")
	shop := s.webhook("shop", "*")
	shop.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("thanks from " + buyer))
	})
	s.sends()
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	s.told(shop, keyturn.EventOrderCreated, keyturn.EventLineObtained, keyturn.EventLineDelivered,
		keyturn.EventOrderCompleted, keyturn.EventLicenseCreated)
	for _, text := range s.texts(`SELECT facts || coalesce(body, '') FROM events`) {
		for _, canary := range []string{"CANARY-KEY", buyer, "Jean", "Dupont", shop.Secret} {
			require.NotContains(t, text, canary)
		}
		require.True(t, json.Valid([]byte(text[strings.LastIndex(text, `{"type"`):])))
	}
	s.atRest(a)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM event_deliveries WHERE reply LIKE '%buyer%'`) == 5, "an answer is not booked"
	})
	_, err := s.db.EraseCustomer(context.Background(), "", "user-1", "test")
	require.NoError(t, err)
	require.Equal(t, 0, s.count(`SELECT count(*) FROM event_deliveries WHERE reply LIKE '%buyer%'`))
}

// A rotation ends by the database's clock, as everything does: processes whose clocks differ sign with the same
// secrets.
func TestARotationEndsByTheDatabasesClock(t *testing.T) {
	const ahead = 48 * time.Hour
	s := start(t, options{noWorker: true, skew: ahead})
	shop := s.webhook("shop", "order.*")
	out, err := s.db.RotateWebhook(context.Background(), "shop")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(ahead+24*time.Hour), out.BothUntil, time.Minute)
	sender := &notify.Sender{DB: s.db, Caller: s.acts.Caller, Logger: s.logger}
	_, err = sender.Test(context.Background(), "shop")
	require.NoError(t, err)
	require.Len(t, strings.Fields(shop.Got()[0].Header.Get("Webhook-Signature")), 2)
}
