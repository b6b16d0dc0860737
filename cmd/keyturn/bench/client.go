package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"keyturn.dev/keyturn"
)

// Client posts orders with as little of its own as it can.
type Client struct {
	url, token string
	http       http.Client
}

// NewClient makes a client of the API at a base URL.
func NewClient(url, token string) *Client {
	return &Client{url: url + "/v1/orders", token: token, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}, Timeout: time.Minute}}
}

// CreateOrder accepts an order.
func (c *Client) CreateOrder(ctx context.Context, o keyturn.Order) (keyturn.OrderView, error) {
	var view keyturn.OrderView
	body, err := json.Marshal(o)
	if err != nil {
		return view, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return view, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Idempotency-Key", o.ID)
	res, err := c.http.Do(req)
	if err != nil {
		return view, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return view, err
	}
	if res.StatusCode != http.StatusCreated {
		return view, fmt.Errorf("the API answered %d: %s", res.StatusCode, text)
	}
	return view, json.Unmarshal(text, &view)
}
