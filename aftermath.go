package keyturn

import "time"

// Aftermath is what a processor lists of a payment after it was taken.
type Aftermath struct {
	Refunds  []MadeRefund
	Disputes []Dispute
	Warnings []string // early fraud warnings, by the processor's IDs
}

// MadeRefund is a refund at the processor, ours or somebody else's.
type MadeRefund struct {
	ID     string // the processor's
	OurID  string // the line's, or the payment's; empty: somebody else made it
	Amount Money
	Failed bool
}

// Dispute is a customer's objection, at the bank, to having been charged.
type Dispute struct {
	ID     string // the processor's
	Amount Money
	Reason string // one word of the processor's
	Status DisputeStatus
	DueAt  time.Time // by which evidence is to be given; zero: none is
}

// DisputeStatus is where a dispute stands.
type DisputeStatus string

// The statuses of a dispute.
const (
	DisputeOpen DisputeStatus = "open"
	DisputeWon  DisputeStatus = "won"  // or withdrawn, or a mere inquiry that ended
	DisputeLost DisputeStatus = "lost" // the customer has the money
)
