package keyturn

import "time"

// SandboxSession is a payment session of the sandbox processor, which takes no money. It holds nothing personal.
type SandboxSession struct {
	ID           string // sbx_…
	Key          string // of idempotency, under which it was opened
	Request      []byte // a hash of everything it was opened with
	TokenHash    []byte // of the address of its page
	PaymentID    string
	OrderID      string
	Total        Money
	Lines        []SandboxLine // what its page shows
	Locale       string
	BackURL      string
	ReturnURL    string
	AuthorizeAs  CaptureWhen // what the page may do: whenObtained, whenPossible or atOnce
	Script       string      // the trouble that was asked for
	Status       ProcessorStatus
	Reference    string // of the payment, once it is paid
	Method       string // such as card/visa
	Authorized   Money
	Captured     Money
	CaptureKey   string // under which it was captured
	CaptureTries int
	CaptureBy    time.Time // zero: it is not authorized
	SettlesAt    time.Time // of a method that takes time; zero: it takes none
	CreatedAt    time.Time
	ExpiresAt    time.Time
	Refunded     Money     // read only
	Now          time.Time // the database's clock; read only
}

// SandboxLine is a line of a SandboxSession.
type SandboxLine struct {
	Name      string `json:"name"`
	UnitPrice string `json:"unitPrice"`
	Quantity  int    `json:"quantity"`
}

// SandboxRef finds a session by the first of these that is there. A payment of ours finds its last session.
type SandboxRef struct {
	ID        string
	Reference string
	TokenHash []byte
	PaymentID string
}

// SandboxAction is what a visitor does on the sandbox's page.
type SandboxAction string

// The actions on the sandbox's page.
const (
	SandboxPay     SandboxAction = "pay"
	SandboxPayLate SandboxAction = "pay-late" // by a method that takes time
	SandboxDecline SandboxAction = "decline"  // the bank refuses; the session stays open
	SandboxCancel  SandboxAction = "cancel"   // goes back without paying; the session stays open
)
