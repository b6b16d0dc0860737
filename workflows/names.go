// Package workflows says what happens next to a line item, durably and deterministically. The database decides what
// that is (keyturn.Next); a workflow carries it out, retries it, waits, listens to people and shows where things stand.
package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
)

// TaskQueue is the one task queue.
const TaskQueue = "keyturn"

// Names that people and other programs use towards a workflow.
const (
	ResolveName = "resolve" // signal and Update, with a keyturn.Resolution
	WakeName    = "wake"    // signal without payload: look at the database again
	StateName   = "state"   // query, answers State
)

// Search attributes, by which operators find workflows. LineStatus and NeedsAttention are there from the first failure
// on, and PaymentStatus from where a payment leaves the usual way: what goes well never pays for them, and its
// workflow's own status says all.
var (
	OrderIDKey        = temporal.NewSearchAttributeKeyKeyword("OrderId")
	ProductIDKey      = temporal.NewSearchAttributeKeyKeyword("ProductId")
	SourceKey         = temporal.NewSearchAttributeKeyKeyword("Source")
	LineStatusKey     = temporal.NewSearchAttributeKeyKeyword("LineStatus")
	NeedsAttentionKey = temporal.NewSearchAttributeKeyBool("NeedsAttention")
	PaymentStatusKey  = temporal.NewSearchAttributeKeyKeyword("PaymentStatus")
)

// SearchAttributes are what a namespace needs before a workflow can be started in it.
var SearchAttributes = []temporal.SearchAttributeKey{
	OrderIDKey, ProductIDKey, SourceKey, LineStatusKey,
	NeedsAttentionKey, PaymentStatusKey,
}

// LineInput starts the workflow of a line: FulfillLineItem from its acceptance, CancelLineItem for one that was
// delivered. Next is what the database said when the start was decided.
type LineInput struct {
	FulfillmentID string       `json:"fulfillmentId"`
	LineID        string       `json:"lineId,omitempty"` // for a restored database that does not have it
	OrderID       string       `json:"orderId"`
	ProductID     string       `json:"productId"`
	Next          keyturn.Next `json:"next"`
}

// Result is how a line ended.
type Result struct {
	Status keyturn.LineStatus `json:"status"`
}

// State answers the query `state`.
type State struct {
	keyturn.Next
	AsOf           time.Time `json:"asOf"` // by Temporal's clock: wait and left count from here
	IgnoredSignals int       `json:"ignoredSignals"`
}

// LineWorkflowID is the ID of a line's workflow.
func LineWorkflowID(fulfillmentID string) string { return "fulfillment-" + fulfillmentID }

// CancelWorkflowID is the ID of the workflow that refunds a delivered line.
func CancelWorkflowID(fulfillmentID string) string { return "cancel-" + fulfillmentID }

// RevokeWorkflowID is the ID of the workflow that tells a partner to cancel; subject is `<fulfillmentId>/<source>`.
func RevokeWorkflowID(subject string) string {
	return "revoke-" + strings.ReplaceAll(subject, "/", "-")
}

// FollowWorkflowID is the ID of the workflow that follows a payment that orders came in paid with; subject is
// `<provider>/<reference>`.
func FollowWorkflowID(subject string) string { return "paid-" + strings.ReplaceAll(subject, "/", "-") }

// SendWorkflowID is the ID of the workflow that sends a stored e-mail that is not a line's first.
func SendWorkflowID(deliveryID string) string { return "delivery-" + deliveryID }
