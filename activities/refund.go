package activities

import (
	"context"
	"errors"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/payment"
)

// refundLook is how often a refund is asked for that the payment provider has taken on.
const refundLook = 15 * time.Minute

// refundEvery is how a refund that does not come through is repeated: it is owed, so there is no last time.
const (
	refundFirst = 2 * time.Second
	refundMost  = 15 * time.Minute
)

// Refund gives the money of a cancelled line back, under one idempotency key, until the payment provider has done it.
func (a *Activities) Refund(ctx context.Context, in Step) (keyturn.Next, error) {
	due, next, err := a.DB.BeginRefund(ctx, in.FulfillmentID)
	if err != nil || due == nil {
		return next, asTemporal(err, 0)
	}
	if due.Lost != "" && due.Minor > 0 {
		next, err = a.DB.FinishRefund(ctx, in.FulfillmentID, due.Lost, a.Letters.Render)
		return next, asTemporal(err, 0)
	}
	callCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	id, err := a.repay(callCtx, due)
	if taken, ok := errors.AsType[*payment.RefundError](err); ok {
		return a.refundTaken(ctx, in, taken)
	}
	metrics.Refund(due.Provider, err)
	if err != nil {
		a.Logger.Warn("a refund did not come through", "fulfillmentId", in.FulfillmentID, "provider", due.Provider, "kind",
			string(keyturn.KindOf(err)), "try", due.Attempts)
		delay := min(refundFirst<<min(due.Attempts-1, 20), refundMost)
		if err := a.DB.FailRefund(ctx, in.FulfillmentID, due, err, delay); err != nil {
			return next, asTemporal(err, 0)
		}
		return next, asTemporal(keyturn.Errorf(keyturn.KindUnavailable, "%s did not refund: %s", due.Provider,
			keyturn.KindOf(err)), delay)
	}
	next, err = a.DB.FinishRefund(ctx, in.FulfillmentID, id, a.Letters.Render)
	return next, asTemporal(err, 0)
}

// refundTaken books a refund that the payment provider has taken on and that has not come through.
func (a *Activities) refundTaken(ctx context.Context, in Step, taken *payment.RefundError) (keyturn.Next, error) {
	next, err := a.DB.RefundUnderWay(ctx, in.FulfillmentID, db.RefundProgress{
		ID: taken.ID, Failed: taken.Status == payment.RefundFailed,
		NeedsCustomer: taken.Status == payment.RefundNeedsCustomer,
	}, refundLook, a.Letters.Render)
	if err == nil && next.Do == keyturn.DoRefund {
		err = keyturn.Errorf(keyturn.KindUnavailable, "the payment provider's refund is %s", string(taken.Status))
	}
	return next, asTemporal(err, refundLook)
}

// repay asks for a refund, unless a dispute of its payment is open.
func (a *Activities) repay(ctx context.Context, due *db.RefundDue) (id string, err error) {
	if due.Disputed && due.Minor > 0 {
		return "", keyturn.Errorf(keyturn.KindConflict, "a dispute of the payment is open: its outcome comes first")
	}
	return a.Providers.Repay(ctx, due.Provider, payment.Refund{
		ID: due.LineID, Reference: due.Reference, OrderID: due.OrderID,
		Amount: keyturn.Money{Minor: due.Minor, Currency: due.Currency},
	}, "refund-"+due.LineID, payment.Repetition(due.Repetition()), func(ctx context.Context) (int, error) {
		return a.DB.NextRefundKey(ctx, due.LineID, due.KeyNo)
	})
}
