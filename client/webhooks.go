package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

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

// WebhookView shows a webhook and how its receiver does.
func (c *Client) WebhookView(ctx context.Context, id string) (v keyturn.WebhookView, err error) {
	return v, c.get(ctx, at("v1", "webhooks", id), nil, &v)
}

// EventDeliveries lists what was sent to a webhook, the newest first: those with an ID below before, 0 for all, and
// with a status unless it is empty.
func (c *Client) EventDeliveries(ctx context.Context, webhook string, status keyturn.EventStatus, before int64,
	limit int,
) (page keyturn.EventDeliveryPage, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if status != "" {
		query.Set("status", string(status))
	}
	if before > 0 {
		query.Set("before", strconv.FormatInt(before, 10))
	}
	return page, c.get(ctx, at("v1", "webhooks", webhook, "deliveries"), query, &page)
}

// RetryEvent has an event sent now. KindConflict for one that the receiver has taken. Idempotent.
func (c *Client) RetryEvent(ctx context.Context, webhook string, delivery int64) (v keyturn.EventDelivery, err error) {
	_, err = c.post(ctx, at("v1", "webhooks", webhook, "deliveries", strconv.FormatInt(delivery, 10), "retry"), nil,
		struct{}{}, &v)
	return v, err
}

// ReplayEvents has events sent once more. A repetition under the same key changes nothing.
func (c *Client) ReplayEvents(ctx context.Context, webhook, key string, r keyturn.ReplayEvents) (
	out keyturn.ReplayedEvents, err error,
) {
	_, err = c.post(ctx, at("v1", "webhooks", webhook, "replay"), http.Header{"Idempotency-Key": {key}}, r, &out)
	return out, err
}

// PullEvents gives the events after a number, the oldest first.
func (c *Client) PullEvents(ctx context.Context, webhook string, after int64, limit int) (page keyturn.EventPage,
	err error,
) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return page, c.get(ctx, at("v1", "webhooks", webhook, "events"), query, &page)
}

// TestWebhook sends a test event, and says what came of it.
func (c *Client) TestWebhook(ctx context.Context, id string) (v keyturn.EventDelivery, err error) {
	_, err = c.post(ctx, at("v1", "webhooks", id, "test"), nil, struct{}{}, &v)
	return v, err
}

// RotateWebhook gives a webhook a new secret, which is shown this once.
func (c *Client) RotateWebhook(ctx context.Context, id string) (s keyturn.WebhookSecret, err error) {
	_, err = c.post(ctx, at("v1", "webhooks", id, "rotation"), nil, struct{}{}, &s)
	return s, err
}
