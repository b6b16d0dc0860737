package stripe

import (
	"context"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

const (
	disputesPath = "/v1/disputes"
	warningsPath = "/v1/radar/early_fraud_warnings"
)

// Aftermath is payment.Watcher's.
func (x Processor) Aftermath(ctx context.Context, ref payment.Ref) (out keyturn.Aftermath, err error) {
	if ref.PaymentReference == "" {
		return out, nil
	}
	intent := api.String(ref.PaymentReference)
	var refunds api.RefundList
	asked := &api.RefundListParams{PaymentIntent: intent, ListParams: whole()}
	if err := x.list(ctx, refundsPath, asked, &refunds); err != nil {
		return out, err
	}
	for _, r := range refunds.Data {
		id, _ := x.owner(r.Metadata)
		out.Refunds = append(out.Refunds, keyturn.MadeRefund{
			ID: r.ID, OurID: id, Amount: money(r.Amount, string(r.Currency)),
			Failed: r.Status == api.RefundStatusFailed || r.Status == api.RefundStatusCanceled,
		})
	}
	var disputes api.DisputeList
	if err := x.list(ctx, disputesPath, &api.DisputeListParams{PaymentIntent: intent, ListParams: whole()},
		&disputes); err != nil {
		return out, err
	}
	for _, d := range disputes.Data {
		out.Disputes = append(out.Disputes, disputeOf(d))
	}
	var warnings api.RadarEarlyFraudWarningList
	if err := x.list(ctx, warningsPath, &api.RadarEarlyFraudWarningListParams{PaymentIntent: intent, ListParams: whole()},
		&warnings); err != nil {
		return out, err
	}
	for _, w := range warnings.Data {
		out.Warnings = append(out.Warnings, w.ID)
	}
	return out, nil
}

// whole asks for as much of a list as one page has: a payment has at most twenty lines.
func whole() api.ListParams { return api.ListParams{Limit: api.Int64(pageSize)} }

func disputeOf(d *api.Dispute) keyturn.Dispute {
	out := keyturn.Dispute{
		ID: d.ID, Amount: money(d.Amount, string(d.Currency)), Reason: string(d.Reason), Status: keyturn.DisputeOpen,
	}
	switch d.Status {
	case api.DisputeStatusWon, api.DisputeStatusWarningClosed, api.DisputeStatusPrevented:
		out.Status = keyturn.DisputeWon
	case api.DisputeStatusLost:
		out.Status = keyturn.DisputeLost
	case api.DisputeStatusNeedsResponse, api.DisputeStatusUnderReview, api.DisputeStatusWarningNeedsResponse,
		api.DisputeStatusWarningUnderReview:
		if d.EvidenceDetails != nil && d.EvidenceDetails.DueBy > 0 {
			out.DueAt = time.Unix(d.EvidenceDetails.DueBy, 0).UTC()
		}
	}
	return out
}

// Recent is payment.Watcher's.
func (x Processor) Recent(ctx context.Context, since time.Time) (references []string, err error) {
	seen := map[string]bool{}
	note := func(i *api.PaymentIntent) {
		if i != nil && !seen[i.ID] {
			seen[i.ID] = true
			references = append(references, i.ID)
		}
	}
	created := &api.RangeQueryParams{GreaterThanOrEqual: since.Unix()}
	rp := &api.RefundListParams{CreatedRange: created, ListParams: whole()}
	for {
		var page api.RefundList
		if err := x.list(ctx, refundsPath, rp, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Data {
			note(r.PaymentIntent)
		}
		if !page.HasMore || len(page.Data) == 0 {
			break
		}
		rp.StartingAfter = api.String(page.Data[len(page.Data)-1].ID)
	}
	dp := &api.DisputeListParams{CreatedRange: created, ListParams: whole()}
	for {
		var page api.DisputeList
		if err := x.list(ctx, disputesPath, dp, &page); err != nil {
			return nil, err
		}
		for _, d := range page.Data {
			note(d.PaymentIntent)
		}
		if !page.HasMore || len(page.Data) == 0 {
			break
		}
		dp.StartingAfter = api.String(page.Data[len(page.Data)-1].ID)
	}
	wp := &api.RadarEarlyFraudWarningListParams{CreatedRange: created, ListParams: whole()}
	for {
		var page api.RadarEarlyFraudWarningList
		if err := x.list(ctx, warningsPath, wp, &page); err != nil {
			return nil, err
		}
		for _, w := range page.Data {
			note(w.PaymentIntent)
		}
		if !page.HasMore || len(page.Data) == 0 {
			return references, nil
		}
		wp.StartingAfter = api.String(page.Data[len(page.Data)-1].ID)
	}
}
