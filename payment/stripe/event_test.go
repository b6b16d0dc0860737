package stripe_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

const paymentID = "019b0000-0000-7000-8000-000000000001"

func configured() stripe.Config {
	return stripe.Config{
		Key: "sk_test_1", WebhookSecrets: []keyturn.Secret{"whsec_new", "whsec_old"}, Authorize: stripe.DefaultAuthorize,
		Installation: "shop-1",
	}
}

func made(t *testing.T, c stripe.Config) stripe.Processor {
	t.Helper()
	x, err := stripe.New(c)
	require.NoError(t, err)
	return x
}

func sign(body, secret string, at time.Time) string {
	return hex.EncodeToString(webhook.ComputeSignature(at, []byte(body), secret))
}

func eventOf(kind, object string) string {
	return `{"id":"evt_1","object":"event","type":"` + kind + `","livemode":false,"api_version":"2020-08-27","data":{"object":` +
		object + `}}`
}

const sessionObject = `{"id":"cs_1","object":"checkout.session","payment_intent":"pi_1","metadata":{"keyturn":"shop-1/` +
	paymentID + `"}}`

func TestEventsAreVerified(t *testing.T) {
	t.Parallel()
	x := made(t, configured())
	body := eventOf("checkout.session.completed", sessionObject)
	v1 := sign(body, "whsec_new", noon)
	at := fmt.Sprint(noon.Unix())
	took := func(body, header string, now time.Time) (payment.Event, error) {
		h := http.Header{}
		h.Set("Stripe-Signature", header)
		return x.Event([]byte(body), h, now)
	}
	want := payment.Event{
		ID: "evt_1", Type: "checkout.session.completed", SessionReference: "cs_1", PaymentReference: "pi_1",
		PaymentID: paymentID,
	}
	for name, header := range map[string]string{
		"the new secret":    "t=" + at + ",v1=" + v1,
		"the old secret":    "t=" + at + ",v1=" + sign(body, "whsec_old", noon),
		"both":              "t=" + at + ",v1=" + sign(body, "whsec_x", noon) + ",v1=" + v1,
		"with another kind": "t=" + at + ",v0=00,v1=" + v1,
	} {
		for _, now := range []time.Time{noon, noon.Add(5 * time.Minute), noon.Add(-5 * time.Minute)} {
			got, err := took(body, header, now)
			require.NoError(t, err, name)
			require.Equal(t, want, got)
		}
	}
	good := "t=" + at + ",v1=" + v1
	for name, c := range map[string]struct {
		body, header string
		now          time.Time
	}{
		"too old":         {body, good, noon.Add(5*time.Minute + time.Second)},
		"of the future":   {body, good, noon.Add(-5*time.Minute - time.Second)},
		"cut":             {body[:len(body)-1], good, noon},
		"a changed byte":  {strings.Replace(body, "cs_1", "cs_2", 1), good, noon},
		"another secret":  {body, "t=" + at + ",v1=" + sign(body, "whsec_x", noon), noon},
		"v0 only":         {body, "t=" + at + ",v0=" + v1, noon},
		"two times":       {body, "t=1," + good, noon},
		"two equal times": {body, "t=" + at + "," + good, noon},
		"another time":    {body, "t=" + fmt.Sprint(noon.Unix()-1) + ",v1=" + v1, noon},
		"no time":         {body, "v1=" + v1, noon},
		"no hex":          {body, "t=" + at + ",v1=x" + v1, noon},
		"nothing":         {body, "", noon},
		"no JSON":         {"{", "t=" + at + ",v1=" + sign("{", "whsec_new", noon), noon},
		"no object":       {`{"id":"evt_1"}`, "t=" + at + ",v1=" + sign(`{"id":"evt_1"}`, "whsec_new", noon), noon},
	} {
		_, err := took(c.body, c.header, c.now)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), name)
	}
	live := strings.Replace(body, `"livemode":false`, `"livemode":true`, 1)
	_, err := took(live, "t="+at+",v1="+sign(live, "whsec_new", noon), noon)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err), "another mode")

	none := configured()
	none.WebhookSecrets = nil
	x = made(t, none)
	_, err = took(body, good, noon)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), "there is no secret")
}

func TestWhatAnEventNames(t *testing.T) {
	t.Parallel()
	x := made(t, configured())
	for _, c := range []struct {
		kind, object string
		want         payment.Event
	}{
		{
			"payment_intent.payment_failed",
			`{"id":"pi_1","object":"payment_intent","metadata":{"keyturn":"shop-1/` + paymentID + `"}}`,
			payment.Event{PaymentReference: "pi_1", PaymentID: paymentID, Outcome: keyturn.Refused},
		},
		{
			"payment_intent.succeeded", `{"id":"pi_1","object":"payment_intent","metadata":{}}`,
			payment.Event{PaymentReference: "pi_1", Outcome: keyturn.Paid},
		},
		{
			"payment_intent.succeeded",
			`{"id":"pi_1","object":"payment_intent","metadata":{"keyturn":"shop-2/` + paymentID + `"}}`,
			payment.Event{},
		},
		{
			"refund.failed",
			`{"id":"re_1","object":"refund","payment_intent":{"id":"pi_1"},"metadata":{"keyturn":"shop-1/x"}}`,
			payment.Event{PaymentReference: "pi_1", RefundOf: "x"},
		},
		{
			"charge.dispute.created", `{"id":"dp_1","object":"dispute","payment_intent":"pi_1","metadata":{}}`,
			payment.Event{PaymentReference: "pi_1"},
		},
		{
			"radar.early_fraud_warning.created", `{"id":"w_1","object":"radar.early_fraud_warning","payment_intent":"pi_1"}`,
			payment.Event{PaymentReference: "pi_1"},
		},
		{"balance.available", `{"object":"balance"}`, payment.Event{}},
	} {
		body := eventOf(c.kind, c.object)
		h := http.Header{}
		h.Set("Stripe-Signature", "t="+fmt.Sprint(noon.Unix())+",v1="+sign(body, "whsec_new", noon))
		got, err := x.Event([]byte(body), h, noon)
		require.NoError(t, err, c.kind)
		c.want.ID, c.want.Type = "evt_1", c.kind
		require.Equal(t, c.want, got)
	}
}

func TestTheConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	require.NoError(t, configured().Check())
	require.False(t, configured().Live())
	for field, spoil := range map[string]func(*stripe.Config){
		"key":            func(c *stripe.Config) { c.Key = "pk_test_1" },
		"webhookSecrets": func(c *stripe.Config) { c.WebhookSecrets = []keyturn.Secret{"secret"} },
		"installation":   func(c *stripe.Config) { c.Installation = "Shop" },
		"authorize":      func(c *stripe.Config) { c.Authorize = []string{"sepa_debit"} },
		"url":            func(c *stripe.Config) { c.URL = "127.0.0.1" },
	} {
		c := configured()
		spoil(&c)
		_, err := stripe.New(c)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), field)
		require.ErrorContains(t, err, field+" ")
		require.NotContains(t, err.Error(), "pk_test")
	}
	live := configured()
	live.Key = "rk_live_1"
	require.True(t, live.Live())
}
