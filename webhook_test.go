package keyturn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestWebhooksAreChecked(t *testing.T) {
	t.Parallel()
	good := keyturn.Webhook{ID: "shop", URL: "https://shop.test/hook", Events: []string{"order.*"}}.WithDefaults()
	require.NoError(t, good.Check())
	require.True(t, good.On())
	off := false
	for name, c := range map[string]struct {
		change func(*keyturn.Webhook)
		want   string
	}{
		"ID":         {func(w *keyturn.Webhook) { w.ID = "a b" }, "id must be"},
		"no events":  {func(w *keyturn.Webhook) { w.Events = nil }, "events must have"},
		"unknown":    {func(w *keyturn.Webhook) { w.Events = []string{"order.eaten"} }, "events[0] must be a type"},
		"twice":      {func(w *keyturn.Webhook) { w.Events = []string{"*", "*"} }, "events[1] is there twice"},
		"rate":       {func(w *keyturn.Webhook) { w.Rate.MaxConcurrent = 101 }, "rate.maxConcurrent must be"},
		"prefix":     {func(w *keyturn.Webhook) { w.Prefix = "m42" }, "prefix"},
		"no secret":  {func(w *keyturn.Webhook) { w.Secret = &keyturn.SecretRef{Value: "s3cret"} }, "secret must be whsec_"},
		"too short":  {func(w *keyturn.Webhook) { w.Secret = &keyturn.SecretRef{Value: "whsec_c2hvcnQ="} }, "secret must be"},
		"for nobody": {func(w *keyturn.Webhook) { w.URL, w.Auth.Type = "", "basic" }, "url is missing"},
	} {
		w := good
		c.change(&w)
		require.ErrorContains(t, w.Check(), c.want, name)
	}
	pull := keyturn.Webhook{ID: "pull", Events: []string{"*"}, Enabled: &off}.WithDefaults()
	require.NoError(t, pull.Check())
	require.False(t, pull.On())
}

func TestWebhookSecrets(t *testing.T) {
	t.Parallel()
	one, two := keyturn.NewWebhookSecret(), keyturn.NewWebhookSecret()
	require.NotEqual(t, one, two)
	key, ok := keyturn.ParseWebhookSecret(one)
	require.True(t, ok)
	require.Len(t, key, 32)
	for _, bad := range []string{
		"", "whsec_", strings.TrimPrefix(one, "whsec_"), one + "=", "whsec_" + strings.Repeat("A", 92),
	} {
		_, ok := keyturn.ParseWebhookSecret(bad)
		require.False(t, ok, bad)
	}
}
