package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
)

// Audits gives the latest audits, newest first.
func (c *Client) Audits(ctx context.Context, limit int) ([]keyturn.AuditView, error) {
	var out keyturn.Audits
	err := c.get(ctx, "/v1/audits", url.Values{"limit": {strconv.Itoa(limit)}}, &out)
	return out.Audits, err
}

// Audit gives one audit with its report. KindNotFound.
func (c *Client) Audit(ctx context.Context, id string) (keyturn.AuditDetail, error) {
	var out keyturn.AuditDetail
	return out, c.get(ctx, at("v1", "audits", id), nil, &out)
}

// EraseCustomer erases a person's data. KindConflict, naming the orders, while something is open. Idempotent.
func (c *Client) EraseCustomer(ctx context.Context, customerID string) (keyturn.Erasure, error) {
	var out keyturn.Erasure
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("v1", "customers", customerID, "data")}, &out)
	return out, err
}

// AuditNow has the books audited and waits for the result, until ctx ends. Asking twice makes two audits.
func (c *Client) AuditNow(ctx context.Context) (keyturn.AuditDetail, error) {
	var asked keyturn.AuditAsked
	if _, err := c.post(ctx, "/v1/audits", nil, struct{}{}, &asked); err != nil {
		return keyturn.AuditDetail{}, err
	}
	for {
		latest, err := c.Audits(ctx, 1)
		if err != nil {
			return keyturn.AuditDetail{}, err
		}
		if len(latest) > 0 && !latest[0].SnapshotAt.Before(asked.RequestedAt) {
			return c.Audit(ctx, latest[0].ID)
		}
		select {
		case <-ctx.Done():
			return keyturn.AuditDetail{}, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}
