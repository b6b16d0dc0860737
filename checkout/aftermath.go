package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
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

// Follow books what came of a payment that orders came in paid with.
func (k *Desk) Follow(ctx context.Context, provider, reference string) error {
	watcher, ok := k.Processors[provider].(payment.Watcher)
	if !ok {
		return keyturn.Errorf(keyturn.KindConfiguration, "there is no payment provider named %s that tells of disputes",
			provider)
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	at := payment.Ref{PaymentReference: reference}
	state, err := watcher.Retrieve(callCtx, at)
	if err != nil {
		return err
	}
	after, err := watcher.Aftermath(callCtx, at)
	if err != nil {
		return err
	}
	return k.DB.BookOrdersAftermath(context.WithoutCancel(ctx), provider, reference, state.Captured, after)
}

// Times of the review of what processors have.
const (
	// recentFor is how far back they are asked, each night: their events may have been lost.
	recentFor = 4 * 24 * time.Hour
	// reviewTime is how long a processor's lists may take.
	reviewTime = 20 * time.Minute
)

// ReviewRecent asks each processor, once a day over all processes, what was made in the last days, and has every
// payment looked at that stands elsewhere here, or of which something came that is not booked. One that does not answer
// is asked again soon, and does not stop the others.
func (k *Desk) ReviewRecent(ctx context.Context) error {
	var failed []error
	for name, processor := range k.Processors {
		watcher, ok := processor.(payment.Watcher)
		if !ok {
			continue
		}
		now, due, err := k.DB.TakeReview(ctx, name)
		if err == nil && due {
			if err = k.review(ctx, name, watcher, now.Add(-recentFor)); err != nil {
				err = errors.Join(err, k.DB.ReviewFailed(context.WithoutCancel(ctx), name))
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("the review of %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (k *Desk) review(ctx context.Context, name string, watcher payment.Watcher, since time.Time) error {
	callCtx, cancel := context.WithTimeout(ctx, reviewTime)
	defer cancel()
	books, err := watcher.Books(callCtx, since)
	if err != nil {
		return err
	}
	compared, err := k.DB.CompareBooks(ctx, name, books)
	if err != nil {
		return err
	}
	return k.catchUp(ctx, name, compared)
}

// catchUp has every payment looked at that a processor has further on than we do, or of which something came there that
// is not booked here.
func (k *Desk) catchUp(ctx context.Context, name string, compared db.BooksCompared) error {
	for _, p := range compared.Behind {
		k.Logger.Warn("a payment provider has a payment further on than we do, and is asked for it", "provider", name,
			"paymentId", p.ID, "status", p.Status)
		if err := k.DB.LookAtPayment(ctx, p.ID); err != nil {
			return err
		}
	}
	for _, reference := range compared.After {
		id, err := k.DB.PaymentOf(ctx, name, "", reference)
		if err == nil {
			err = k.DB.LookAtPayment(ctx, id)
		} else if keyturn.KindOf(err) == keyturn.KindNotFound {
			err = k.DB.FollowPayment(ctx, name, reference)
		}
		if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound { // not found: it is another installation's
			return err
		}
	}
	return nil
}
