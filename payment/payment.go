// Package payment refunds captured payments. Payment providers implement one small interface; the sandbox is the
// provider for development and tests.
package payment

import (
	"context"
	"maps"
	"slices"

	"keyturn.dev/keyturn"
)

// Refund is a request for a refund. Requests with the same IdempotencyKey are one refund, however often they are sent.
type Refund struct {
	ID             string // ours: of the line, or of the payment that no order came of
	IdempotencyKey string // the line's refund; stable over every retry
	Reference      string // of the captured payment at the provider
	OrderID        string
	Amount         keyturn.Money
}

// Provider pays back captured money.
type Provider interface {
	// Refund refunds a part of a captured payment and returns the provider's ID of the refund. It is idempotent by key: a
	// repetition pays nothing and returns the same ID. A payment that was already refunded in another way counts as done.
	// KindUnavailable: the outcome is unknown, so try again. KindRejected: the provider refuses and a person has to look;
	// trying again is safe, as it may change its mind.
	Refund(ctx context.Context, r Refund) (id string, err error)
}

// Referring is a provider that knows what references of its payments look like.
type Referring interface {
	Provider

	// CheckReference says whether this can be the reference of a payment that it could refund. KindInvalid, worded to
	// follow a field's name.
	CheckReference(reference string) error
}

// CheckReference says whether an order's provider could refund a payment of this reference, as far as that can be said
// without asking it. KindInvalid, worded to follow a field's name.
func (p Providers) CheckReference(provider, reference string) error {
	if r, ok := p[provider].(Referring); ok {
		return r.CheckReference(reference)
	}
	return nil
}

// Providers maps the names that orders use (payment.provider) to providers.
type Providers map[string]Provider

// Names are the names of the providers, in alphabetical order.
func (p Providers) Names() []string { return slices.Sorted(maps.Keys(p)) }

// Refund calls the named provider. An unknown name is KindConfiguration.
func (p Providers) Refund(ctx context.Context, provider string, r Refund) (string, error) {
	if r.Amount.Minor == 0 {
		return "nothing-to-refund", nil
	}
	to, ok := p[provider]
	if !ok {
		return "", keyturn.Errorf(keyturn.KindConfiguration, "there is no payment provider named %s", provider)
	}
	return to.Refund(ctx, r)
}
