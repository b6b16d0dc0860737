package activities

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
)

// PaymentStep asks for one step of a payment.
type PaymentStep struct {
	PaymentID string `json:"paymentId"`
}

// ReviewPayment reads what a payment needs now.
func (a *Activities) ReviewPayment(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	next, err := a.DB.ReviewPayment(ctx, in.PaymentID)
	return next, asTemporal(err, 0)
}

// OpenSession asks the processor for a payment's session once more, under the same key: the process that was to do it
// died, or got no answer.
func (a *Activities) OpenSession(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	return a.settle(ctx, in, (*checkout.Desk).Open)
}

// RetrievePayment asks the processor where a payment stands, and accepts its order once it is paid.
func (a *Activities) RetrievePayment(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	return a.settle(ctx, in, (*checkout.Desk).Look)
}

// ExpireSession ends a session that was not paid in time.
func (a *Activities) ExpireSession(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	return a.settle(ctx, in, (*checkout.Desk).Expire)
}

// VoidPayment lets an authorization go: nothing is charged.
func (a *Activities) VoidPayment(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	return a.settle(ctx, in, (*checkout.Desk).Void)
}

// RefundPayment gives back what was taken without an order.
func (a *Activities) RefundPayment(ctx context.Context, in PaymentStep) (keyturn.PaymentNext, error) {
	next, err := a.Desk.GiveBack(ctx, in.PaymentID)
	return a.orMail(ctx, in, next, err)
}

func (a *Activities) settle(ctx context.Context, in PaymentStep,
	do func(*checkout.Desk, context.Context, string) (db.Reconciled, error),
) (keyturn.PaymentNext, error) {
	desk := *a.Desk
	desk.ByWorkflow = true
	out, err := do(&desk, ctx, in.PaymentID)
	if err != nil && out.Next.Do != "" { // it was booked: the payment goes on from there
		return out.Next, nil
	}
	return a.orMail(ctx, in, out.Next, err)
}

// orMail ends a step that called a processor. An e-mail that has become due does not wait for one that does not answer:
// it comes next, and the step again after it.
func (a *Activities) orMail(ctx context.Context, in PaymentStep, next keyturn.PaymentNext, err error) (
	keyturn.PaymentNext, error,
) {
	if err != nil {
		if due, readErr := a.DB.ReviewPayment(ctx, in.PaymentID); readErr == nil && due.Do == keyturn.PaymentDoMail {
			return due, nil
		}
	}
	return next, asTemporal(err, 0)
}

// PaidOrders names a payment that orders came in paid with.
type PaidOrders struct {
	Provider  string `json:"provider"`
	Reference string `json:"reference"`
}

// FollowPayment asks the processor what came of a payment that orders came in paid with: disputes, fraud warnings,
// refunds that others made.
func (a *Activities) FollowPayment(ctx context.Context, in PaidOrders) error {
	return asTemporal(a.Desk.Follow(ctx, in.Provider, in.Reference), 0)
}

// CapturePayment takes the money of an order whose line has its key in hand, before the key is delivered. A call that
// takes longer than the activity may is not broken off: it is booked, and the activity's next attempt finds it under
// way, or done.
func (a *Activities) CapturePayment(ctx context.Context, in Step) (keyturn.Next, error) {
	due, next, wait, err := a.DB.BeginCapture(ctx, in.FulfillmentID)
	if err != nil {
		return next, asTemporal(err, 0)
	}
	if wait > 0 {
		return next, asTemporal(keyturn.Errorf(keyturn.KindRateLimited, "the order's other lines come first"), wait)
	}
	if due == nil {
		return next, nil
	}
	a.underWay.Add(1)
	defer a.underWay.Done()
	state, failed := a.Desk.Capture(context.WithoutCancel(ctx), due)
	next, err = booked(ctx, func(ctx context.Context) (keyturn.Next, error) {
		if failed != nil {
			return a.DB.FailCapture(ctx, in.FulfillmentID, due, failed)
		}
		return a.DB.FinishCapture(ctx, in.FulfillmentID, state)
	})
	if err == nil && failed == nil && next.Do == keyturn.DoCapture { // a look has proved that nothing was taken yet
		return next, asTemporal(keyturn.Errorf(keyturn.KindUnavailable, "nothing was captured yet"), time.Millisecond)
	}
	return a.answer(in, keyturn.DoCapture, next, err)
}
