// Package payment gives money back at a payment provider. Providers stand behind one small interface; sandbox is the
// one for development and tests.
package payment

import (
	"context"

	"keyturn.dev/keyturn"
)

// Refund asks for money back. The same IdempotencyKey is the same refund, however often it is asked for.
type Refund struct {
	IdempotencyKey string // the line's refund; stable over every retry
	Reference      string // of the captured payment at the provider
	OrderID        string
	Amount         keyturn.Money
}

// Provider pays back captured money.
type Provider interface {
	// Refund pays back a part of a captured payment and gives the provider's own ID of the refund. Repeating it with the
	// same key pays once and gives the same ID. A payment that was refunded already in another way counts as done.
	// KindUnavailable: the outcome is unknown, ask again. KindRejected: the provider refuses, which a person has to see;
	// it may change its mind, so asking again does no harm.
	Refund(ctx context.Context, r Refund) (id string, err error)
}

// Providers finds a provider by the name that an order gives (payment.provider).
type Providers map[string]Provider

// Refund asks the named provider. An unknown one is KindConfiguration.
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
