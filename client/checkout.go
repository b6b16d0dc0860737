package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"keyturn.dev/keyturn"
)

// CreateCheckoutLink makes a page that sells once. With the same key and link it may be repeated after any failure and
// stays one link; replayed says that it was there already.
func (c *Client) CreateCheckoutLink(ctx context.Context, idempotencyKey string, l keyturn.CheckoutLink) (
	v keyturn.LinkView, replayed bool, err error,
) {
	h, err := c.post(ctx, "/v1/checkout-links", idempotent(idempotencyKey), l, &v)
	return v, h.Get("Idempotency-Replayed") == "true", err
}

// CheckoutLink shows a checkout link with its payments, and with what its page is filled in with if customer is set,
// which the token must be allowed to see.
func (c *Client) CheckoutLink(ctx context.Context, id string, customer bool) (v keyturn.LinkView, err error) {
	q := url.Values{}
	if customer {
		q.Set("include", "customer")
	}
	return v, c.get(ctx, at("v1", "checkout-links", id), q, &v)
}

// CheckoutLinks lists checkout links, the newest first; status, reference and cursor may be empty, a limit of 0 is the
// API's own.
func (c *Client) CheckoutLinks(ctx context.Context, status keyturn.LinkStatus, reference, cursor string, limit int) (
	p keyturn.LinkPage, err error,
) {
	return p, c.get(ctx, "/v1/checkout-links",
		listQuery(map[string]string{"status": string(status), "reference": reference, "cursor": cursor}, limit), &p)
}

// CancelCheckoutLink withdraws a checkout link, and ends what a customer is paying by it.
func (c *Client) CancelCheckoutLink(ctx context.Context, id, reason string) (v keyturn.LinkView, err error) {
	_, err = c.post(ctx, at("v1", "checkout-links", id, "cancellation"), nil, keyturn.LinkCancellation{Reason: reason}, &v)
	return v, err
}

// ReopenCheckoutLink allows further payments of a checkout link that a customer has begun to pay too often.
func (c *Client) ReopenCheckoutLink(ctx context.Context, id, reason string) (v keyturn.LinkView, err error) {
	_, err = c.post(ctx, at("v1", "checkout-links", id, "reopening"), nil, keyturn.LinkReopening{Reason: reason}, &v)
	return v, err
}

// Payment shows a payment of a checkout link.
func (c *Client) Payment(ctx context.Context, id string) (v keyturn.PaymentView, err error) {
	return v, c.get(ctx, at("v1", "payments", id), nil, &v)
}

// Payments lists payments of checkout links, the newest first; status and cursor may be empty, a limit of 0 is the
// API's own.
func (c *Client) Payments(ctx context.Context, status keyturn.PaymentStatus, cursor string, limit int) (
	p keyturn.PaymentPage, err error,
) {
	return p, c.get(ctx, "/v1/payments", listQuery(map[string]string{"status": string(status), "cursor": cursor}, limit),
		&p)
}

// RefreshPayment has the payment's provider asked where it stands, and gives the payment as it was before.
func (c *Client) RefreshPayment(ctx context.Context, id string) (v keyturn.PaymentView, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: at("v1", "payments", id, "refresh")}, &v)
	return v, err
}

// ResolvePayment decides on a payment of another sum than was asked for.
func (c *Client) ResolvePayment(ctx context.Context, id string, r keyturn.PaymentResolution) (v keyturn.PaymentView,
	err error,
) {
	_, err = c.post(ctx, at("v1", "payments", id, "resolution"), nil, r, &v)
	return v, err
}

// listQuery leaves out what is empty.
func listQuery(values map[string]string, limit int) url.Values {
	q := url.Values{}
	for name, value := range values {
		if value != "" {
			q.Set(name, value)
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}
