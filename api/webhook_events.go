package api

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	eventDeliveriesInput struct {
		ID     string              `path:"id" maxLength:"200"`
		Status keyturn.EventStatus `query:"status" doc:"Only those with this status: PENDING, DELIVERED or FAILED."`
		Before int64               `query:"before" doc:"The nextBefore of the previous page."`
		Limit  int                 `query:"limit" minimum:"1" maximum:"200" default:"50"`
	}
	eventDeliveryInput struct {
		ID string `path:"id" maxLength:"200"`
		N  int64  `path:"n" doc:"The ID of the delivery."`
	}
	pullInput struct {
		ID    string   `path:"id" maxLength:"200"`
		After int64    `query:"after" doc:"The next of the previous page; 0: from the oldest."`
		Types []string `query:"types" doc:"Patterns, separated by commas; absent: all that the webhook wants."`
		Limit int      `query:"limit" minimum:"1" maximum:"200" default:"100"`
	}
	replayEventsInput struct {
		ID  string `path:"id" maxLength:"200"`
		Key string `header:"Idempotency-Key" maxLength:"255" doc:"A repeated request under the same key replays nothing twice."`
	}
	eventDeliveriesOutput struct{ Body keyturn.EventDeliveryPage }
	eventDeliveryOutput   struct{ Body keyturn.EventDelivery }
	pullOutput            struct{ Body keyturn.EventPage }
	replayEventsOutput    struct{ Body keyturn.ReplayedEvents }
	secretOutput          struct{ Body keyturn.WebhookSecret }
)

// eventRoutes are about the events of a webhook.
func (a *API) eventRoutes() {
	const tag = "Webhooks"
	register(a, operation{of: ofWebhook, Operation: huma.Operation{
		OperationID: "listEventDeliveries", Method: http.MethodGet, Path: "/v1/webhooks/{id}/deliveries", Tags: []string{tag},
		Summary:     "List what was sent to a webhook",
		Description: "The newest first, with what was sent and what the receiver answered. Kept for 30 days.",
		Security:    anyOf(ScopeOps),
	}}, a.listEventDeliveries)
	register(a, operation{of: ofWebhook, Operation: huma.Operation{
		OperationID: "retryEventDelivery", Method: http.MethodPost, Path: "/v1/webhooks/{id}/deliveries/{n}/retry",
		Tags: []string{tag}, DefaultStatus: http.StatusAccepted,
		Summary:     "Send an event now",
		Description: "Once more if it was given up. 409 for an event that the receiver has taken. Idempotent.",
		Security:    anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *eventDeliveryInput) (*eventDeliveryOutput, error) {
		if err := a.DB.RetryEvent(ctx, in.ID, in.N); err != nil {
			return nil, err
		}
		v, err := a.DB.EventDelivery(ctx, in.ID, in.N)
		return &eventDeliveryOutput{Body: v}, err
	})
	register(a, operation{of: ofWebhook, body: keyturn.ReplayEvents{}, Operation: huma.Operation{
		OperationID: "replayEvents", Method: http.MethodPost, Path: "/v1/webhooks/{id}/replay", Tags: []string{tag},
		DefaultStatus: http.StatusAccepted,
		Summary:       "Send events once more",
		Description: "The oldest first, ten a second, 100,000 at most. Each has the Webhook-Id that it had, and says " +
			"`\"replay\": true`.",
		Security: anyOf(ScopeOps),
	}}, a.replayEvents)
	register(a, operation{of: ofWebhook, Operation: huma.Operation{
		OperationID: "pullEvents", Method: http.MethodGet, Path: "/v1/webhooks/{id}/events", Tags: []string{tag},
		Summary: "Pull events",
		Description: "The oldest first, as a receiver would get them. Ask again with `after` set to `next`: nothing is " +
			"missed. Kept for 30 days.",
		Security: anyOf(ScopeOrdersRead),
	}}, func(ctx context.Context, _ *call, in *pullInput) (*pullOutput, error) {
		var bad keyturn.Problems
		bad.Merge("query.types", keyturn.CheckEventPatterns(in.Types))
		if err := bad.Err("the query is not valid"); err != nil {
			return nil, err
		}
		page, err := a.DB.PullEvents(ctx, in.ID, in.After, in.Types, in.Limit)
		return &pullOutput{Body: page}, err
	})
	register(a, operation{of: ofWebhook, Operation: huma.Operation{
		OperationID: "testWebhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/test", Tags: []string{tag},
		Summary: "Send a test event",
		Description: "Sends `webhook.test` at once, and answers what came of it. If the receiver takes it, a webhook that " +
			"Keyturn has switched off is on again.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *idInput) (*eventDeliveryOutput, error) {
		if a.TestWebhook == nil {
			return nil, keyturn.Errorf(keyturn.KindUnavailable, "this process sends no events")
		}
		v, err := a.TestWebhook(ctx, in.ID)
		return &eventDeliveryOutput{Body: v}, err
	})
	register(a, operation{of: ofWebhook, Operation: huma.Operation{
		OperationID: "rotateWebhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/rotation", Tags: []string{tag},
		Summary:     "Give a webhook a new secret",
		Description: "The answer shows it, this once. For 24 hours requests are signed with both.",
		Security:    anyOf(ScopeCatalogWrite),
	}}, func(ctx context.Context, _ *call, in *idInput) (*secretOutput, error) {
		s, err := a.DB.RotateWebhook(ctx, in.ID)
		return &secretOutput{Body: s}, err
	})
}

func (a *API) listEventDeliveries(ctx context.Context, _ *call, in *eventDeliveriesInput) (
	*eventDeliveriesOutput, error,
) {
	known := in.Status == ""
	for _, s := range keyturn.EventStatuses {
		known = known || s == in.Status
	}
	var bad keyturn.Problems
	bad.Check(known, "query.status", "must be PENDING, DELIVERED or FAILED")
	if err := bad.Err("the list is not valid"); err != nil {
		return nil, err
	}
	page, err := a.DB.EventDeliveries(ctx, in.ID, in.Status, in.Before, in.Limit)
	return &eventDeliveriesOutput{Body: page}, err
}

func (a *API) replayEvents(ctx context.Context, c *call, in *replayEventsInput) (*replayEventsOutput, error) {
	var body keyturn.ReplayEvents
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	if err := body.Check(); err != nil {
		return nil, err
	}
	if in.Key == "" {
		in.Key = rand.Text()
	}
	out, err := a.DB.ReplayEvents(ctx, in.ID, in.Key, body)
	return &replayEventsOutput{Body: out}, err
}
