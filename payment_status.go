package keyturn

import (
	"slices"
	"time"
)

// PaymentStatus is where one attempt to pay a checkout link stands.
type PaymentStatus string

const (
	// PaymentCreated: stored; the processor may not know of it yet.
	PaymentCreated PaymentStatus = "CREATED"
	// PaymentOpen: the processor has a session in which the customer can pay.
	PaymentOpen PaymentStatus = "OPEN"
	// PaymentProcessing: the customer has paid by a method that takes time, and the money is not certain.
	PaymentProcessing PaymentStatus = "PROCESSING"
	// PaymentFailed: the method failed later. Nothing was taken.
	PaymentFailed PaymentStatus = "FAILED"
	// PaymentExpired: its session ended unpaid. Nothing was taken.
	PaymentExpired PaymentStatus = "EXPIRED"
	// PaymentMismatch: what was paid is not what was asked for. A person decides.
	PaymentMismatch PaymentStatus = "MISMATCH"
	// PaymentAuthorized: the customer's bank has blocked the money, and nothing was taken.
	PaymentAuthorized PaymentStatus = "AUTHORIZED"
	// PaymentCapturing: a capture was asked for, and its outcome is not booked.
	PaymentCapturing PaymentStatus = "CAPTURING"
	// PaymentCaptured: the money was taken. Final, but for refunds.
	PaymentCaptured PaymentStatus = "CAPTURED"
	// PaymentVoiding: the authorisation is to be let go.
	PaymentVoiding PaymentStatus = "VOIDING"
	// PaymentVoided: the authorisation was let go. Nothing was taken.
	PaymentVoided PaymentStatus = "VOIDED"
	// PaymentLost: the authorisation ended by itself or at the processor. Nothing was taken.
	PaymentLost PaymentStatus = "LOST"
)

// PaymentStatuses are all statuses in the order of a payment's life.
var PaymentStatuses = []PaymentStatus{
	PaymentCreated, PaymentOpen, PaymentProcessing, PaymentFailed, PaymentExpired, PaymentMismatch, PaymentAuthorized,
	PaymentCapturing, PaymentCaptured, PaymentVoiding, PaymentVoided, PaymentLost,
}

// PaymentTransitions is the one table of what may follow what. The database has the same rows in payment_may_become,
// the chart in docs/understand/state-machine.md shows them, and a test keeps the three equal. EXPIRED, FAILED,
// VOIDED and LOST go on only when the processor proves that the customer has paid all the same.
var PaymentTransitions = map[PaymentStatus][]PaymentStatus{
	PaymentCreated: {PaymentOpen, PaymentExpired, PaymentCaptured},
	PaymentOpen: {
		PaymentProcessing, PaymentExpired, PaymentMismatch, PaymentAuthorized, PaymentCaptured, PaymentVoiding,
	},
	PaymentProcessing: {PaymentFailed, PaymentMismatch, PaymentAuthorized, PaymentCaptured, PaymentVoiding},
	PaymentFailed:     {PaymentCaptured, PaymentVoiding},
	PaymentExpired:    {PaymentCaptured, PaymentVoiding},
	PaymentMismatch:   {PaymentAuthorized, PaymentCaptured, PaymentVoiding},
	PaymentAuthorized: {PaymentCapturing, PaymentVoiding, PaymentLost},
	PaymentCapturing:  {PaymentCaptured, PaymentVoiding, PaymentLost},
	PaymentCaptured:   {},
	PaymentVoiding:    {PaymentCaptured, PaymentVoided},
	PaymentVoided:     {PaymentCaptured},
	PaymentLost:       {PaymentCaptured},
}

// CanBecome says whether the table has the step.
func (s PaymentStatus) CanBecome(next PaymentStatus) bool {
	return slices.Contains(PaymentTransitions[s], next)
}

// Payable says that the customer may still pay in the payment's session, or that the money is under way.
func (s PaymentStatus) Payable() bool {
	return s == PaymentCreated || s == PaymentOpen || s == PaymentProcessing
}

// Uncharged says that nothing was taken, and that nothing will be.
func (s PaymentStatus) Uncharged() bool {
	return s == PaymentVoiding || s == PaymentVoided || s == PaymentLost
}

