package payment

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// SandboxName is the provider's name in orders.
const SandboxName = "sandbox"

// Ledger keeps the sandbox's captured payments and refunds (package db).
type Ledger interface {
	// LedgerRefund books a refund under its key and counts the attempt. It returns the refund's ID. While refuse(previous
	// attempts) is true it books the attempt only and returns no ID. KindRejected: the refund exceeds what was captured,
	// or nothing was captured under the reference.
	LedgerRefund(ctx context.Context, key, reference, orderID string, amount keyturn.Money,
		refuse func(attemptsBefore int) bool) (id string, err error)
}

// Sandbox is a payment processor for development: its books are in our own database, it takes no money, and otherwise
// it behaves like a real one. With the Ledger alone it refunds what orders say is paid; a payment reference tells it
// to fail:
//
//	…refund-fails-3…     the first three attempts fail with an unknown outcome
//	…refund-declined…    every attempt is refused
//	…already-refunded…   the money went back in another way
//
// With Sessions it sells, too. A checkout link asks for trouble in its additionalData, under "sandbox" (script).
type Sandbox struct {
	Ledger    Ledger
	Sessions  Sessions
	PublicURL string // its page is below it: /sandbox/pay/…
	Secret    []byte // makes the addresses of pages and signs events
	// OnEvent is told of each change of a session, after it; nil: nobody. Changes that Retrieve answers with are not told.
	OnEvent func(context.Context, Event)
	// Clock moves the database's clock, for tests; nil: it is right.
	Clock func(time.Time) time.Time
}

var failsTimes = regexp.MustCompile(`refund-fails-(\d{1,6})`)

// Refund is Provider.Refund.
func (x Sandbox) Refund(ctx context.Context, r Refund) (string, error) {
	if strings.Contains(r.Reference, "already-refunded") {
		return "sandbox-already-refunded", nil
	}
	if strings.Contains(r.Reference, "refund-declined") {
		return "", keyturn.Errorf(keyturn.KindRejected, "the sandbox declines this refund, as the payment reference asks")
	}
	times := 0
	if m := failsTimes.FindStringSubmatch(r.Reference); m != nil {
		times, _ = strconv.Atoi(m[1])
	}
	id, err := x.Ledger.LedgerRefund(ctx, r.IdempotencyKey, r.Reference, r.OrderID, r.Amount,
		func(before int) bool { return before < times })
	if err == nil && id == "" {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the sandbox did not answer, as the payment reference asks")
	}
	return id, err
}
