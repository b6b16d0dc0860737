package payment

import (
	"context"
	"net/http"
	"time"

	"keyturn.dev/keyturn"
)

// Processor is a provider that can also sell: it takes the customer's money on a page of its own. Every method may be
// repeated, and every answer is where the payment stands now; an error says that nobody knows, unless its kind says
// otherwise. Kinds: KindUnavailable (the outcome is unknown, or the processor is down), KindRateLimited, KindRejected
// (the processor refuses; with Permanent, for good), KindConfiguration.
type Processor interface {
	Provider

	// Open makes the session in which a stored payment is paid, once for each Key.
	Open(ctx context.Context, o Opening) (keyturn.ProcessorState, error)
	// Retrieve asks where the payment stands. KindNotFound: the processor does not know it.
	Retrieve(ctx context.Context, ref Ref) (keyturn.ProcessorState, error)
	// Expire ends the session. It is no error if the session cannot be paid any more: the state says if it was paid.
	Expire(ctx context.Context, ref Ref) (keyturn.ProcessorState, error)
	// Capture takes the sum, which is at most what was authorised, once for each key. The rest is let go.
	Capture(ctx context.Context, ref Ref, sum keyturn.Money, key string) (keyturn.ProcessorState, error)
	// Void lets the authorisation go.
	Void(ctx context.Context, ref Ref, key string) (keyturn.ProcessorState, error)
	// Event verifies a message that came to the processor's hook. It is a hint to Retrieve: nothing of it is believed.
	// KindInvalid: it is not from this processor. KindNotFound: none are taken. KindConfiguration: it is, and a setting
	// does not fit.
	Event(body []byte, h http.Header, now time.Time) (Event, error)
	// Origin is the origin of the processor's page, such as https://checkout.example.com: forms may lead there.
	Origin() string
	// CheckSum says whether the processor can take such a sum, as the price of a unit. KindInvalid, worded to follow a
	// field's name.
	CheckSum(m keyturn.Money) error
	// CheckTotal says whether the processor can take such a sum, as all that is paid. KindInvalid as for CheckSum.
	CheckTotal(m keyturn.Money) error
}

// Watcher is a processor that tells of what comes after a payment was taken: refunds that others made, refunds that
// fail later, disputes, early fraud warnings.
type Watcher interface {
	Processor

	// Aftermath lists what came of a payment after it was taken.
	Aftermath(ctx context.Context, ref Ref) (keyturn.Aftermath, error)
	// Books lists everything that was made since then.
	Books(ctx context.Context, since time.Time) (keyturn.ProcessorBooks, error)
}

// Ref names a payment at its processor: by its session, and by the payment once there is one.
type Ref struct {
	PaymentID        string // ours
	SessionReference string
	PaymentReference string
	Since            time.Time // when it was begun: one whose session is not known is looked for from then on
}

// Opening is what a session is made for.
type Opening struct {
	Key            string // of idempotency: open-<payment>-<n>
	PaymentID      string // ours
	OrderID        string
	Currency       string
	Lines          []OpeningLine
	Total          keyturn.Money
	Email          string
	Locale         string
	AuthorizeFirst bool      // take the money later, where the means of payment allows that
	AuthorizeOnly  bool      // offer only means of payment that allow it
	ExpiresAt      time.Time // the processor's own end of the session; we end it earlier
	ReturnURL      string    // where the customer goes after paying
	BackURL        string    // where the customer goes without paying
	AdditionalData map[string]string
}

// OpeningLine is what the processor's page shows of a line.
type OpeningLine struct {
	Name      string
	UnitPrice keyturn.Money
	Quantity  int
}

// Event is a verified hint that a payment has changed.
type Event struct {
	ID               string // one event is booked once
	Type             string
	SessionReference string // of one of the two
	PaymentReference string
	PaymentID        string             // ours, where the processor repeats it: of one whose references are not known yet
	RefundOf         string             // ours, of a refund that it tells of: a line's ID, or a payment's
	Outcome          keyturn.PayOutcome // of a try to pay; empty: it tells of something else
}

// Processors maps the names that links use (provider) to processors.
type Processors map[string]Processor
