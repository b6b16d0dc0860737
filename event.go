package keyturn

import (
	"slices"
	"strings"
	"time"
)

// EventType is what an event tells of, such as order.completed.
type EventType string

// The types of events. EventTypes has the table of them.
const (
	EventOrderCreated            EventType = "order.created"
	EventOrderPartiallyCompleted EventType = "order.partially_completed"
	EventOrderCompleted          EventType = "order.completed"
	EventOrderCancelPending      EventType = "order.cancel_pending"
	EventOrderPartiallyCanceled  EventType = "order.partially_canceled"
	EventOrderCanceled           EventType = "order.canceled"

	EventLineObtained        EventType = "line.obtained"
	EventLineRetrying        EventType = "line.retrying"
	EventLineWaitingForStock EventType = "line.waiting_for_stock"
	EventLineHeld            EventType = "line.held"
	EventLineDelivered       EventType = "line.delivered"
	EventLineCanceled        EventType = "line.canceled"

	EventRefundCompleted EventType = "refund.completed"
	EventRefundFailed    EventType = "refund.failed"
	EventRefundExternal  EventType = "refund.external"

	EventLicenseCreated  EventType = "license.created"
	EventLicenseRenewed  EventType = "license.renewed"
	EventLicenseUpgraded EventType = "license.upgraded"
	EventLicensePaused   EventType = "license.paused"
	EventLicenseResumed  EventType = "license.resumed"
	EventLicenseCanceled EventType = "license.canceled"
	EventLicenseExpired  EventType = "license.expired"

	EventLinkCreated       EventType = "checkout.link_created"
	EventLinkOpened        EventType = "checkout.link_opened"
	EventLinkUsed          EventType = "checkout.link_used"
	EventLinkExpired       EventType = "checkout.link_expired"
	EventLinkCanceled      EventType = "checkout.link_canceled"
	EventCheckoutAbandoned EventType = "checkout.abandoned"

	EventPaymentProcessing    EventType = "payment.processing"
	EventPaymentAuthorized    EventType = "payment.authorized"
	EventPaymentCaptured      EventType = "payment.captured"
	EventPaymentVoided        EventType = "payment.voided"
	EventPaymentLost          EventType = "payment.lost"
	EventPaymentFailed        EventType = "payment.failed"
	EventPaymentMismatch      EventType = "payment.mismatch"
	EventPaymentDisputed      EventType = "payment.disputed"
	EventPaymentDisputeClosed EventType = "payment.dispute_closed"
	EventPaymentFraudWarning  EventType = "payment.fraud_warning"

	EventPoolThreshold EventType = "pool.threshold_reached"
	EventPoolEmpty     EventType = "pool.empty"
	EventPoolRefilled  EventType = "pool.refilled"

	EventPartnerDown EventType = "partner.down"
	EventPartnerBack EventType = "partner.back"

	EventAlertOpened EventType = "alert.opened"
	EventAlertClosed EventType = "alert.closed"

	EventEmailBounced EventType = "email.bounced"

	EventWebhookTest EventType = "webhook.test"
)

// EventInfo says of a type of events when it comes, and shows one.
type EventInfo struct {
	Type    EventType
	When    string // a sentence's end: "comes when …"
	Example any    // a value of the type of the data that every event of the type has
}

// Info is the type's entry in EventTypes; the zero value for a type that this version does not know.
func (t EventType) Info() EventInfo {
	for _, info := range EventTypes {
		if info.Type == t {
			return info
		}
	}
	return EventInfo{}
}

// Matches says whether the type is one that a pattern names: all of them (*), those of a family (order.*), or one.
func (t EventType) Matches(pattern string) bool {
	family, _, _ := strings.Cut(string(t), ".")
	return slices.Contains([]string{string(t), family + ".*", "*"}, pattern)
}

// ValidEventPattern says whether a pattern names at least one type.
func ValidEventPattern(pattern string) bool {
	return slices.ContainsFunc(EventTypes, func(i EventInfo) bool { return i.Type.Matches(pattern) })
}

// Event is what a receiver gets: the body of a request, and an entry of a list to pull. The same event has the same
// bytes whenever it is sent, except that a replay says so.
type Event struct {
	Type      EventType `json:"type" example:"line.delivered"`
	Timestamp time.Time `json:"timestamp" doc:"When it happened."`
	Replay    bool      `json:"replay,omitempty" doc:"True if the event is sent again because somebody asked for a replay."`
	Data      any       `json:"data" doc:"What happened, by type. See docs/use/notifications.md."`
}

// OrderEvent is the data of order events.
type OrderEvent struct {
	OrderID    string      `json:"orderId"`
	Status     OrderStatus `json:"status"`
	GrossPrice string      `json:"grossPrice"`
	Currency   string      `json:"currency"`
	Version    int64       `json:"version" doc:"Grows from each event of the order to the next: drop one that is older."`
	Link       *EventLink  `json:"link,omitempty" doc:"The checkout link that made the order."`
	Links      EventLinks  `json:"links"`
}

