package stripe_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/stripe"
)

func TestEventsAreSentSignedAndAgainUntilTheyAreAccepted(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	h := startHook(t)
	r := e.post("/v1/webhook_endpoints", "", "url="+h.URL+"&enabled_events[]=checkout.session.completed"+
		"&enabled_events[]=payment_intent.amount_capturable_updated&api_version="+stripe.APIVersion)
	secret, _ := r.at("secret").(string)
	require.True(t, strings.HasPrefix(secret, "whsec_"), r.text)
	require.Nil(t, e.get("/v1/webhook_endpoints/"+r.id(), "").at("secret"), "it is told once")
	h.mu.Lock()
	h.answer = 500
	h.mu.Unlock()
	e.sold(stripe.Card(""))
	types := h.types(t, 2)
	slices.Sort(types)
	require.Equal(t, []string{"checkout.session.completed", "payment_intent.amount_capturable_updated"}, types)
	for _, d := range h.all() {
		require.True(t, signedBy(d, secret))
		require.False(t, signedBy(d, "whsec_other"))
		require.Equal(t, stripe.APIVersion, d.event.APIVersion)
	}
	h.mu.Lock()
	h.answer = 200
	h.mu.Unlock()
	e.Advance(time.Minute)
	h.types(t, 4)

	rolled := e.RollSecret(r.id(), time.Hour)
	e.sold(stripe.Card(""))
	h.types(t, 6)
	last := h.all()[5]
	require.True(t, signedBy(last, secret))
	require.True(t, signedBy(last, rolled))
	require.Equal(t, 200, e.post("/v1/webhook_endpoints/"+r.id(), "", "disabled=true").status)
	e.sold(stripe.Card(""))
	e.Advance(time.Minute)
	require.Len(t, h.all(), 6)
}

// signedBy says whether a secret signed a body.
func signedBy(d delivered, secret string) bool {
	at, _, _ := strings.Cut(strings.TrimPrefix(d.signature, "t="), ",")
	n := int64(0)
	for _, c := range at {
		n = n*10 + int64(c-'0')
	}
	want := stripe.Signature(d.body, time.Unix(n, 0), secret)
	_, v1, _ := strings.Cut(want, "v1=")
	v1, _, _ = strings.Cut(v1, ",")
	return strings.Contains(d.signature, "v1="+v1)
}

func TestWebhooksInDisorder(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	h := startHook(t)
	e.AddEndpoint(h.URL, "whsec_1")
	deliveries := map[string][]stripe.Delivery{
		"payment_intent.created":                   {},
		"charge.succeeded":                         {{}, {}},
		"payment_intent.amount_capturable_updated": {{After: 24 * time.Hour}},
		"checkout.session.completed": {
			{APIVersion: "2020-08-27"},
			{Secret: "whsec_2"},
			{OtherMode: true},
			{Unsigned: true},
			{Altered: true},
			{Metadata: map[string]string{"keyturn": "other/p"}},
			{Age: time.Hour},
		},
	}
	e.SetWebhooks(func(n stripe.Notice) []stripe.Delivery { return deliveries[n.Type] })
	e.sold(stripe.Card(""))
	h.types(t, 9)
	e.Advance(24 * time.Hour)
	require.Equal(t, "payment_intent.amount_capturable_updated", h.types(t, 10)[9])
	seen := map[string]int{}
	for _, d := range h.all()[:9] {
		if d.event.Type == "charge.succeeded" {
			seen["twice"]++
			continue
		}
		metadata, _ := d.event.Data.Object["metadata"].(map[string]any)
		switch {
		case d.event.APIVersion == "2020-08-27":
			seen["version"]++
		case d.event.Livemode:
			seen["mode"]++
		case metadata["keyturn"] == "other/p":
			seen["foreign"]++
		case d.signature == "":
			seen["unsigned"]++
		case signedBy(d, "whsec_2"):
			seen["secret"]++
		case !signedBy(d, "whsec_1"):
			seen["altered"]++
			require.True(t, bytes.Contains(d.body, []byte(`"object":  "event"`)))
		default:
			seen["old"]++
		}
	}
	require.Equal(t, map[string]int{
		"twice": 2, "version": 1, "mode": 1, "foreign": 1, "unsigned": 1, "secret": 1, "altered": 1, "old": 1,
	}, seen)
}
