package stripe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	emulator "keyturn.dev/keyturn/devstack/stripe"
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

func TestSetupNamesThePermissionsThatAKeyLacks(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{Restricted: map[string][]string{
		"rk_test_narrow": {"refund.create", "dispute.list"},
	}})
	require.NoError(t, e.Start())
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	c := configured()
	c.Key, c.URL = "rk_test_narrow", e.URL()
	out, err := made(t, c).Setup(t.Context(), stripe.SetupOptions{Address: "https://shop.test/hooks/stripe"})
	require.NoError(t, err)
	require.Equal(t, []string{"Charges and Refunds: write", "Disputes: read"}, out.Lacks)
}
