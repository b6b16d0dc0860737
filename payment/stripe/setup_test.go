package stripe_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

func TestSetupOfTheEndpoint(t *testing.T) {
	t.Parallel()
	s := sell(t)
	o := stripe.SetupOptions{Address: "https://shop.test/hooks/stripe"}
	first, err := s.Setup(t.Context(), o)
	require.NoError(t, err)
	require.True(t, first.Made)
	require.Contains(t, first.Secret, "whsec_")
	require.Empty(t, first.Lacks)
	require.False(t, first.Live)

	again, err := s.Setup(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, first.Endpoint, again.Endpoint)
	require.False(t, again.Made)
	require.Empty(t, again.Secret, "it is told once")

	s.emulator.Advance(2 * time.Second)
	o.Roll = true
	second, err := s.Setup(t.Context(), o)
	require.NoError(t, err)
	require.True(t, second.Made)
	require.NotEqual(t, first.Secret, second.Secret)
	o.Roll, o.Retire = false, true
	last, err := s.Setup(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, second.Endpoint, last.Endpoint)
	require.Equal(t, []string{first.Endpoint}, last.Retired)
}

// permits are the operations that each permission is for.
var permits = map[string][]string{
	"Checkout Sessions: write": {
		"checkout.session.create", "checkout.session.list", "checkout.session.retrieve", "checkout.session.expire",
	},
	"PaymentIntents: write": {
		"payment_intent.list", "payment_intent.retrieve", "payment_intent.capture", "payment_intent.cancel",
	},
	"Charges and Refunds: write":        {"refund.create", "refund.list"},
	"Disputes: read":                    {"dispute.list"},
	"Radar, early fraud warnings: read": {"radar.early_fraud_warning.list"},
}

// forSetup are the operations that setting up needs besides.
var forSetup = []string{
	"webhook_endpoint.create", "webhook_endpoint.list", "webhook_endpoint.update", "webhook_endpoint.delete",
}

// setUp sets up with a key that may not do some operations.
func setUp(t *testing.T, denied []string) (stripe.Setup, error) {
	t.Helper()
	e := emulator.New(emulator.Config{Restricted: map[string][]string{"rk_test_narrow": denied}})
	require.NoError(t, e.Start())
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	c := configured()
	c.Key, c.URL = "rk_test_narrow", e.URL()
	return made(t, c).Setup(t.Context(), stripe.SetupOptions{Address: "https://shop.test/hooks/stripe"})
}

// Of a key that lacks permissions each is named.
func TestSetupNamesThePermissionsThatAKeyLacks(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, stripe.Permissions, slices.Collect(maps.Keys(permits)))
	var all []string
	for name, denied := range permits {
		out, err := setUp(t, denied)
		require.NoError(t, err)
		require.Equal(t, []string{name}, out.Lacks)
		require.Contains(t, out.Secret, "whsec_", "the endpoint is made all the same")
		all = append(all, denied...)
	}
	out, err := setUp(t, nil)
	require.NoError(t, err)
	require.Empty(t, out.Lacks)
	_, err = setUp(t, append(all, forSetup...))
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	for _, name := range append(stripe.Permissions, "Webhook Endpoints: write") {
		require.ErrorContains(t, err, name)
	}
}

// Nothing is asked of Stripe that needs another permission.
func TestWhatIsAskedOfStripeNeedsNoOtherPermission(t *testing.T) {
	t.Parallel()
	var exchanges bytes.Buffer
	s := sellAt(t, emulator.New(emulator.Config{Exchanges: &exchanges}))
	ok := func(_ any, err error) { t.Helper(); require.NoError(t, err) }
	s.paid(emulator.Card(""))
	ok(s.Capture(t.Context(), s.ref, eur(600), "c1"))
	ok(s.Refund(t.Context(), payment.Refund{
		ID: paymentID, IdempotencyKey: "r1", Reference: s.ref.PaymentReference, OrderID: "o1", Amount: eur(600),
	}))
	ok(s.Aftermath(t.Context(), s.ref))
	ok(s.Books(t.Context(), s.emulator.Now().Add(-time.Hour)))
	s.emulator.Advance(25 * time.Hour) // its key is forgotten
	s.opening.Key, s.opening.ExpiresAt = "open-2", s.emulator.Now().Add(2*time.Hour)
	s.ref = payment.Ref{PaymentID: paymentID, Since: s.emulator.Now()}
	s.open()
	ok(s.Expire(t.Context(), s.ref))
	s.opening.Key = "open-3"
	s.paid(emulator.Card(""))
	ok(s.Void(t.Context(), s.ref, "v1"))
	ok(s.Retrieve(t.Context(), payment.Ref{PaymentID: paymentID, Since: s.emulator.Now().Add(-time.Hour)}))
	ok(s.Retrieve(t.Context(), payment.Ref{PaymentID: paymentID, PaymentReference: s.ref.PaymentReference}))
	for range 2 {
		ok(s.Setup(t.Context(), stripe.SetupOptions{Address: "https://shop.test/hooks/stripe", Roll: true, Retire: true}))
	}
	permitted := slices.Concat(slices.Collect(maps.Values(permits))...)
	asked := map[string]bool{}
	for line := range bytes.Lines(exchanges.Bytes()) {
		var x emulator.Exchange
		require.NoError(t, json.Unmarshal(line, &x))
		if x.Operation != "" {
			asked[x.Operation] = true
			require.Contains(t, append(permitted, forSetup...), x.Operation)
		}
	}
	for _, operation := range permitted {
		require.True(t, asked[operation], "%s is permitted, and nobody asks for it", operation)
	}
}
