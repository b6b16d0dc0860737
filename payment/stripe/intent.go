package stripe

import (
	"context"
	"net/http"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

const intentPath = "/v1/payment_intents/%s"

func (x Processor) intent(ctx context.Context, id string) (*api.PaymentIntent, error) {
	p := &api.PaymentIntentRetrieveParams{Params: api.Params{Context: ctx}}
	p.AddExpand("latest_charge")
	var i api.PaymentIntent
	err := x.get(api.FormatURLPath(intentPath, id), p, &i)
	return &i, err
}

// Capture is payment.Processor's. A PaymentIntent is captured once, whatever the key: one that was captured before is
// looked at.
func (x Processor) Capture(ctx context.Context, ref payment.Ref, sum keyturn.Money, key string) (
	keyturn.ProcessorState, error,
) {
	if ref.PaymentReference == "" {
		return keyturn.ProcessorState{}, keyturn.Errorf(keyturn.KindRejected, "Stripe has no authorization of the payment")
	}
	n, err := amount(sum)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	p := &api.PaymentIntentCaptureParams{Params: under(ctx, key), AmountToCapture: api.Int64(n)}
	p.AddExpand("latest_charge")
	var i api.PaymentIntent
	err = x.post(api.FormatURLPath(intentPath+"/capture", ref.PaymentReference), p, &i)
	if refusedAs(err, api.ErrorCodePaymentIntentUnexpectedState) {
		return x.afterRefusal(ctx, ref, err)
	}
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return stateOfIntent(&i), nil
}

// afterRefusal says where a payment stands that its state forbids to capture: it was captured already, or it is gone
// for good.
func (x Processor) afterRefusal(ctx context.Context, ref payment.Ref, refused error) (keyturn.ProcessorState, error) {
	i, err := x.intent(ctx, ref.PaymentReference)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	state := stateOfIntent(i)
	switch state.Status { //nolint:exhaustive // in any other state it may be captured later
	case keyturn.AtProcessorCaptured, keyturn.AtProcessorVoided:
		return state, nil
	}
	return keyturn.ProcessorState{}, refused
}

// Void is payment.Processor's.
func (x Processor) Void(ctx context.Context, ref payment.Ref, key string) (keyturn.ProcessorState, error) {
	if ref.PaymentReference == "" {
		return keyturn.ProcessorState{}, keyturn.Errorf(keyturn.KindRejected, "Stripe has no authorization of the payment")
	}
	p := &api.PaymentIntentCancelParams{
		Params:             under(ctx, key),
		CancellationReason: api.String(string(api.PaymentIntentCancellationReasonAbandoned)),
	}
	p.AddExpand("latest_charge")
	var i api.PaymentIntent
	err := x.post(api.FormatURLPath(intentPath+"/cancel", ref.PaymentReference), p, &i)
	if refusedAs(err, api.ErrorCodePaymentIntentUnexpectedState) {
		return x.afterRefusal(ctx, ref, err)
	}
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return stateOfIntent(&i), nil
}

// stateOfIntent says where a payment stands by its PaymentIntent.
func stateOfIntent(i *api.PaymentIntent) keyturn.ProcessorState {
	currency := string(i.Currency)
	out := keyturn.ProcessorState{
		Status: keyturn.AtProcessorOpen, PaymentReference: i.ID, Authorized: money(0, currency),
		Captured: money(0, currency), Refunded: money(0, currency),
	}
	switch i.Status {
	case api.PaymentIntentStatusRequiresCapture:
		out.Status, out.Authorized = keyturn.AtProcessorAuthorized, money(i.AmountCapturable, currency)
	case api.PaymentIntentStatusSucceeded:
		out.Status, out.Captured = keyturn.AtProcessorCaptured, money(i.AmountReceived, currency)
		out.Authorized = money(i.Amount, currency)
	case api.PaymentIntentStatusProcessing:
		out.Status = keyturn.AtProcessorProcessing
	case api.PaymentIntentStatusCanceled:
		out.Status = keyturn.AtProcessorVoided
	case api.PaymentIntentStatusRequiresAction, api.PaymentIntentStatusRequiresConfirmation,
		api.PaymentIntentStatusRequiresPaymentMethod:
	}
	c := i.LatestCharge
	if c == nil || c.PaymentMethodDetails == nil {
		return out
	}
	out.Refunded, out.Disputed = money(c.AmountRefunded, currency), c.Disputed
	out.Method = string(c.PaymentMethodDetails.Type)
	if card := c.PaymentMethodDetails.Card; card != nil {
		out.Method += "/" + string(card.Brand)
		if out.Status == keyturn.AtProcessorAuthorized && card.CaptureBefore > 0 {
			out.CaptureWithin = max(time.Unix(card.CaptureBefore, 0).Sub(answeredAt(i.LastResponse)), time.Second)
		}
	}
	return out
}

// answeredAt is the time at Stripe of an answer: what it says of times is compared with no clock of ours.
func answeredAt(r *api.APIResponse) time.Time {
	if r != nil {
		if at, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			return at
		}
	}
	return time.Now()
}

func setLastResponse(i *api.PaymentIntent, r *api.APIResponse) {
	if i.LastResponse == nil {
		i.LastResponse = r
	}
}
