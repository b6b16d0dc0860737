// Package activities does what a workflow asks for: one file per verb. An activity is a transaction, an effect under a
// stable key, and a transaction again; it may run twice, at the same time even, without a second effect.
package activities

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
)

// Activities holds what the activities work with. Every field is required.
type Activities struct {
	DB        *db.DB
	Desk      *checkout.Desk
	Caller    *endpoint.Caller
	Mail      *mail.Sender
	Letters   Letters
	Providers payment.Providers
	Logger    *slog.Logger

	underWay sync.WaitGroup // e-mails and captures
	begins   SourceLimiter  // calls of partners that are being booked
}

// Step asks for one step of a line.
type Step struct {
	FulfillmentID string `json:"fulfillmentId"`
	// Retry: the line is in trouble, and a failure is an error with the delay of the next attempt, so that the server
	// repeats the activity without history. Otherwise a failure is an answer: the workflow shows it.
	Retry  bool               `json:"retry,omitempty"`
	Status keyturn.LineStatus `json:"status,omitempty"` // as the workflow knows it; a change comes back as an answer
	Source string             `json:"source,omitempty"`
}

// Decision is a person's decision on a line.
type Decision struct {
	FulfillmentID string             `json:"fulfillmentId"`
	Resolution    keyturn.Resolution `json:"resolution"`
}

// ClaimKeys takes keys for the line from its pool and stores the e-mail with them, for SendEmail.
func (a *Activities) ClaimKeys(ctx context.Context, in Step) (keyturn.Next, error) {
	next, err := a.DB.Claim(ctx, in.FulfillmentID, a.Letters.Render)
	return a.answer(in, keyturn.DoClaim, next, err)
}

// UpdateLicense books an operation on a licence that needs nobody outside, and stores its e-mail, for SendEmail.
func (a *Activities) UpdateLicense(ctx context.Context, in Step) (keyturn.Next, error) {
	next, err := a.DB.Apply(ctx, in.FulfillmentID, a.Letters.Render)
	return a.answer(in, keyturn.DoApply, next, err)
}

// ReviewLine reads the line again after a wait and applies what has become due meanwhile: a hold or a deadline that
// passed, an order that was cancelled.
func (a *Activities) ReviewLine(ctx context.Context, in Step) (keyturn.Next, error) {
	next, err := a.DB.Review(ctx, in.FulfillmentID)
	return next, asTemporal(err, 0)
}

// RecordDecision carries out a person's decision.
func (a *Activities) RecordDecision(ctx context.Context, in Decision) (keyturn.Next, error) {
	next, err := a.DB.Resolve(ctx, in.FulfillmentID, in.Resolution)
	if err == nil {
		a.Logger.Info("a person decided", "fulfillmentId", in.FulfillmentID, "action", string(in.Resolution.Action), "by",
			in.Resolution.By)
	}
	return next, refused(err)
}

// answer turns what the database said after a step into what the workflow gets: the same step again later is an error
// with its delay while the server repeats the activity; anything else is the answer.
func (a *Activities) answer(in Step, did keyturn.Do, next keyturn.Next, err error) (keyturn.Next, error) {
	if err != nil {
		return next, asTemporal(err, 0)
	}
	if f := next.Failure; f != nil && next.Status.InTrouble() && next.Do == did {
		a.Logger.Warn("a step failed", "fulfillmentId", in.FulfillmentID, "step", string(did), "source", next.Source, "kind",
			string(f.Kind),
			"try", next.Attempts, "next", next.Wait.String())
	}
	again := in.Retry && next.Do == did && next.Status == in.Status && next.Source == in.Source && next.Wait > 0
	if !again {
		return next, nil
	}
	failure := keyturn.Errorf(keyturn.KindUnavailable, "not yet")
	if f := next.Failure; f != nil {
		failure = keyturn.Errorf(f.Kind, "%s; try %d failed, the next follows in %s, the deadline is in %s", f.Message,
			next.Attempts,
			next.Wait.Rounded(), next.Left.Rounded())
	}
	return next, asTemporal(failure, time.Duration(next.Wait))
}

// bookFor is how long the database may be away when it has to be told of something that has happened.
const bookFor = 10 * time.Second

// booked writes down what has happened outside, even if the activity's own time is up, and asks again while the
// database does not answer: what is not written down happens once more, and a customer gets the same e-mail twice.
func booked[T any](ctx context.Context, write func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookFor)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		out, err := write(ctx)
		if keyturn.KindOf(err) != keyturn.KindUnavailable {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(pause):
		}
	}
}

// asTemporal converts an error once, at the outermost return: wrapped further, Temporal would not see its kind or
// delay. Only our own words travel; causes may hold a partner's text or a customer's name.
func asTemporal(err error, delay time.Duration) error {
	if err == nil {
		return nil
	}
	kind := keyturn.KindOf(err)
	message := "a fault inside Keyturn; its log has the cause"
	if e, ok := errors.AsType[*keyturn.Error](err); ok {
		message = e.Message
	}
	o := temporal.ApplicationErrorOptions{NextRetryDelay: delay}
	switch kind { //nolint:exhaustive // all others are tried again: a step never ends its line's workflow
	case keyturn.KindNotFound, keyturn.KindErased: // the line is not in this database, or nothing can be done for it
		o.NonRetryable = true
	case keyturn.KindOutOfStock, keyturn.KindRateLimited: // it waits for its turn
		o.Category = temporal.ApplicationErrorCategoryBenign
	}
	return temporal.NewApplicationErrorWithOptions(message, string(kind), o)
}

// refused is asTemporal for a person's decision: what the line's status does not allow is not tried again.
func refused(err error) error {
	switch kind := keyturn.KindOf(err); kind { //nolint:exhaustive // all others are tried again
	case keyturn.KindConflict, keyturn.KindInvalid, keyturn.KindNotFound:
		return temporal.NewNonRetryableApplicationError(err.Error(), string(kind), nil)
	}
	return asTemporal(err, 0)
}