// LineEvent is the data of line events.
type LineEvent struct {
	OrderID       string        `json:"orderId"`
	Status        OrderStatus   `json:"status" doc:"Of the order."`
	FulfillmentID string        `json:"fulfillmentId"`
	LineItemID    string        `json:"lineItemId"`
	LineStatus    LineStatus    `json:"lineStatus"`
	ProductID     string        `json:"productId"`
	Operation     OperationName `json:"operation"`
	Quantity      int           `json:"quantity"`
	GrossPrice    string        `json:"grossPrice" doc:"Of the whole line."`
	Currency      string        `json:"currency"`
	Failure       Kind          `json:"failure,omitempty" doc:"Why the line is not delivered yet, in one word."`
	Version       int64         `json:"version" doc:"Grows from each event of the line to the next: drop one that is older."`
	Link          *EventLink    `json:"link,omitempty" doc:"The checkout link that made the order."`
	Links         EventLinks    `json:"links"`
}

// EventLink names the checkout link that made an order.
type EventLink struct {
	ID        string `json:"id"`
	Reference string `json:"reference,omitempty" doc:"The shop's own."`
}

// EventLinks lead to the whole of what an event is about.
type EventLinks struct {
	Self string `json:"self" doc:"Path of the API."`
}

// RefundEvent is the data of refund events.
type RefundEvent struct {
	OrderID       string     `json:"orderId" doc:"Of a payment from which no order came: the ID that the order would have."`
	FulfillmentID string     `json:"fulfillmentId,omitempty" doc:"Of the line whose money it is."`
	LineItemID    string     `json:"lineItemId,omitempty"`
	PaymentID     string     `json:"paymentId,omitempty" doc:"Of a checkout link's payment, where it is not of one line alone."`
	Amount        string     `json:"amount"`
	Currency      string     `json:"currency"`
	Link          *EventLink `json:"link,omitempty" doc:"The checkout link that made the order."`
	Links         EventLinks `json:"links"`
}

// LicenseEvent is the data of licence events.
type LicenseEvent struct {
	LicenseID     string        `json:"licenseId"`
	Status        LicenseStatus `json:"status"`
	ProductID     string        `json:"productId"`
	ExpiresAt     *time.Time    `json:"expiresAt,omitempty"`
	OrderID       string        `json:"orderId" doc:"Of the operation; of a cancelled or expired licence, the order that made it."`
	FulfillmentID string        `json:"fulfillmentId"`
	Link          *EventLink    `json:"link,omitempty" doc:"The checkout link that made the order."`
	Links         EventLinks    `json:"links"`
}

// CheckoutEvent is the data of checkout events.
type CheckoutEvent struct {
	OrderID string     `json:"orderId" doc:"The ID of the order that the link makes."`
	Status  LinkStatus `json:"status"`
	Version int64      `json:"version" doc:"Never falls from one event of the link to the next: drop one that is older."`
	Link    *EventLink `json:"link"`
	Links   EventLinks `json:"links"`
}

// PaymentEvent is the data of payment events.
type PaymentEvent struct {
	PaymentID  string        `json:"paymentId,omitempty" doc:"Absent where the order came in paid."`
	OrderID    string        `json:"orderId" doc:"The ID of the order that the link makes, or that came in paid."`
	Status     PaymentStatus `json:"status"`
	Currency   string        `json:"currency"`
	Authorized string        `json:"authorized"`
	Captured   string        `json:"captured"`
	Refunded   string        `json:"refunded"`
	CaptureBy  *time.Time    `json:"captureBy,omitempty" doc:"When the authorization ends."`
	Version    int64         `json:"version" doc:"Never falls from one event of the payment to the next: drop one that is older."`
	Dispute    *EventDispute `json:"dispute,omitempty" doc:"Of payment.disputed and payment.dispute_closed."`
	Link       *EventLink    `json:"link,omitempty" doc:"Absent where the order came in paid."`
	Links      EventLinks    `json:"links"`
}

// EventDispute is a dispute of a payment at the customer's bank.
type EventDispute struct {
	ID            string        `json:"id" doc:"The payment provider's."`
	Status        DisputeStatus `json:"status" enum:"open,won,lost"`
	Amount        string        `json:"amount"`
	Currency      string        `json:"currency"`
	EvidenceDueBy *time.Time    `json:"evidenceDueBy,omitempty"`
}

// PoolEvent is the data of pool events.
type PoolEvent struct {
	PoolID    string     `json:"poolId"`
	Available int64      `json:"available" doc:"Keys that are left."`
	Links     EventLinks `json:"links"`
}

// PartnerEvent is the data of partner events.
type PartnerEvent struct {
	IntegrationID string     `json:"integrationId"`
	Links         EventLinks `json:"links"`
}

// AlertEvent is the data of alert events. What happened, in words, has the alert itself.
type AlertEvent struct {
	AlertID       int64      `json:"alertId"`
	Cause         AlertCause `json:"cause"`
	Severity      Severity   `json:"severity"`
	OrderID       string     `json:"orderId,omitempty"`
	FulfillmentID string     `json:"fulfillmentId,omitempty"`
	PoolID        string     `json:"poolId,omitempty"`
	Subject       string     `json:"subject,omitempty" doc:"What it is about, if it is neither a line nor a pool, such as endpoint/acme."`
	Links         EventLinks `json:"links"`
}

// TestEvent is the data of webhook.test.
type TestEvent struct {
	Webhook string `json:"webhook"`
}
