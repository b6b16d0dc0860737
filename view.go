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
	// Payment and Link are not in the answer to a new order.
	Payment  *OrderPayment `json:"payment,omitempty"`
	Link     *OrderLink    `json:"link,omitempty" doc:"The checkout link that made the order."`
	Customer *Customer     `json:"customer,omitempty" doc:"With include=customer and the scope customers:read."`
	Warnings []Warning     `json:"warnings,omitempty" doc:"Of the answer to a new order: lines that nothing can deliver at the moment."`
}

// OrderPayment is how an order is paid. Where no checkout link made it, it was paid elsewhere: Keyturn knows the
// provider and the reference alone.
type OrderPayment struct {
	Provider   string        `json:"provider"`
	Reference  string        `json:"reference"`
	Status     PaymentStatus `json:"status,omitempty" enum:"AUTHORIZED,CAPTURING,CAPTURED,VOIDING,VOIDED,LOST" doc:"This and what follows: of an order that a checkout link made."`
	Authorized string        `json:"authorized,omitempty"`
	Captured   string        `json:"captured,omitempty"`
	Refunded   string        `json:"refunded,omitempty"`
	CaptureBy  *time.Time    `json:"captureBy,omitempty" doc:"Until then the money that is authorized is taken, or let go."`
	DisputedAt *time.Time    `json:"disputedAt,omitempty" doc:"When a dispute became known that the customer's bank has not decided."`
}

// OrderLink is the checkout link that made an order.
type OrderLink struct {
	ID             string            `json:"id"`
	Reference      string            `json:"reference,omitempty"`
	AdditionalData map[string]string `json:"additionalData,omitempty" doc:"It may be personal: with include=customer and the scope customers:read."`
}

// Links lead to an order's other faces.
type Links struct {
	Self    string `json:"self"`
	Page    string `json:"page,omitempty" doc:"The order page, where whoever has this address sees the keys. In the answer to a new order, and elsewhere for tokens with keys:read."`
	History string `json:"history,omitempty"`
}

// LineView is a line item as the API shows it.
type LineView struct {
	ID            string        `json:"id"`
	FulfillmentID string        `json:"fulfillmentId"`
	OrderID       string        `json:"orderId,omitempty"`
	ProductID     string        `json:"productId"`
	Name          string        `json:"name,omitempty" doc:"As a checkout link sold it. This, sku and offerId are of such lines alone."`
	SKU           string        `json:"sku,omitempty"`
	OfferID       string        `json:"offerId,omitempty" doc:"The offer that replaced the line."`
	Quantity      int           `json:"quantity"`
	GrossPrice    string        `json:"grossPrice"`
	Operation     OperationName `json:"operation"`
	LicenseID     string        `json:"licenseId,omitempty" doc:"The licence that it acts on; of a create its own fulfillmentId, once it is delivered."`
	Status        LineStatus    `json:"status" enum:"PENDING,OBTAINED,RETRYING,WAITING_FOR_STOCK,HELD,DELIVERED,CANCELING,CANCELED"`
	Source        string        `json:"source,omitempty"`
	Attempts      int           `json:"attempts,omitempty" doc:"Attempts of the current step; once the line is decided, the calls of partners that it took."`
	LastError     *Failure      `json:"lastError,omitempty"`
	NextAttemptAt *time.Time    `json:"nextAttemptAt,omitempty"`
	PartnerDown   bool          `json:"partnerDown,omitempty" doc:"The partner does not answer anybody: the line is called up as soon as it does, at no time that could be told."`
	GiveUpAt      *time.Time    `json:"giveUpAt,omitempty"`
	Refund        *RefundView   `json:"refund,omitempty"`
	DeliveredAt   *time.Time    `json:"deliveredAt,omitempty"`
	CanceledAt    *time.Time    `json:"canceledAt,omitempty"`

	AttemptLog  []AttemptView    `json:"attemptLog,omitempty"`
	Resolutions []ResolutionView `json:"resolutions,omitempty"`
	Deliveries  []DeliveryView   `json:"deliveries,omitempty"`
	NewAddress  *AskedAddress    `json:"newAddress,omitempty" doc:"The address that its customer gave on the order page and that waits for a yes."`
}

// AskedAddress is an address that a customer gave for an order, and that waits for a person's yes.
type AskedAddress struct {
	Email string    `json:"email,omitempty" doc:"With include=customer."`
	At    time.Time `json:"at"`
}

// RefundView is where a line's refund stands.
type RefundView struct {
	Status RefundStatus `json:"status" enum:"PENDING,DONE"`
	Amount string       `json:"amount"`
	Reason string       `json:"reason,omitempty"`
	DoneAt *time.Time   `json:"doneAt,omitempty"`
	// Reference is what the provider calls the refund, or the person who made it by hand.
	Reference   string `json:"reference,omitempty"`
	ConfirmedBy string `json:"confirmedBy,omitempty"` // of a refund by hand
}

