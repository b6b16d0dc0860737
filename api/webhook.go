package api

import (
	"context"
	"slices"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
)

func (a *API) webhookRoutes() {
	catalogRoutes(a, catalogKind[keyturn.Webhook]{
		of: ofWebhook, one: "webhook", many: "webhooks", tag: "Webhooks", shown: keyturn.WebhookView{},
		list: keyturn.WebhookList{}, readers: []string{ScopeCatalogWrite, ScopeOps},
		id:    func(w *keyturn.Webhook) *string { return &w.ID },
		check: a.checkWebhook, secrets: a.DB.CheckWebhookSecrets, show: hideWebhookSecrets,
		put: a.DB.PutWebhook, get: a.DB.Webhook, remove: a.DB.DeleteWebhook,
		answer: func(given, stored keyturn.Webhook) any {
			return keyturn.WebhookPut{Webhook: stored, NewSecret: given.NewSecret}
		},
		view: func(ctx context.Context, id string) (any, error) { return a.DB.WebhookView(ctx, id) },
		all: func(ctx context.Context, prefix keyturn.Prefix) (any, error) {
			all, err := a.DB.Webhooks(ctx, prefix)
			return keyturn.WebhookList{Webhooks: all}, err
		},
	})
	a.eventRoutes()
}

// checkWebhook checks a webhook, and gives it a secret if it needs one. A merchant's own webhook gets the merchant's
// events alone.
func (a *API) checkWebhook(ctx context.Context, prefix keyturn.Prefix, w keyturn.Webhook) (keyturn.Webhook, error) {
	w = w.WithDefaults()
	if w.Prefix == "" {
		w.Prefix = prefix
	}
	var bad keyturn.Problems
	bad.Merge("", catalog.CheckWebhook(w, a.Production))
	bad.Check(prefix.Covers(string(w.Prefix)), "prefix", "must be %s, the token's own", prefix)
	if err := bad.Err("the webhook is not valid"); err != nil {
		return w, err
	}
	return a.DB.PrepareWebhook(ctx, w)
}

// hideWebhookSecrets gives the webhook as it is shown. It must not touch the original.
func hideWebhookSecrets(w keyturn.Webhook) keyturn.Webhook {
	w.NewSecret = ""
	if w.Secret != nil {
		w.Secret = &keyturn.SecretRef{Set: true}
	}
	in := hideSecrets(w.Endpoint())
	w.Auth, w.TLS, w.AllowedNetworks = in.Auth, in.TLS, slices.Clone(w.AllowedNetworks)
	return w
}
