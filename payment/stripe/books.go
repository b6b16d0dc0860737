package stripe

import (
	"context"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
)

const intentsPath = "/v1/payment_intents"

// Books is payment.Watcher's.
func (x Processor) Books(ctx context.Context, since time.Time) (out keyturn.ProcessorBooks, err error) {
	created := &api.RangeQueryParams{GreaterThanOrEqual: since.Unix()}
	intents := &api.PaymentIntentListParams{CreatedRange: created}
	if err := each(ctx, x, intentsPath, intents, &intents.ListParams, func(i *api.PaymentIntent) (id string) {
		if owner, _ := x.owner(i.Metadata); owner != "" {
			state := stateOfIntent(i)
			out.Payments = append(out.Payments, keyturn.MadePayment{
				ID: owner, Reference: i.ID, Status: state.Status, Captured: state.Captured,
				Authorized: money(i.AmountCapturable, string(i.Currency)), At: time.Unix(i.Created, 0).UTC(),
			})
		}
		return i.ID
	}); err != nil {
		return out, err
	}
	sessions := &api.CheckoutSessionListParams{
		CreatedRange: created, Status: api.String(string(api.CheckoutSessionStatusOpen)),
	}
	if err := each(ctx, x, sessionsPath, sessions, &sessions.ListParams, func(s *api.CheckoutSession) (id string) {
		if owner, _ := x.owner(s.Metadata); owner != "" {
			out.Open = append(out.Open, keyturn.MadeSession{ID: owner, Reference: s.ID, At: time.Unix(s.Created, 0).UTC()})
		}
		return s.ID
	}); err != nil {
		return out, err
	}
	return out, x.listAfter(ctx, created, &out)
}

// listAfter lists what came of payments after they were taken.
func (x Processor) listAfter(ctx context.Context, created *api.RangeQueryParams, out *keyturn.ProcessorBooks) error {
	refunds := &api.RefundListParams{CreatedRange: created}
	if err := each(ctx, x, refundsPath, refunds, &refunds.ListParams, func(r *api.Refund) (id string) {
		if _, foreign := x.owner(r.Metadata); !foreign && r.PaymentIntent != nil {
			out.Refunds = append(out.Refunds, x.madeRefund(r))
		}
		return r.ID
	}); err != nil {
		return err
	}
	disputes := &api.DisputeListParams{CreatedRange: created}
	if err := each(ctx, x, disputesPath, disputes, &disputes.ListParams, func(d *api.Dispute) (id string) {
		if d.PaymentIntent != nil {
			out.Disputes = append(out.Disputes, disputeOf(d))
		}
		return d.ID
	}); err != nil {
		return err
	}
	warnings := &api.RadarEarlyFraudWarningListParams{CreatedRange: created}
	return each(ctx, x, warningsPath, warnings, &warnings.ListParams, func(w *api.RadarEarlyFraudWarning) (id string) {
		if w.PaymentIntent != nil {
			out.Warnings = append(out.Warnings, keyturn.MadeWarning{
				ID: w.ID, Reference: w.PaymentIntent.ID, At: time.Unix(w.Created, 0).UTC(),
			})
		}
		return w.ID
	})
}

// listTries is how often a page of a list is asked for, a second apart and then two: lists are long.
const listTries = 3

// each reads a list to its end. of are the parameters of the page; do gives the entry's ID.
func each[T any](ctx context.Context, x Processor, path string, params any, of *api.ListParams, do func(*T) (id string),
) error {
	of.Limit = api.Int64(pageSize)
	for {
		var page struct {
			api.APIResource
			api.ListMeta

			Data []*T `json:"data"`
		}
		for try := 1; ; try++ {
			err := x.list(ctx, path, params, &page)
			if err == nil {
				break
			}
			kind := keyturn.KindOf(err)
			if try == listTries || kind != keyturn.KindUnavailable && kind != keyturn.KindRateLimited {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		last := ""
		for _, entry := range page.Data {
			last = do(entry)
		}
		if !page.HasMore || last == "" {
			return nil
		}
		of.StartingAfter = api.String(last)
	}
}