// Usual says that a payment is on the way of all that go well.
func (s PaymentStatus) Usual() bool {
	return slices.Contains([]PaymentStatus{
		PaymentCreated, PaymentOpen, PaymentAuthorized, PaymentCapturing, PaymentCaptured,
	}, s)
}

// CaptureWhen says when a link's money is taken.
type CaptureWhen string

// The choices of CaptureWhen.
const (
	CaptureWhenObtained CaptureWhen = "whenObtained" // only methods that can be authorised first are offered
	CaptureWhenPossible CaptureWhen = "whenPossible" // the others are charged at once. The default
	CaptureAtOnce       CaptureWhen = "atOnce"
)

// MixedCapture says what becomes of a payment whose lines are not all ready at the same time. There is one capture a
// payment.
type MixedCapture string

// The choices of MixedCapture.
const (
	// MixedChargeAll captures everything with the first line that is ready, once no line is on its first attempt, and
	// refunds later what is not delivered. The default.
	MixedChargeAll MixedCapture = "chargeAll"
	// MixedChargeReady gives up, uncharged, the lines that have failed and have no key in hand at that moment.
	MixedChargeReady MixedCapture = "chargeReady"
)

// ProcessorStatus is where a payment stands at its processor.
type ProcessorStatus string

// The statuses of a payment at its processor.
const (
	AtProcessorOpen       ProcessorStatus = "open"       // the customer can pay
	AtProcessorProcessing ProcessorStatus = "processing" // paid by a method that takes time
	AtProcessorAuthorized ProcessorStatus = "authorized"
	AtProcessorCaptured   ProcessorStatus = "captured"
	AtProcessorVoided     ProcessorStatus = "voided" // the authorisation was let go, or ran out
	AtProcessorExpired    ProcessorStatus = "expired"
	AtProcessorFailed     ProcessorStatus = "failed" // the method that takes time has failed
)

// ProcessorState is what a processor says of a payment. It is the only thing that moves a payment: events are hints to
// ask for it.
type ProcessorState struct {
	Status           ProcessorStatus
	SessionReference string // of the session in which the customer pays
	PaymentReference string // of the payment, once there is one: captures, voids and refunds name it
	URL              string // of the session's page; a secret
	Authorized       Money
	Captured         Money
	Refunded         Money
	// CaptureWithin is how long an authorization can still be captured, by the processor's clock; zero: it does not say
	CaptureWithin time.Duration
	Method        string // such as card/visa
	Disputed      bool   // the customer has disputed it at the bank
	// AskedAt is when it was asked, by the database's clock; zero: when what it says is booked
	AskedAt time.Time
}

// PayOutcome is what an event of a processor tells of a try to pay.
type PayOutcome string

// The outcomes of a try to pay.
const (
	Paid    PayOutcome = "paid"
	Refused PayOutcome = "refused" // the session stays open
)

// PaymentDo is what a payment needs next.
type PaymentDo string

// What a payment can need.
const (
	PaymentDoOpen     PaymentDo = "open"     // ask the processor for the session, once more under the same key
	PaymentDoRetrieve PaymentDo = "retrieve" // ask the processor where it stands
	PaymentDoExpire   PaymentDo = "expire"   // end its session
	PaymentDoVoid     PaymentDo = "void"     // let its authorisation go
	PaymentDoRefund   PaymentDo = "refund"   // give back what was taken without an order
	PaymentDoMail     PaymentDo = "mail"     // send an e-mail about it
	PaymentDoWait     PaymentDo = "wait"     // for a signal, at most Wait
	PaymentDoNothing  PaymentDo = "nothing"
)

// PaymentNext is what every step on a payment answers, as Next is for a line. It holds no secret.
type PaymentNext struct {
	Do      PaymentDo     `json:"do"`
	Status  PaymentStatus `json:"status"`
	Wait    Duration      `json:"wait,omitzero"`
	Version int           `json:"version,omitempty"`
	// Unusual: it does not go the usual way, from a session to its capture. Its workflow shows where it stands.
	Unusual bool `json:"unusual,omitempty"`
}