// AttemptView is one call of a source. Request and Reply are redacted.
type AttemptView struct {
	No         int            `json:"no"`
	StartedAt  time.Time      `json:"startedAt"`
	DurationMs *int           `json:"durationMs,omitempty"`
	Source     string         `json:"source"`
	Operation  string         `json:"operation"`
	Outcome    AttemptOutcome `json:"outcome" enum:"running,success,failed,unknown,late"`
	HTTPStatus *int           `json:"httpStatus,omitempty"`
	ErrorKind  string         `json:"errorKind,omitempty"`
	ErrorCode  string         `json:"errorCode,omitempty"`
	Message    string         `json:"message,omitempty"`
	Request    string         `json:"request,omitempty"`
	Reply      string         `json:"reply,omitempty"`
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
	ID     string         `json:"id"`
	Number int            `json:"number"`
	Kind   DeliveryKind   `json:"kind" enum:"keys,canceled,addressChanged"`
	Status DeliveryStatus `json:"status" enum:"READY,SENDING,SENT"`
	SentAt *time.Time     `json:"sentAt,omitempty"`
	// What came back of it.
	Bounces []BounceView `json:"bounces,omitempty" doc:"What mail servers and providers reported of it."`
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

// LicenseView is a licence: one entry of a customer's purchase history.
type LicenseView struct {
	ID             string        `json:"id"`
	Status         LicenseStatus `json:"status" enum:"Running,Paused,Canceled,Expired"`
	ProductID      string        `json:"productId"`
	ProductName    string        `json:"productName"`
	OrderID        string        `json:"orderId"`
	SubscriptionID string        `json:"subscriptionId,omitempty"`
	Quantity       int           `json:"quantity"`
	Source         string        `json:"source,omitempty"`
	CreatedAt      time.Time     `json:"createdAt"`
	DeliveredAt    *time.Time    `json:"deliveredAt,omitempty"`
	ExpiresAt      *time.Time    `json:"expiresAt,omitempty" doc:"The end of its term, where somebody said it."`

	Operations []OperationView `json:"operations" doc:"What was done to it and what is under way, in the order in which it applies; the create is not among them."`

	ActivationCodes []string `json:"activationCodes,omitempty"`
	ActivationLink  string   `json:"activationLink,omitempty"` // the first one
	ActivationLinks []string `json:"activationLinks,omitempty"`

	ReplacedCodes []string `json:"replacedCodes,omitempty" doc:"Keys that were recalled: activationCodes has the ones that replaced them."`
}

// OperationView is one operation on a licence.
type OperationView struct {
	FulfillmentID string        `json:"fulfillmentId"`
	OrderID       string        `json:"orderId"`
	Operation     OperationName `json:"operation" enum:"renew,upgrade,pause,resume,cancel"`
	ProductID     string        `json:"productId"`
	Status        LineStatus    `json:"status" enum:"PENDING,OBTAINED,RETRYING,WAITING_FOR_STOCK,HELD,DELIVERED,CANCELING,CANCELED"`
	CreatedAt     time.Time     `json:"createdAt"`
	DeliveredAt   *time.Time    `json:"deliveredAt,omitempty"`
	From          LicenseStatus `json:"from,omitempty" doc:"The licence's status before; absent until the operation is done."`
	To            LicenseStatus `json:"to,omitempty" doc:"The licence's status after it."`
	WithdrawnAt   *time.Time    `json:"withdrawnAt,omitempty" doc:"When its order was taken back: the licence is as it was before."`
}

// PoolView is a pool with its stock.
type PoolView struct {
	Pool
	Stock    Stock       `json:"stock"`
	Forecast Forecast    `json:"forecast"`
	Batches  []BatchView `json:"batches"`
}

// Stock counts a pool's keys by what became of them, and the lines that wait for it.
type Stock struct {
	Available   int64 `json:"available"`
	Claimed     int64 `json:"claimed"`
	Delivered   int64 `json:"delivered"`
	Quarantined int64 `json:"quarantined"`
	Recalled    int64 `json:"recalled"`
	Expired     int64 `json:"expired"`
	Withdrawn   int64 `json:"withdrawn"`
	Waiting     int64 `json:"waiting"`
}

// BatchView is one import.
type BatchView struct {
	BatchID   string    `json:"batchId"`
	Accepted  int       `json:"accepted"`
	Rejected  int       `json:"rejected"`
	CreatedBy string    `json:"createdBy"`
	CreatedAt time.Time `json:"createdAt"`

	UndoneAt   *time.Time `json:"undoneAt,omitempty"`
	UndoneBy   string     `json:"undoneBy,omitempty"`
	RecalledAt *time.Time `json:"recalledAt,omitempty"`
}
