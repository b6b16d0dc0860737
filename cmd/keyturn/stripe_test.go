package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment/stripe"
)

func TestTheSettingsOfStripe(t *testing.T) {
	c, err := stripeFromEnv("", "")
	require.NoError(t, err)
	require.Nil(t, c, "it is not used")
	_, err = stripeFromEnv("rk_test_1", "whsec_1 nonsense")
	require.ErrorContains(t, err, stripeSecretsEnv+" must begin with whsec_")
	require.ErrorContains(t, err, installationEnv+" must be 3 to 32")
	t.Setenv(installationEnv, "shop-1")
	t.Setenv(stripeAuthorizeEnv, "card,klarna")
	t.Setenv(stripeURLEnv, "http://127.0.0.1:1 http://127.0.0.1:2")
	c, err = stripeFromEnv("rk_test_1", "whsec_1 whsec_2")
	require.NoError(t, err)
	require.Equal(t, stripe.Config{
		Key: "rk_test_1", WebhookSecrets: []keyturn.Secret{"whsec_1", "whsec_2"}, Authorize: []string{"card", "klarna"},
		Installation: "shop-1", URL: "http://127.0.0.1:1", PageOrigin: "http://127.0.0.1:2",
	}, *c)
}

// A key of the wrong mode refuses to start; only staging has a way around.
func TestAKeyOfTheWrongMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key               keyturn.Secret
		production, allow bool
		says              string
	}{
		{"rk_test_1", false, false, ""},
		{"rk_live_1", true, false, ""},
		{"rk_test_1", true, true, ""},
		{"rk_test_1", true, false, "--allow-mode-mismatch"},
		{"rk_live_1", false, false, "this is development"},
		{"rk_live_1", false, true, "this is development"},
	} {
		err := checkMode(config{Stripe: &stripe.Config{Key: c.key}, Production: c.production, AllowModeMismatch: c.allow})
		if c.says == "" {
			require.NoError(t, err, c)
			continue
		}
		require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
		require.ErrorContains(t, err, c.says)
	}
}

func TestStripeSetup(t *testing.T) {
	e := emulator.New(emulator.Config{})
	require.NoError(t, e.Start())
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	set(t, nil)
	t.Setenv(stripeKeyEnv, emulator.Key)
	t.Setenv(installationEnv, "shop-1")
	t.Setenv(stripeURLEnv, e.URL())
	out, err := execute(t, "stripe", "setup", "--public-url", "https://shop.example.com/")
	require.NoError(t, err)
	require.Contains(t, out, "the key is of the test mode")
	require.Contains(t, out, "for https://shop.example.com/hooks/stripe")
	require.Contains(t, out, stripeSecretsEnv+"=whsec_")
	out, err = execute(t, "stripe", "setup", "--public-url", "https://shop.example.com")
	require.NoError(t, err)
	require.NotContains(t, out, "whsec_")
	require.Contains(t, out, "sends events to")
}
