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
	ID        string // the processor's
	OurID     string // the line's, or the payment's; empty: somebody else made it
	Reference string // the processor's, of the payment
	Amount    Money
	Failed    bool
	At        time.Time // when it was made
}

// Dispute is a customer's objection, at the bank, to having been charged.
type Dispute struct {
	ID        string // the processor's
	Reference string // the processor's, of the payment
	Amount    Money
	Reason    string // one word of the processor's
	Status    DisputeStatus
	DueAt     time.Time // by which evidence is to be given; zero: none is
	At        time.Time // when it was opened
}

// DisputeStatus is where a dispute stands.
type DisputeStatus string

// The statuses of a dispute.
const (
	DisputeOpen DisputeStatus = "open"
	DisputeWon  DisputeStatus = "won"  // or withdrawn, or a mere inquiry that ended
	DisputeLost DisputeStatus = "lost" // the customer has the money
)

// ProcessorBooks are a processor's lists of what was made for an installation since a time, and of what others made of
// its payments.
type ProcessorBooks struct {
	Payments []MadePayment
	Open     []MadeSession // those that can still be paid
	Refunds  []MadeRefund  // of all payments of the account: those of others are ours if the payment is
	Disputes []Dispute     // likewise
	Warnings []MadeWarning // likewise
}

// MadePayment is a payment at the processor that somebody has begun to pay.
type MadePayment struct {
	ID         string // ours
	Reference  string // the processor's
	Status     ProcessorStatus
	Authorized Money // that is blocked now
	Captured   Money
	At         time.Time // when it was made
}

// MadeSession is a session at the processor.
type MadeSession struct {
	ID        string // ours, of the payment
	Reference string // the processor's, of the session
	At        time.Time
}

// MadeWarning is an early fraud warning.
type MadeWarning struct {
	ID        string // the processor's
	Reference string // the processor's, of the payment
	At        time.Time
}
