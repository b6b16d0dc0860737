package client

import (
	"context"

	"keyturn.dev/keyturn"
)

// PutWebhook creates or changes a webhook, or with dryRun says what that would do. Secrets are sent as values. A secret
// that Keyturn has made is in the answer, this once.
func (c *Client) PutWebhook(ctx context.Context, w keyturn.Webhook, dryRun bool) (change keyturn.Change,
	newSecret string, err error,
) {
	var stored keyturn.WebhookPut
	change, err = c.putInto(ctx, at("v1", "webhooks", w.ID), w, dryRun, &stored)
	return change, stored.NewSecret, err
}

// Webhook shows a webhook, of its secrets only that they are set.
func (c *Client) Webhook(ctx context.Context, id string) (w keyturn.Webhook, err error) {
	return w, c.get(ctx, at("v1", "webhooks", id), nil, &w)
}

// Webhooks lists all webhooks.
func (c *Client) Webhooks(ctx context.Context) ([]keyturn.Webhook, error) {
	var out keyturn.WebhookList
	err := c.get(ctx, "/v1/webhooks", nil, &out)
	return out.Webhooks, err
}

// DeleteWebhook takes a webhook out of the catalog, with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.remove(ctx, at("v1", "webhooks", id))
}
