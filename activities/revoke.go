package activities

import (
	"context"

	"keyturn.dev/keyturn"
)

// Revocation names what is to be taken back: what a source may have issued for a fulfillment.
type Revocation struct {
	FulfillmentID string `json:"fulfillmentId"`
	Source        string `json:"source"`
}

// CancelAtPartner tells a partner to cancel, under the fulfillmentId of the create. An error means: again later.
func (a *Activities) CancelAtPartner(ctx context.Context, in Revocation) error {
	for {
		call, err := a.DB.BeginRevocation(ctx, in.FulfillmentID, in.Source, callTimeout, renderRequest)
		if err != nil || call == nil {
			return asTemporal(err, 0)
		}
		call.Units = 0 // an acknowledgement is all a cancel brings
		result := a.call(ctx, call)
		done, err := a.DB.FinishRevocation(ctx, in.FulfillmentID, in.Source, result)
		if err != nil || done {
			return asTemporal(err, 0)
		}
		if result.Failed != nil {
			return asTemporal(keyturn.Errorf(keyturn.KindUnavailable, "%s has not acknowledged the cancel: %s", in.Source,
				result.Failed.Failure.Kind), 0)
		}
	}
}
