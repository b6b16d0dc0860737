package payment

import (
	"context"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
)

// Finder is a provider that forgets keys after a day, and that can be asked for a refund. Its refunds may be under way
// for days.
type Finder interface {
	Provider

	// FindRefund looks for a refund by its ID among those of its payment, whatever key it was asked for under. It answers
	// as Refund does. KindNotFound: there is none.
	FindRefund(ctx context.Context, r Refund) (id string, err error)
}

// RefundStatus is where a refund stands that the provider has taken on and that has not come through.
type RefundStatus string

// The statuses of a RefundError.
const (
	RefundUnderWay      RefundStatus = "pending"
	RefundNeedsCustomer RefundStatus = "requires_action" // the customer has to say where the money goes
	RefundFailed        RefundStatus = "failed"          // for good: a person has to pay it back in another way
)

// RefundError says that a provider has taken on a refund that has not come through. Its kind is KindUnavailable.
type RefundError struct {
	ID     string // the provider's, of the refund
	Status RefundStatus
}

func (e *RefundError) Error() string { return "the provider's refund is " + string(e.Status) }

// Unwrap gives the error its kind.
func (e *RefundError) Unwrap() error {
	return keyturn.Errorf(keyturn.KindUnavailable, "the provider's refund is %s", string(e.Status))
}

// RefundedElsewhere is the ID of a refund that was not necessary: all of the payment went back in another way.
const RefundedElsewhere = "refunded-elsewhere"

// Repetition is what is known of a write that is asked for once more.
type Repetition struct {
	No int // of the key
	// Since is how long ago it was first asked for under this key.
	Since time.Duration
	// Failed is how long ago the provider first answered, under this key, that it has failed; 0: it never did.
	Failed time.Duration
}

// Limits of a key.
const (
	// KeyFor is how long one key is used: Stripe forgets it after a day.
	KeyFor = 20 * time.Hour
	// FailedFor is how long a write is looked for whose provider has failed before it is asked for under another key.
	FailedFor = 15 * time.Minute
)

// Key is the idempotency key of a write that has a number.
func Key(base string, no int) string {
	if no <= 1 {
		return base
	}
	return base + "-" + strconv.Itoa(no)
}

// Used says that a look which finds nothing is to be followed by another key: the provider has forgotten this one, or
// keeps answering that it has failed. After mere silence it is the same key again.
func (r Repetition) Used() bool { return r.Since >= KeyFor || r.Failed >= FailedFor }

// Waits says that nothing is asked for yet: under this key the provider would answer that it has failed, and what it
// has failed to answer may still come.
func (r Repetition) Waits() bool { return r.Failed > 0 && r.Failed < FailedFor }

// Repay refunds once, whatever became of earlier tries: a provider that forgets keys is first asked for the refund, and
// nextKey books another key only where a look has proved that nothing happened under this one.
func (p Providers) Repay(ctx context.Context, provider string, r Refund, base string, known Repetition,
	nextKey func(context.Context) (no int, err error),
) (string, error) {
	r.IdempotencyKey = Key(base, known.No)
	finder, ok := p[provider].(Finder)
	if !ok || r.Amount.Minor == 0 {
		return p.Refund(ctx, provider, r)
	}
	id, err := finder.FindRefund(ctx, r)
	if err == nil || keyturn.KindOf(err) != keyturn.KindNotFound {
		return id, err
	}
	if known.Waits() {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the provider has failed, and is asked whether it refunded")
	}
	if known.Used() {
		no, err := nextKey(ctx)
		if err != nil {
			return "", err
		}
		r.IdempotencyKey = Key(base, no)
	}
	return p.Refund(ctx, provider, r)
}
