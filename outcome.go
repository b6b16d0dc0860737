package keyturn

// AttemptOutcome is what became of one call of a source.
type AttemptOutcome string

// The outcomes of attempts.
const (
	AttemptRunning AttemptOutcome = "running" // it is under way, or its process died: then its deadline ends it
	AttemptSuccess AttemptOutcome = "success" // the partner did it
	AttemptFailed  AttemptOutcome = "failed"  // the partner did not do it
	AttemptUnknown AttemptOutcome = "unknown" // the partner may have done it
	AttemptLate    AttemptOutcome = "late"    // it was answered when its source was no longer wanted
)

// AttemptOutcomes are all outcomes of attempts. The database's constraint agrees.
var AttemptOutcomes = []AttemptOutcome{AttemptRunning, AttemptSuccess, AttemptFailed, AttemptUnknown, AttemptLate}

// Ended says that nothing more is learned of the attempt.
func (o AttemptOutcome) Ended() bool { return o != AttemptRunning && o != AttemptUnknown }

// DeliveryKind is what an e-mail about a line is for.
type DeliveryKind string

// The kinds of deliveries.
const (
	DeliveryKeys     DeliveryKind = "keys"     // it brings what was bought
	DeliveryCanceled DeliveryKind = "canceled" // it tells of the refund
	// DeliveryAddressChanged tells the old address that another one was given.
	DeliveryAddressChanged DeliveryKind = "addressChanged"
)

// DeliveryKinds are all kinds of deliveries. The database's constraint agrees.
var DeliveryKinds = []DeliveryKind{DeliveryKeys, DeliveryCanceled, DeliveryAddressChanged}

// DeliveryStatus is where an e-mail about a line stands.
type DeliveryStatus string

// The statuses of deliveries.
const (
	DeliveryReady   DeliveryStatus = "READY"   // it is stored and nobody sends it
	DeliverySending DeliveryStatus = "SENDING" // a worker sends it, until its lease ends
	DeliverySent    DeliveryStatus = "SENT"    // the mail server took it
)

// DeliveryStatuses are all statuses of deliveries. The database's constraint agrees.
var DeliveryStatuses = []DeliveryStatus{DeliveryReady, DeliverySending, DeliverySent}

// RefundStatus is where a refund stands.
type RefundStatus string

// The statuses of refunds.
const (
	RefundPending RefundStatus = "PENDING"
	RefundDone    RefundStatus = "DONE"
)

// RefundStatuses are all statuses of refunds. The database's constraint agrees.
var RefundStatuses = []RefundStatus{RefundPending, RefundDone}

// RevocationStatus is where the cancel of what a source may have issued stands.
type RevocationStatus string

// The statuses of revocations.
const (
	RevocationOwed       RevocationStatus = "OWED"
	RevocationDone       RevocationStatus = "DONE"       // the partner acknowledged it
	RevocationImpossible RevocationStatus = "IMPOSSIBLE" // operations know of it (AlertRevocation)
)

// RevocationStatuses are all statuses of revocations. The database's constraint agrees.
var RevocationStatuses = []RevocationStatus{RevocationOwed, RevocationDone, RevocationImpossible}

// ReplacementStatus is where the replacement of a recalled key stands.
type ReplacementStatus string

// The statuses of replacements.
const (
	ReplacementListed ReplacementStatus = "LISTED" // its batch was recalled without replacing what was sold
	ReplacementOwed   ReplacementStatus = "OWED"
	ReplacementDone   ReplacementStatus = "DONE"
	ReplacementVoid   ReplacementStatus = "VOID" // its line was refunded instead
)

// ReplacementStatuses are all statuses of replacements. The database's constraint agrees.
var ReplacementStatuses = []ReplacementStatus{ReplacementListed, ReplacementOwed, ReplacementDone, ReplacementVoid}
