package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

func (a *API) refundRoutes() {
	register(a, operation{of: ofFulfillment, body: keyturn.RefundConfirmation{}, Operation: huma.Operation{
		OperationID: "confirmRefund", Method: http.MethodPost, Path: "/v1/fulfillments/{id}/refund/confirmation",
		Tags: []string{"Fulfillments"}, Summary: "Confirm a refund made by hand",
		Description: "For a line of an order with the payment provider `manual`, whose alert `ManualRefund` is open. The " +
			"refund counts as done, the customer is told, and the line is CANCELED. Idempotent by `reference`: another " +
			"reference is 409.",
		Security: anyOf(ScopeOps),
	}}, a.confirmRefund)
}

func (a *API) confirmRefund(ctx context.Context, c *call, in *idInput) (*lineOutput, error) {
	var body keyturn.RefundConfirmation
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	if err := body.Check(); err != nil {
		return nil, err
	}
	if a.RenderKeys == nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "this process is not configured to render e-mails")
	}
	line, err := a.DB.Fulfillment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.DB.ConfirmRefund(ctx, line.FulfillmentID, body, c.by(), a.RenderKeys); err != nil {
		return nil, err
	}
	a.Starter.Wake()
	line, err = a.DB.Fulfillment(ctx, line.FulfillmentID)
	return &lineOutput{Body: line}, err
}

// checkPayment refuses an order whose money nobody could give back: it would be CANCELING for ever.
func (a *API) checkPayment(o keyturn.Order) error {
	var bad keyturn.Problems
	switch name := o.Payment.Provider; {
	case name == keyturn.PaymentNone:
		for i, l := range o.LineItems {
			if price, err := keyturn.ParseMoney(l.GrossPrice, o.Currency); err != nil || price.Minor > 0 {
				bad.Addf("payment.provider", "must not be none for an order that costs something: lineItems[%d] costs %s", i,
					l.GrossPrice)
				break
			}
		}
	case name == keyturn.PaymentManual || slices.Contains(a.Payments, name):
		if a.CheckReference != nil {
			bad.Merge("payment.reference", a.CheckReference(name, o.Payment.Reference))
		}
	case name == payment.SandboxName:
		bad.Addf("payment.provider", "must not be sandbox outside development, because it moves no money; there are %s",
			a.paymentNames())
	default:
		bad.Addf("payment.provider", "names %s, which is not configured (KEYTURN_PAYMENTS); there are %s", name,
			a.paymentNames())
	}
	return bad.Err("the order is not valid")
}

func (a *API) paymentNames() string {
	names := slices.Concat(a.Payments, []string{keyturn.PaymentManual, keyturn.PaymentNone})
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
