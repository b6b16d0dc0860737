package checkout

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/payment"
)

// maxEvent is the largest message of a processor that is read.
const maxEvent = 512 << 10

// hookTime is how long a processor waits for our answer at most.
const hookTime = 10 * time.Second

// Hook takes the messages of processors, at POST /hooks/{provider}. A message is a hint that a payment has changed:
// nothing of its content is believed, and the payment's workflow asks the processor. It is answered 200 once it is
// booked, also where it is known already or about nothing of ours; 400 where it is not from the processor, or is of its
// other mode; 404 for a provider that sells nothing, or of which none are taken.
func (k *Desk) Hook(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("provider")
	processor, ok := k.Processors[name]
	if !ok {
		http.Error(w, "there is no such provider", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the message ends early", http.StatusBadRequest)
		return
	}
	event, err := processor.Event(body, r.Header, time.Now())
	if keyturn.KindOf(err) == keyturn.KindNotFound {
		http.Error(w, "events of this provider are not taken", http.StatusNotFound)
		return
	}
	if keyturn.KindOf(err) == keyturn.KindConfiguration {
		if err := k.DB.OtherMode(r.Context(), name, err.Error()); err != nil {
			k.Logger.Warn("that a payment provider's mode is another one was not booked", "provider", name, "error", err)
		}
	}
	if err != nil {
		metrics.ProviderEvent(name, "refused")
		k.Logger.Warn("a message that claims to be a payment provider's was refused", "provider", name, "kind",
			string(keyturn.KindOf(err)))
		http.Error(w, "the signature does not fit", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hookTime)
	defer cancel()
	if err := k.Tell(ctx, name, event); err != nil {
		k.Logger.Error("a payment provider's message could not be booked; it sends it again", "provider", name, "kind",
			string(keyturn.KindOf(err)), "error", err)
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// Tell books a verified event of a processor, once, and has the payment that it names looked at.
func (k *Desk) Tell(ctx context.Context, provider string, e payment.Event) error {
	result, err := k.DB.BookProviderEvent(ctx, db.ProviderEvent{
		Provider: provider, ID: e.ID, Type: e.Type, SessionReference: e.SessionReference,
		PaymentReference: e.PaymentReference, PaymentID: e.PaymentID, RefundOf: e.RefundOf, Outcome: e.Outcome,
	})
	if err != nil {
		result = "failed"
	}
	metrics.ProviderEvent(provider, string(result))
	return err
}
