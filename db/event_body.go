package db

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"strings"

	"keyturn.dev/keyturn"
)

// body makes the bytes that every receiver of the event gets.
func (f eventFacts) body(row eventRow) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(keyturn.Event{Type: row.Type, Timestamp: row.CreatedAt.UTC(), Data: f.data(row)})
	return strings.TrimSuffix(b.String(), "\n"), err
}

// data is what the event tells, by the family of its type.
func (f eventFacts) data(row eventRow) any {
	s, o := f.steps[row.ID], f.orders[row.About]
	l := f.lines[s.Line]
	switch familyOf(row.Type) {
	case "order":
		return keyturn.OrderEvent{
			OrderID: row.About, Status: keyturn.OrderStatus(s.Status), GrossPrice: money(o.GrossMinor, o.Currency),
			Currency: o.Currency, Version: s.Version, Link: o.link(), Links: selfLink("orders", row.About),
		}
	case "line":
		return keyturn.LineEvent{
			OrderID: row.About, Status: keyturn.OrderStatus(s.Status), FulfillmentID: l.FulfillmentID, LineItemID: l.ID,
			LineStatus: s.LineStatus, ProductID: l.ProductID, Operation: l.Operation, Quantity: l.Quantity,
			GrossPrice: money(l.GrossMinor, o.Currency), Currency: o.Currency, Failure: s.Failure, Version: s.Version,
			Link: o.link(), Links: selfLink("orders", row.About),
		}
	case "refund":
		e := keyturn.RefundEvent{
			OrderID: row.About, FulfillmentID: l.FulfillmentID, LineItemID: l.ID, PaymentID: s.Payment,
			Amount: money(s.Amount, s.Currency), Currency: s.Currency, Link: o.link(), Links: selfLink("orders", row.About),
		}
		if s.Payment != "" {
			e.Links = selfLink("payments", s.Payment)
		}
		return e
	case "license":
		return keyturn.LicenseEvent{
			LicenseID: s.License, Status: keyturn.LicenseStatus(s.Status), ProductID: s.Product, ExpiresAt: s.ExpiresAt,
			OrderID: row.About, FulfillmentID: l.FulfillmentID, Link: o.link(), Links: selfLink("licenses", s.License),
		}
	case "checkout":
		return keyturn.CheckoutEvent{
			OrderID: row.About, Status: keyturn.LinkStatus(s.Status), Version: s.Version, Link: f.link(s.Link),
			Links: selfLink("checkout-links", s.Link),
		}
	case "payment":
		return f.payment(row)
	case "pool":
		return keyturn.PoolEvent{PoolID: s.Pool, Available: s.Available, Links: selfLink("pools", s.Pool)}
	case "partner":
		return keyturn.PartnerEvent{IntegrationID: s.Integration, Links: selfLink("integrations", s.Integration)}
	case "email":
		e := keyturn.EmailEvent{
			OrderID: row.About, FulfillmentID: l.FulfillmentID, LineItemID: l.ID, PaymentID: s.Payment, DeliveryID: s.Delivery,
			Kind: s.Bounce, StatusCode: s.Code, Link: o.link(), Links: selfLink("fulfillments", l.FulfillmentID),
		}
		if s.Payment != "" {
			e.Links = selfLink("payments", s.Payment)
		}
		return e
	case "alert":
		return keyturn.AlertEvent{
			AlertID: s.Alert, Cause: s.Cause, Severity: s.Cause.Info().Severity, FulfillmentID: l.FulfillmentID,
			OrderID: s.Order, PoolID: s.Pool, Subject: s.Subject, Links: selfLink("alerts", ""),
		}
	}
	return keyturn.TestEvent{Webhook: s.Webhook}
}

// payment is what an event tells of a payment: of a checkout link, or of an order that came in paid.
func (f eventFacts) payment(row eventRow) keyturn.PaymentEvent {
	s := f.steps[row.ID]
	e := keyturn.PaymentEvent{
		OrderID: row.About, Status: keyturn.PaymentStatus(s.Status), Currency: s.Currency,
		Authorized: money(s.Authorized, s.Currency), Captured: money(s.Captured, s.Currency),
		Refunded: money(s.Refunded, s.Currency), CaptureBy: s.CaptureBy, Version: s.Version, Dispute: s.dispute(),
		Links: selfLink("orders", row.About),
	}
	if s.Payment != "" {
		e.PaymentID, e.Link, e.Links = s.Payment, f.link(s.Link), selfLink("payments", s.Payment)
	}
	return e
}

// dispute is what an event tells of a dispute; nil: it tells of none.
func (s stepFacts) dispute() *keyturn.EventDispute {
	if s.Dispute == nil {
		return nil
	}
	return &keyturn.EventDispute{
		ID: s.Dispute.ID, Status: s.Dispute.Status, Amount: money(s.Dispute.Amount, s.Dispute.Currency),
		Currency: s.Dispute.Currency, EvidenceDueBy: s.Dispute.DueAt,
	}
}

// selfLink is the API's path of what an event is about.
func selfLink(list, id string) keyturn.EventLinks {
	path := "/v1/" + list
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return keyturn.EventLinks{Self: path}
}

func money(minor int64, currency string) string {
	return keyturn.Money{Minor: minor, Currency: cmp.Or(currency, "EUR")}.String()
}

// link is the checkout link that made the order, if one did.
func (o orderFacts) link() *keyturn.EventLink {
	if o.Link == nil {
		return nil
	}
	return &keyturn.EventLink{ID: *o.Link, Reference: value(o.Reference)}
}

func (f eventFacts) link(id string) *keyturn.EventLink {
	return &keyturn.EventLink{ID: id, Reference: value(f.links[id])}
}
