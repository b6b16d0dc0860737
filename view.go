package keyturn

import "time"

// OrderView is an order as the API shows it.
type OrderView struct {
	ID         string      `json:"id"`
	Status     OrderStatus `json:"status" enum:"PENDING,PARTIAL_COMPLETED,COMPLETED,CANCEL_PENDING,PARTIAL_CANCELED,CANCELED"`
	Currency   string      `json:"currency"`
	GrossPrice string      `json:"grossPrice"`
	CreatedAt  time.Time   `json:"createdAt"`
	LineItems  []LineView  `json:"lineItems"`
	Links      *Links      `json:"links,omitempty"`
}

// Links lead to an order's other faces.
type Links struct {
	Self    string `json:"self"`
	Page    string `json:"page"`
	History string `json:"history,omitempty"`
}

// LineView is a line item as the API shows it.
type LineView struct {
	ID            string        `json:"id"`
	FulfillmentID string        `json:"fulfillmentId"`
	OrderID       string        `json:"orderId,omitempty"`
	ProductID     string        `json:"productId"`
	Quantity      int           `json:"quantity"`
	GrossPrice    string        `json:"grossPrice"`
	Operation     OperationName `json:"operation"`
	Status        LineStatus    `json:"status" enum:"PENDING,OBTAINED,RETRYING,WAITING_FOR_STOCK,HELD,DELIVERED,CANCELING,CANCELED"`
	Source        string        `json:"source,omitempty"`
	Attempts      int           `json:"attempts,omitempty"`
	LastError     *Failure      `json:"lastError,omitempty"`
	NextAttemptAt *time.Time    `json:"nextAttemptAt,omitempty"`
	GiveUpAt      *time.Time    `json:"giveUpAt,omitempty"`
	Refund        *RefundView   `json:"refund,omitempty"`
	DeliveredAt   *time.Time    `json:"deliveredAt,omitempty"`
	CanceledAt    *time.Time    `json:"canceledAt,omitempty"`

	AttemptLog  []AttemptView    `json:"attemptLog,omitempty"`
	Resolutions []ResolutionView `json:"resolutions,omitempty"`
	Deliveries  []DeliveryView   `json:"deliveries,omitempty"`
}

// RefundView is where a line's refund stands.
type RefundView struct {
	Status string     `json:"status" enum:"PENDING,DONE"`
	Amount string     `json:"amount"`
	Reason string     `json:"reason,omitempty"`
	DoneAt *time.Time `json:"doneAt,omitempty"`
}

// AttemptView is one call of a source. Request and Reply are redacted.
type AttemptView struct {
	No         int       `json:"no"`
	StartedAt  time.Time `json:"startedAt"`
	DurationMs *int      `json:"durationMs,omitempty"`
	Source     string    `json:"source"`
	Operation  string    `json:"operation"`
	Outcome    string    `json:"outcome" enum:"running,success,failed,unknown,late"`
	HTTPStatus *int      `json:"httpStatus,omitempty"`
	ErrorKind  string    `json:"errorKind,omitempty"`
	ErrorCode  string    `json:"errorCode,omitempty"`
	Message    string    `json:"message,omitempty"`
	Request    string    `json:"request,omitempty"`
	Reply      string    `json:"reply,omitempty"`
}

// ResolutionView is a decision that was made on a line.
type ResolutionView struct {
	Action Action     `json:"action"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
	By     string     `json:"by"`
	At     time.Time  `json:"at"`
}

// DeliveryView is one e-mail about a line.
type DeliveryView struct {
	ID     string     `json:"id"`
	Number int        `json:"number"`
	Kind   string     `json:"kind" enum:"keys,canceled"`
	Status string     `json:"status" enum:"READY,SENDING,SENT"`
	SentAt *time.Time `json:"sentAt,omitempty"`
}

// StatusEvent is one step of one line, as the event stream gives it.
type StatusEvent struct {
	FulfillmentID string      `json:"fulfillmentId"`
	Version       int         `json:"version"`
	From          LineStatus  `json:"from"`
	To            LineStatus  `json:"to"`
	By            string      `json:"by"`
	Reason        string      `json:"reason,omitempty"`
	At            time.Time   `json:"at"`
	OrderStatus   OrderStatus `json:"orderStatus"` // the order's status now
}

// LicenseView is one entry of a customer's purchase history.
type LicenseView struct {
	ID              string     `json:"id"`
	Status          string     `json:"status" enum:"Running,Paused,Canceled,Expired"`
	ProductID       string     `json:"productId"`
	ProductName     string     `json:"productName"`
	OrderID         string     `json:"orderId"`
	CreatedAt       time.Time  `json:"createdAt"`
	DeliveredAt     *time.Time `json:"deliveredAt,omitempty"`
	ActivationCodes []string   `json:"activationCodes,omitempty"`
	ActivationLink  string     `json:"activationLink,omitempty"`
}

// PoolView is a pool with its stock.
type PoolView struct {
	Pool
	Stock   Stock       `json:"stock"`
	Batches []BatchView `json:"batches"`
}

// Stock counts a pool's keys by what became of them, and the lines that wait for it.
type Stock struct {
	Available   int64 `json:"available" db:"available"`
	Claimed     int64 `json:"claimed" db:"claimed"`
	Delivered   int64 `json:"delivered" db:"delivered"`
	Quarantined int64 `json:"quarantined" db:"quarantined"`
	Waiting     int64 `json:"waiting" db:"waiting"`
}

// BatchView is one import.
type BatchView struct {
	BatchID   string    `json:"batchId" db:"id"`
	Accepted  int       `json:"accepted" db:"accepted"`
	Rejected  int       `json:"rejected" db:"rejected"`
	CreatedBy string    `json:"createdBy" db:"created_by"`
	CreatedAt time.Time `json:"createdAt" db:"created_at"`
}

// ImportResult is the verdict on an import.
type ImportResult struct {
	BatchID  string         `json:"batchId,omitempty"`
	Accepted int            `json:"accepted"`
	Rejected []RejectedKey  `json:"rejected"`
	Counts   map[string]int `json:"counts"`
	Served   int            `json:"served"`
	DryRun   bool           `json:"dryRun,omitempty"`
}

// RejectedKey is a line of an import that brought no key, and why: duplicate_in_file, duplicate_in_pool,
// duplicate_in_other_pool, malformed or too_long.
type RejectedKey struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}
