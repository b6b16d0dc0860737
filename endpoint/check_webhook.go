package endpoint

import (
	"time"

	"keyturn.dev/keyturn"
)

// CheckWebhook reports every fault of how a webhook reaches its receiver, by the rules of an integration. production
// demands https and refuses loopback addresses. KindInvalid.
func CheckWebhook(w keyturn.Webhook, production bool) error {
	in := WithDefaults(w.Endpoint())
	c := checker{production: production}
	c.networks(in.AllowedNetworks)
	c.guard = newGuard(in.AllowedNetworks, production)
	c.url("url", w.URL, true)
	c.auth(in.Auth)
	c.tls(in.TLS, time.Now())
	return c.Err("the webhook is not valid")
}
