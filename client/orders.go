package client

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// lastEventID and retryStream are those of server-sent events.
const (
	lastEventID = "Last-Event-ID"
	retryStream = 2 * time.Second
)

// CreateOrder hands over a paid order. With the same key and order it may be repeated after any failure and stays one
// order; replayed says that it was there already.
func (c *Client) CreateOrder(ctx context.Context, idempotencyKey string, o keyturn.Order) (v keyturn.OrderView,
	replayed bool, err error,
) {
	h, err := c.post(ctx, "/v1/orders", idempotent(idempotencyKey), o, &v)
	return v, h.Get("Idempotency-Replayed") == "true", err
}

func idempotent(key string) http.Header {
	return http.Header{"Idempotency-Key": {keyturn.FormatIdempotencyKey(key)}}
}

// Order shows an order and where its lines stand.
func (c *Client) Order(ctx context.Context, id string) (v keyturn.OrderView, err error) {
	return v, c.get(ctx, at("v1", "orders", id), nil, &v)
}

// OrderEvidence shows what there is to say in a dispute of an order.
func (c *Client) OrderEvidence(ctx context.Context, id string) (e keyturn.OrderEvidence, err error) {
	return e, c.get(ctx, at("v1", "orders", id, "evidence"), nil, &e)
}

// Orders lists orders, the newest first; status and cursor may be empty, a limit of 0 is the API's own.
func (c *Client) Orders(ctx context.Context, status keyturn.OrderStatus, cursor string, limit int) (p keyturn.OrderPage,
	err error,
) {
	return p, c.get(ctx, "/v1/orders", listQuery(map[string]string{"status": string(status), "cursor": cursor}, limit),
		&p)
}

// CancelOrder cancels and refunds an order.
func (c *Client) CancelOrder(ctx context.Context, id, reason string) (v keyturn.OrderView, err error) {
	_, err = c.post(ctx, at("v1", "orders", id, "cancellation"), nil, keyturn.Cancellation{Reason: reason}, &v)
	return v, err
}

// FollowOrder gives every step of an order's lines to each, from the first, until the order is final, ctx ends or each
// returns an error, which it returns. A connection that breaks is made again and goes on where it was.
func (c *Client) FollowOrder(ctx context.Context, id string, each func(keyturn.StatusEvent) error) error {
	header := http.Header{}
	for {
		res, err := c.send(ctx, request{method: http.MethodGet, path: at("v1", "orders", id, "events"), header: header})
		if err == nil {
			err = follow(res, header, each)
		}
		if err == nil || header.Get(lastEventID) == "" || keyturn.KindOf(err) != keyturn.KindUnavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryStream):
		}
	}
}

// follow reads one stream to its end and keeps the position in header.
func follow(res *http.Response, header http.Header, each func(keyturn.StatusEvent) error) error {
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	position := ""
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			position = text
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e keyturn.StatusEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return keyturn.Errorf(keyturn.KindInternal, "the API sent an invalid event: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
		if position != "" {
			header.Set(lastEventID, position)
		}
	}
	if err := lines.Err(); err != nil {
		return keyturn.Errorf(keyturn.KindUnavailable, "the event stream was cut off: %w", err)
	}
	return nil
}

// Fulfillment shows a line with its attempts.
func (c *Client) Fulfillment(ctx context.Context, id string) (v keyturn.LineView, err error) {
	return v, c.get(ctx, at("v1", "fulfillments", id), nil, &v)
}

// Resolve decides what happens with a line. With the same r.ID it may be repeated after KindUnavailable.
func (c *Client) Resolve(ctx context.Context, id string, r keyturn.ResolutionRequest) (v keyturn.LineView, err error) {
	_, err = c.post(ctx, at("v1", "fulfillments", id, "resolution"), nil, r, &v)
	return v, err
}

// ConfirmRefund books a refund that a person has made. With the same reference it may be repeated.
func (c *Client) ConfirmRefund(ctx context.Context, id string, r keyturn.RefundConfirmation) (v keyturn.LineView,
	err error,
) {
	_, err = c.post(ctx, at("v1", "fulfillments", id, "refund", "confirmation"), nil, r, &v)
	return v, err
}

// Resend sends a line's keys again, to another address if one is given, and gives the ID of the new delivery.
func (c *Client) Resend(ctx context.Context, id, email string) (string, error) {
	var out keyturn.Resent
	_, err := c.post(ctx, at("v1", "fulfillments", id, "resend"), nil, keyturn.ResendRequest{Email: email}, &out)
	return out.DeliveryID, err
}

// NewAddress gives the address that a line's customer gave on the order page and that waits for a yes; nil: none does.
// The token must be allowed to see it, and it is recorded.
func (c *Client) NewAddress(ctx context.Context, id string) (*keyturn.AskedAddress, error) {
	var v keyturn.LineView
	err := c.get(ctx, at("v1", "fulfillments", id), url.Values{"include": {"customer"}}, &v)
	return v.NewAddress, err
}

// AcceptAddress sends a line's keys to the address that its customer gave on the order page and that waits for a yes,
// and gives the ID of the new delivery. KindConflict when it is another than email, unless that is empty.
func (c *Client) AcceptAddress(ctx context.Context, id, email string) (string, error) {
	var out keyturn.Resent
	_, err := c.post(ctx, at("v1", "fulfillments", id, "resend"), nil, keyturn.ResendRequest{Asked: true, Email: email},
		&out)
	return out.DeliveryID, err
}

// Deliverables reveals what the customer gets of a line. It is recorded.
func (c *Client) Deliverables(ctx context.Context, id string) (v keyturn.Deliverables, err error) {
	return v, c.get(ctx, at("v1", "fulfillments", id, "deliverables"), nil, &v)
}

// Licenses gives a customer's whole purchase history, with keys if they are asked for.
func (c *Client) Licenses(ctx context.Context, customerID string, keys bool) (all []keyturn.LicenseView, err error) {
	query := url.Values{"keys": {strconv.FormatBool(keys)}}
	for {
		var page keyturn.Licenses
		if err := c.get(ctx, at("v1", "customers", customerID, "licenses"), query, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Licenses...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// Replay says what today's catalog makes of a stored attempt of a fulfillment; attempt 0 is the newest that has a
// reply.
func (c *Client) Replay(ctx context.Context, fulfillmentID string, attempt int) (keyturn.Replayed, error) {
	var out keyturn.Replayed
	var query url.Values
	if attempt != 0 {
		query = url.Values{"attempt": {strconv.Itoa(attempt)}}
	}
	return out, c.get(ctx, at("v1", "fulfillments", fulfillmentID, "replay"), query, &out)
}

// License shows a licence with what was done to it. With keys it shows its present keys, which the token must be
// allowed to see.
func (c *Client) License(ctx context.Context, id string, keys bool) (v keyturn.LicenseView, err error) {
	return v, c.get(ctx, at("v1", "licenses", id), url.Values{"keys": {strconv.FormatBool(keys)}}, &v)
}

// OperateLicense has an operation carried out on a licence that nobody pays for, and gives the order that does it. With
// the same key it may be repeated after any failure and stays one operation.
func (c *Client) OperateLicense(ctx context.Context, idempotencyKey, id string,
	o keyturn.LicenseOperation,
) (v keyturn.OrderView, err error) {
	_, err = c.post(ctx, at("v1", "licenses", id, "operations"), idempotent(idempotencyKey), o, &v)
	return v, err
}
