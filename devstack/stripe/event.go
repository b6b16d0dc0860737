package stripe

import (
	"encoding/json"
	"slices"
)

// event is something that happened, with its object as it was then.
type event struct {
	ID        string
	Type      string
	Created   int64
	Object    json.RawMessage
	RequestID string
	Key       string
	Live      bool
	Pending   int
}

// eventTypes are those that endpoints may ask for.
var eventTypes = []string{
	"charge.captured", "charge.dispute.closed", "charge.dispute.created", "charge.dispute.funds_reinstated",
	"charge.dispute.funds_withdrawn", "charge.dispute.updated", "charge.expired", "charge.failed", "charge.pending",
	"charge.refund.updated", "charge.refunded", "charge.succeeded", "charge.updated",
	"checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded", "checkout.session.completed",
	"checkout.session.expired", "payment_intent.amount_capturable_updated", "payment_intent.canceled",
	"payment_intent.created", "payment_intent.partially_funded", "payment_intent.payment_failed",
	"payment_intent.processing", "payment_intent.requires_action", "payment_intent.succeeded",
	"radar.early_fraud_warning.created", "radar.early_fraud_warning.updated", "refund.created", "refund.failed",
	"refund.updated",
}

// origin is what caused the events of now: a request, or "" for what came by itself.
type origin struct{ requestID, key string }

// cause does something, and names the request that it comes from in its events.
func (s *Server) cause(requestID, key string, do func()) {
	before := s.origin
	s.origin = origin{requestID: requestID, key: key}
	defer func() { s.origin = before }()
	do()
}

// tell makes an event, and sends it to the endpoints that asked for its type.
func (s *Server) tell(eventType string, about record) {
	e := add(&s.state, &s.state.Events, &event{
		ID: newID("evt_"), Type: eventType, Created: s.unix(), Object: marshal(about.render(s)),
		RequestID: s.origin.requestID, Key: s.origin.key, Live: s.live,
	})
	for _, to := range s.state.Endpoints {
		if to.Disabled || !slices.Contains(to.Types, eventType) && !slices.Contains(to.Types, "*") {
			continue
		}
		e.Pending++
		deliveries := []Delivery{{}}
		if s.webhooks != nil {
			deliveries = s.webhooks(Notice{ID: e.ID, Type: e.Type, Object: e.Object, Endpoint: to.ID})
		}
		for _, d := range deliveries {
			s.later(d.After, due{Do: "deliver", ID: e.ID, Endpoint: to.ID, Delivery: &d})
		}
	}
}

func (c *call) retrieveEvent() (object, *apiError) {
	r, e := find[*event](c.Server, "event", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listEvents() (object, *apiError) {
	kind, kinds := c.args.text("type"), c.args.texts("types")
	return page(c, "/v1/events", c.state.Events, func(r *event) bool {
		return (kind == "" || r.Type == kind) && (len(kinds) == 0 || slices.Contains(kinds, r.Type))
	})
}

func (r *event) id() string     { return r.ID }
func (r *event) created() int64 { return r.Created }
func (*event) kind() string     { return "event" }

func (r *event) render(*Server) object {
	o := object{
		"id": r.ID, "object": "event", "type": r.Type, "created": r.Created, "livemode": r.Live, "api_version": APIVersion,
		"pending_webhooks": r.Pending, "data": object{"object": r.Object}, "request": object{
			"id": orNull(r.RequestID), "idempotency_key": orNull(r.Key),
		},
	}
	return o
}
