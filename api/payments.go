package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	paymentOutput     struct{ Body keyturn.PaymentView }
	listPaymentsInput struct {
		Status string `query:"status" doc:"Only payments with this status."`
		Cursor string `query:"cursor" doc:"The nextCursor of the previous page."`
		Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"200"`
	}
	listPaymentsOutput struct{ Body keyturn.PaymentPage }
)

func (a *API) paymentRoutes() {
	const tag = "Checkout"
	register(a, operation{of: ofPayment, Operation: huma.Operation{
		OperationID: "getPayment", Method: http.MethodGet, Path: "/v1/payments/{id}", Tags: []string{tag},
		Summary:  "Show a payment of a checkout link",
		Security: anyOf(ScopeCheckoutRead, ScopeOps),
	}}, func(ctx context.Context, _ *call, in *idInput) (*paymentOutput, error) { return a.payment(ctx, in.ID) })
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listPayments", Method: http.MethodGet, Path: "/v1/payments", Tags: []string{tag},
		Summary:  "List payments of checkout links, the newest first",
		Security: anyOf(ScopeCheckoutRead, ScopeOps),
	}}, a.listPayments)
	register(a, operation{of: ofPayment, Operation: huma.Operation{
		OperationID: "refreshPayment", Method: http.MethodPost, Path: "/v1/payments/{id}/refresh", Tags: []string{tag},
		DefaultStatus: http.StatusAccepted,
		Summary:       "Ask the payment provider where a payment stands",
		Description: "202: it is asked in the background, and the payment follows what it says. The answer is the payment " +
			"before that.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *idInput) (*paymentOutput, error) {
		v, err := a.DB.PaymentView(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if err := a.DB.LookAtPayment(ctx, v.ID); err != nil {
			return nil, err
		}
		a.Starter.Wake()
		return a.payment(ctx, v.ID)
	})
	register(a, operation{of: ofPayment, body: keyturn.PaymentResolution{}, Operation: huma.Operation{
		OperationID: "resolvePayment", Method: http.MethodPost, Path: "/v1/payments/{id}/resolution", Tags: []string{tag},
		Summary: "Decide on a payment of another sum than was asked for",
		Description: "Of a payment that is `MISMATCH`. The provider is asked where it stands first. `accept` accepts its " +
			"order and keeps at most what that costs; `giveBack` gives all of it back, and the link is open again. 409 for a " +
			"payment in another status, and where the provider no longer has the money to accept. 503 if it does not answer: " +
			"try again.",
		Security: anyOf(ScopeOps),
	}}, a.resolvePayment)
}

func (a *API) resolvePayment(ctx context.Context, c *call, in *idInput) (*paymentOutput, error) {
	var body keyturn.PaymentResolution
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	if err := body.Check(); err != nil {
		return nil, err
	}
	v, err := a.DB.PaymentView(ctx, in.ID) // names that are no payment's must not reach a statement that writes
	if err != nil {
		return nil, err
	}
	if err := a.ResolvePayment(ctx, v.ID, body, c.by()); err != nil {
		return nil, err
	}
	a.Starter.Wake()
	return a.payment(ctx, v.ID)
}

func (a *API) payment(ctx context.Context, id string) (*paymentOutput, error) {
	v, err := a.DB.PaymentView(ctx, id)
	if err != nil {
		return nil, err
	}
	return &paymentOutput{Body: v}, nil
}

func (a *API) listPayments(ctx context.Context, c *call, in *listPaymentsInput) (*listPaymentsOutput, error) {
	page, err := a.DB.Payments(ctx, c.client.Prefix, keyturn.PaymentStatus(in.Status), in.Cursor, in.Limit)
	if keyturn.KindOf(err) == keyturn.KindInvalid {
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	return &listPaymentsOutput{Body: page}, nil
}
