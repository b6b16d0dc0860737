package endpoint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// In production a receiver is reached by HTTPS, in public networks or in those that the webhook names, and never on
// this host.
func TestWebhooksOfProduction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url      string
		networks []string
		bad      string // the field
	}{
		{"https://shop.example.com/hooks?shop=1", nil, ""},
		{"http://shop.example.com/hooks", nil, "url"},
		{"https://10.1.2.3/hooks", nil, "url"},
		{"https://10.1.2.3/hooks", []string{"10.1.0.0/16"}, ""},
		{"https://127.0.0.1/hooks", []string{"127.0.0.0/8"}, "allowedNetworks[0]"},
		{"https://169.254.169.254/latest", []string{"169.254.0.0/16"}, "allowedNetworks[0]"},
		{"https://shop:secret@shop.example.com/hooks", nil, "url"},
	} {
		w := keyturn.Webhook{ID: "shop", URL: c.url, Events: []string{"*"}, AllowedNetworks: c.networks}
		err := endpoint.CheckWebhook(w, true)
		if c.bad == "" {
			require.NoError(t, err, c)
			continue
		}
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), c)
		require.ErrorContains(t, err, c.bad)
	}
	local := keyturn.Webhook{ID: "dev", URL: "http://127.0.0.1:3000/hooks", Events: []string{"*"}}
	require.NoError(t, endpoint.CheckWebhook(local, false), "in development")
}
