// Package checkout settles the payments of checkout links: it calls their processors and books what they say. The page
// uses it while the customer is there, and the payment's workflow whenever nobody is. Every call may be repeated, in
// any process: the database knows what was asked for under which key, and only what a processor says moves a payment.
package checkout

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/payment"
)

// Desk settles payments. Every field but Accepted is required.
type Desk struct {
	DB         *db.DB
	Processors payment.Processors
	Providers  payment.Providers // that refund what was taken without an order
	PublicURL  string            // of our pages, without a trailing slash
	Logger     *slog.Logger
	// ByWorkflow: it is the payment's own workflow that settles, and need not be woken.
	ByWorkflow bool
	// Accepted is told of lines that were just accepted, to start them at once. nil: the relay starts them.
	Accepted func([]db.Start)
}

// callTime is how long one call of a processor may take.
const callTime = 20 * time.Second

// sessionMargin is how much later than we a processor ends a session by itself: ours comes first, and is confirmed.
const sessionMargin = 90 * time.Minute

// Open asks the processor for the session of a payment, under a key that a repetition has, too. A payment that the
// processor refuses ends, and its link is open again. KindUnavailable when nobody knows: ask again.
func (k *Desk) Open(ctx context.Context, paymentID string) (db.Reconciled, error) {
	f, err := k.DB.Payment(ctx, paymentID)
	if err != nil {
		return db.Reconciled{}, err
	}
	if f.Status != keyturn.PaymentCreated {
		next, err := k.DB.ReviewPayment(ctx, paymentID)
		return db.Reconciled{Next: next}, err
	}
	processor, err := k.processor(f.Provider)
	if err != nil {
		return k.cannotOpen(ctx, f, err)
	}
	if opened, done, err := k.openedBefore(ctx, &f); done || err != nil {
		return opened, err
	}
	if len(f.Snapshot.Lines) == 0 {
		return db.Reconciled{}, keyturn.Errorf(keyturn.KindErased, "the payment's customer was erased")
	}
	if err := k.DB.BeginOpening(ctx, f.ID); err != nil {
		return db.Reconciled{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state, err := processor.Open(callCtx, k.opening(f))
	if keyturn.WasAnswered(err) {
		if err := k.DB.OpenFailed(context.WithoutCancel(ctx), f.ID, f.OpenNo); err != nil {
			return db.Reconciled{}, err
		}
	}
	if kind := keyturn.KindOf(err); kind == keyturn.KindRejected || kind == keyturn.KindConfiguration ||
		kind == keyturn.KindInvalid {
		k.Logger.Error("a payment provider refuses to open a payment", "paymentId", f.ID, "provider", f.Provider, "kind",
			string(kind), "error", err)
		next, bookErr := k.DB.RefusedByProcessor(ctx, f.ID, kind)
		if bookErr != nil {
			return db.Reconciled{}, bookErr
		}
		return db.Reconciled{Next: next}, err
	}
	return k.book(ctx, f, state, err)
}

// cannotOpen ends a payment whose processor is not one of ours any more, and that it was never asked to open: it cannot
// have been paid. Of one that it may have opened nobody knows: somebody has to bring the processor back.
func (k *Desk) cannotOpen(ctx context.Context, f db.PaymentFacts, missing error) (db.Reconciled, error) {
	next, err := k.DB.ProcessorMissing(ctx, f.ID)
	if err != nil {
		return db.Reconciled{}, err
	}
	k.Logger.Error("a payment is of a provider that is not configured", "paymentId", f.ID, "provider", f.Provider)
	if next.Status == keyturn.PaymentCreated {
		return db.Reconciled{}, missing
	}
	return db.Reconciled{Next: next}, missing
}

func (k *Desk) opening(f db.PaymentFacts) payment.Opening {
	page := k.PublicURL + "/c/" + f.LinkToken
	o := payment.Opening{
		Key: "open-" + f.ID + "-" + strconv.Itoa(f.OpenNo), PaymentID: f.ID, OrderID: f.OrderID, Currency: f.Total.Currency,
		Total: f.Total, Email: f.Snapshot.Customer.Email, Locale: f.Locale,
		AuthorizeFirst: f.Capture != keyturn.CaptureAtOnce, AuthorizeOnly: f.Capture == keyturn.CaptureWhenObtained,
		ExpiresAt: f.PayUntil.Add(sessionMargin), ReturnURL: page + "/return", BackURL: page,
		AdditionalData: f.Snapshot.AdditionalData,
	}
	for _, l := range f.Snapshot.Lines {
		line := payment.OpeningLine{Name: l.SoldAs.Name, Quantity: l.Quantity}
		line.UnitPrice, _ = keyturn.ParseMoney(l.SoldAs.UnitPrice, f.Total.Currency)
		o.Lines = append(o.Lines, line)
	}
	return o
}

// Look asks the processor where the payment stands, and books it.
func (k *Desk) Look(ctx context.Context, paymentID string) (db.Reconciled, error) {
	if err := k.lookAfter(ctx, paymentID); err != nil {
		return db.Reconciled{}, err
	}
	return k.call(ctx, paymentID, func(ctx context.Context, p payment.Processor, f db.PaymentFacts) (
		keyturn.ProcessorState, error,
	) {
		return p.Retrieve(ctx, ref(f))
	})
}

// Resolve carries out a person's decision on a payment that is MISMATCH, once the processor has said where it stands.
func (k *Desk) Resolve(ctx context.Context, paymentID string, r keyturn.PaymentResolution, by string) error {
	f, err := k.DB.Payment(ctx, paymentID)
	if err != nil {
		return err
	}
	processor, err := k.processor(f.Provider)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state, err := processor.Retrieve(callCtx, ref(f))
	if err != nil {
		k.failed(ctx, f.Provider, f.ID, err)
		return err
	}
	out, err := k.DB.ResolvePayment(context.WithoutCancel(ctx), f.ID, r, by, state, respond)
	if err == nil && out.Accepted != nil && k.Accepted != nil {
		k.Accepted(out.Accepted.Starts)
	}
	return err
}

// Expire ends the payment's session, unless it was paid: then the payment is booked.
func (k *Desk) Expire(ctx context.Context, paymentID string) (db.Reconciled, error) {
	return k.call(ctx, paymentID, func(ctx context.Context, p payment.Processor, f db.PaymentFacts) (
		keyturn.ProcessorState, error,
	) {
		return p.Expire(ctx, ref(f))
	})
}

// Void lets the payment's authorization go. What was captured after all is booked as that.
func (k *Desk) Void(ctx context.Context, paymentID string) (db.Reconciled, error) {
	return k.call(ctx, paymentID, func(ctx context.Context, p payment.Processor, f db.PaymentFacts) (
		keyturn.ProcessorState, error,
	) {
		state, err := p.Retrieve(ctx, ref(f)) // an answer may have been lost: of a capture, or of this
		if err != nil || state.Status != keyturn.AtProcessorAuthorized {
			return state, err
		}
		return p.Void(ctx, ref(f), voidKey(f))
	})
}

// voidKey is the key of letting an authorization go: a new one each minute, for a processor that answers under the same
// one, for a day, that it has failed. Letting go happens once, whatever the key, so nothing is waited for as before a
// second key of a refund, and the customer's money is not blocked meanwhile.
func voidKey(f db.PaymentFacts) string {
	return "void-" + f.ID + "-" + strconv.FormatInt(f.Now.Unix()/60, 10)
}

// GiveBack refunds what was taken without an order, under one key, until it is done.
func (k *Desk) GiveBack(ctx context.Context, paymentID string) (keyturn.PaymentNext, error) {
	due, next, err := k.DB.BeginPaymentRefund(ctx, paymentID)
	if err != nil || due == nil {
		return next, err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	id, err := k.Providers.Repay(callCtx, due.Provider, payment.Refund{
		ID: paymentID, Reference: due.Reference, OrderID: due.OrderID, Amount: due.Amount,
	}, "refund-"+paymentID, payment.Repetition(due.Known), func(ctx context.Context) (int, error) {
		return k.DB.NextPaymentRefundKey(ctx, paymentID, due.Known.No)
	})
	if taken, ok := errors.AsType[*payment.RefundError](err); ok {
		next, err := k.DB.PaymentRefundUnderWay(ctx, paymentID, db.RefundProgress{
			ID: taken.ID, Failed: taken.Status == payment.RefundFailed,
			NeedsCustomer: taken.Status == payment.RefundNeedsCustomer,
		})
		if err == nil && next.Do == keyturn.PaymentDoRefund {
			return next, taken
		}
		return next, err
	}
	metrics.Refund(due.Provider, err)
	if err != nil {
		if err := k.DB.FailPaymentRefund(context.WithoutCancel(ctx), paymentID, err); err != nil {
			return next, err
		}
		k.Logger.Warn("a payment without an order was not given back yet", "paymentId", paymentID, "kind",
			string(keyturn.KindOf(err)), "error", err)
		k.failed(ctx, due.Provider, paymentID, err)
		return next, err
	}
	return k.DB.FinishPaymentRefund(ctx, paymentID, id)
}

// Capture takes the money that is due. An earlier attempt whose outcome is not known is asked for first.
func (k *Desk) Capture(ctx context.Context, due *db.CaptureDue) (keyturn.ProcessorState, error) {
	processor, err := k.processor(due.Provider)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state, err := capture(callCtx, processor, due)
	if err != nil {
		k.failed(ctx, due.Provider, due.PaymentID, err)
	}
	state.AskedAt = due.Now
	return state, err
}

func capture(ctx context.Context, processor payment.Processor, due *db.CaptureDue) (keyturn.ProcessorState, error) {
	at := payment.Ref{
		PaymentID: due.PaymentID, SessionReference: due.SessionReference, PaymentReference: due.PaymentReference,
	}
	if due.Look {
		state, err := processor.Retrieve(ctx, at)
		if err != nil || state.Status != keyturn.AtProcessorAuthorized {
			return state, err
		}
	}
	return processor.Capture(ctx, at, due.Sum, "capture-"+due.PaymentID+"-"+strconv.Itoa(due.No))
}

func (k *Desk) processor(name string) (payment.Processor, error) {
	p, ok := k.Processors[name]
	if !ok {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "there is no payment provider named %s that sells", name)
	}
	return measured{p, name}, nil
}

func ref(f db.PaymentFacts) payment.Ref {
	return payment.Ref{
		PaymentID: f.ID, SessionReference: f.SessionReference, PaymentReference: f.PaymentReference, Since: f.CreatedAt,
	}
}

func (k *Desk) call(ctx context.Context, paymentID string,
	do func(context.Context, payment.Processor, db.PaymentFacts) (keyturn.ProcessorState, error),
) (db.Reconciled, error) {
	f, err := k.DB.Payment(ctx, paymentID)
	if err != nil {
		return db.Reconciled{}, err
	}
	processor, err := k.processor(f.Provider)
	if err != nil {
		if _, bookErr := k.DB.ProcessorMissing(ctx, f.ID); bookErr != nil {
			return db.Reconciled{}, bookErr
		}
		return db.Reconciled{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state, err := do(callCtx, processor, f)
	return k.book(ctx, f, state, err)
}

// book books what a processor said, or that it did not answer.
func (k *Desk) book(ctx context.Context, f db.PaymentFacts, state keyturn.ProcessorState, err error) (db.Reconciled,
	error,
) {
	unknown := keyturn.KindOf(err) == keyturn.KindNotFound
	if unknown && f.SessionReference == "" && f.Status != keyturn.PaymentCreated { // it ended before it had a session
		state, err = keyturn.ProcessorState{Status: keyturn.AtProcessorExpired}, nil
	}
	if err != nil {
		k.Logger.Warn("a payment provider did not say where a payment stands", "paymentId", f.ID, "provider", f.Provider,
			"kind", string(keyturn.KindOf(err)), "error", err)
		k.failed(ctx, f.Provider, f.ID, err)
		if !unknown || f.SessionReference == "" {
			return db.Reconciled{}, err
		}
		// It has opened the session, so this is no end: a workflow that ended here would leave the payment to nobody.
		if err := k.DB.UnknownPayment(context.WithoutCancel(ctx), f.ID); err != nil {
			return db.Reconciled{}, err
		}
		return db.Reconciled{}, keyturn.Errorf(keyturn.KindConfiguration,
			"the payment provider %s does not know the payment: its account may be another one", f.Provider)
	}
	state.AskedAt = f.Now
	by := db.ByProcessor
	if k.ByWorkflow {
		by = db.ByWorkflow
	}
	out, err := k.DB.Reconcile(context.WithoutCancel(ctx), f.ID, state, by, respond)
	if err == nil && out.Accepted != nil && k.Accepted != nil {
		k.Accepted(out.Accepted.Starts)
	}
	return out, err
}

// failed books that a processor did not answer, unless it was we who did not wait.
func (k *Desk) failed(ctx context.Context, provider, paymentID string, err error) {
	kind := keyturn.KindOf(err)
	if ctx.Err() != nil || kind != keyturn.KindUnavailable && kind != keyturn.KindRateLimited {
		return
	}
	if err := k.DB.ProcessorFailed(ctx, provider, paymentID, kind); err != nil {
		k.Logger.Warn("that a payment provider does not answer was not booked", "provider", provider, "error", err)
	}
}

// respond is the answer that is stored with an order which no request has asked for: there is none.
func respond(db.Accepted) ([]byte, error) { return nil, nil }
