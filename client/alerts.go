package client

import (
	"context"
	"net/url"
	"strconv"

	"keyturn.dev/keyturn"
)

// Alerts gives the open alerts, or with all those that are over, too, of one cause if it is not empty; the newest
// first.
func (c *Client) Alerts(ctx context.Context, all bool, cause keyturn.AlertCause, limit int) ([]keyturn.AlertView,
	error,
) {
	query := url.Values{"limit": {strconv.Itoa(limit)}, "all": {strconv.FormatBool(all)}}
	if cause != "" {
		query.Set("cause", string(cause))
	}
	var out keyturn.Alerts
	err := c.get(ctx, "/v1/alerts", query, &out)
	return out.Alerts, err
}

// CloseAlert books that an alert was seen to. KindConflict for one that closes by itself. Idempotent.
func (c *Client) CloseAlert(ctx context.Context, id int64, reason string) (keyturn.AlertView, error) {
	var out keyturn.AlertView
	_, err := c.post(ctx, at("v1", "alerts", strconv.FormatInt(id, 10), "close"), nil,
		keyturn.CloseRequest{Reason: reason}, &out)
	return out, err
}
