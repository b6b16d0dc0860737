package stripe

import (
	"context"
	"strings"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

const refundsPath = "/v1/refunds"

// CheckReference is payment.Referring's.
func (x Processor) CheckReference(reference string) error {
	if !strings.HasPrefix(reference, "pi_") {
		return keyturn.Errorf(keyturn.KindInvalid, "must be the ID of a PaymentIntent, which begins with pi_")
	}
	return nil
}

// Refund is payment.Provider's. A refund that is under way is an error with payment.RefundUnderWay.
func (x Processor) Refund(ctx context.Context, r payment.Refund) (string, error) {
	if x.CheckReference(r.Reference) != nil {
		return "", keyturn.Errorf(keyturn.KindRejected,
			"Stripe refunds the payment of a PaymentIntent, whose ID begins with pi_: the order names another one")
	}
	n, err := amount(r.Amount)
	if err != nil {
		return "", err
	}
	p := &api.RefundCreateParams{
		Params: under(ctx, r.IdempotencyKey), PaymentIntent: api.String(r.Reference), Amount: api.Int64(n),
		Metadata: x.mark(r.ID),
	}
	var made api.Refund
	err = x.post(refundsPath, p, &made)
	if refusedAs(err, api.ErrorCodeChargeAlreadyRefunded) {
		id, err := x.FindRefund(ctx, r)
		if keyturn.KindOf(err) == keyturn.KindNotFound { // all of it went back in another way
			return payment.RefundedElsewhere, nil
		}
		return id, err
	}
	if err != nil {
		return "", err
	}
	return refunded(&made)
}

// FindRefund is payment.Finder's.
func (x Processor) FindRefund(ctx context.Context, r payment.Refund) (string, error) {
	if r.Reference == "" {
		return "", keyturn.Errorf(keyturn.KindNotFound, "the payment has no PaymentIntent")
	}
	p := &api.RefundListParams{PaymentIntent: api.String(r.Reference)}
	p.Limit = api.Int64(pageSize)
	for {
		var page api.RefundList
		if err := x.list(ctx, refundsPath, p, &page); err != nil {
			return "", err
		}
		for _, found := range page.Data {
			if owner, foreign := x.owner(found.Metadata); !foreign && owner == r.ID {
				return refunded(found)
			}
		}
		if !page.HasMore || len(page.Data) == 0 {
			return "", keyturn.Errorf(keyturn.KindNotFound, "Stripe has no such refund")
		}
		p.StartingAfter = api.String(page.Data[len(page.Data)-1].ID)
	}
}

// refunded says whether a refund has come through.
func refunded(r *api.Refund) (string, error) {
	switch r.Status {
	case api.RefundStatusSucceeded:
		return r.ID, nil
	case api.RefundStatusFailed, api.RefundStatusCanceled:
		return r.ID, &payment.RefundError{ID: r.ID, Status: payment.RefundFailed}
	case api.RefundStatusRequiresAction:
		return r.ID, &payment.RefundError{ID: r.ID, Status: payment.RefundNeedsCustomer}
	case api.RefundStatusPending:
	}
	return r.ID, &payment.RefundError{ID: r.ID, Status: payment.RefundUnderWay}
}
