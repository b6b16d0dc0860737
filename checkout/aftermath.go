package checkout

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// lookAfter books what came of a payment after it was taken, where its processor tells of that. What was told of it
// before the look that follows is seen by this one, too.
func (k *Desk) lookAfter(ctx context.Context, paymentID string) error {
	f, err := k.DB.Payment(ctx, paymentID)
	if err != nil || f.Status != keyturn.PaymentCaptured {
		return err
	}
	watcher, ok := k.Processors[f.Provider].(payment.Watcher)
	if !ok {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	after, err := watcher.Aftermath(callCtx, ref(f))
	if err != nil {
		k.failed(ctx, f.Provider, f.ID, err)
		return err
	}
	return k.DB.BookAftermath(context.WithoutCancel(ctx), f.ID, after)
}

// recentFor is how far back processors are asked for what came of payments, each night: their events may have been
// lost.
const recentFor = 4 * 24 * time.Hour

// ReviewRecent asks each processor, once a day over all processes, of which payments something came in the last days,
// and has them looked at.
func (k *Desk) ReviewRecent(ctx context.Context) error {
	for name, processor := range k.Processors {
		watcher, ok := processor.(payment.Watcher)
		if !ok {
			continue
		}
		now, due, err := k.DB.TakeReview(ctx, name)
		if err != nil || !due {
			return err
		}
		callCtx, cancel := context.WithTimeout(ctx, time.Minute)
		references, err := watcher.Recent(callCtx, now.Add(-recentFor))
		cancel()
		if err != nil {
			return err
		}
		for _, reference := range references {
			id, err := k.DB.PaymentOf(ctx, name, "", reference)
			if keyturn.KindOf(err) == keyturn.KindNotFound { // another installation's, or of an order that came in paid
				continue
			}
			if err == nil {
				err = k.DB.LookAtPayment(ctx, id)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
