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
		out.Refunds = append(out.Refunds, x.madeRefund(r))
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

func (x Processor) madeRefund(r *api.Refund) keyturn.MadeRefund {
	id, _ := x.owner(r.Metadata)
	return keyturn.MadeRefund{
		ID: r.ID, OurID: id, Reference: intentOf(r.PaymentIntent), Amount: money(r.Amount, string(r.Currency)),
		Failed: r.Status == api.RefundStatusFailed || r.Status == api.RefundStatusCanceled, At: time.Unix(r.Created, 0).UTC(),
	}
}

func intentOf(i *api.PaymentIntent) string {
	if i == nil {
		return ""
	}
	return i.ID
}

// whole asks for as much of a list as one page has: a payment has at most twenty lines.
func whole() api.ListParams { return api.ListParams{Limit: api.Int64(pageSize)} }

func disputeOf(d *api.Dispute) keyturn.Dispute {
	out := keyturn.Dispute{
		ID: d.ID, Reference: intentOf(d.PaymentIntent), Amount: money(d.Amount, string(d.Currency)),
		Reason: string(d.Reason), Status: keyturn.DisputeOpen, At: time.Unix(d.Created, 0).UTC(),
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
