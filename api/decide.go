package api

import (
	"context"

	"keyturn.dev/keyturn"
)

// Decide has a line's workflow carry out a decision that was made elsewhere than over HTTP, such as on the order page,
// and says where the line stands then. Errors are those of POST /v1/fulfillments/{id}/resolution.
func (a *API) Decide(ctx context.Context, fulfillmentID string, r keyturn.Resolution) (keyturn.Next, error) {
	if err := a.decide(ctx, fulfillmentID, r); err != nil {
		return keyturn.Next{}, err
	}
	line, err := a.DB.Fulfillment(ctx, fulfillmentID)
	return keyturn.Next{Status: line.Status, Source: line.Source, Attempts: line.Attempts, Failure: line.LastError}, err
}
