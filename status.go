package keyturn

import "slices"

// LineStatus is where a line item stands.
type LineStatus string

const (
	// LinePending: accepted; nothing has gone wrong so far.
	LinePending LineStatus = "PENDING"
	// LineObtained: the deliverable is ours, at the first attempt; the e-mail is on its way.
	LineObtained LineStatus = "OBTAINED"
	// LineRetrying: a step failed; Keyturn tries again by the product's policy. A line that was in trouble stays in
	// RETRYING until its e-mail is accepted, also once its keys are obtained, so that its order does not flicker.
	LineRetrying LineStatus = "RETRYING"
	// LineWaitingForStock: the pool has too few keys; the next import serves the line.
	LineWaitingForStock LineStatus = "WAITING_FOR_STOCK"
	// LineHeld: a person stopped the retries; nothing happens until they are released or the deadline passes.
	LineHeld LineStatus = "HELD"
	// LineDelivered: the mail server accepted the e-mail with the keys. Final unless the order is cancelled.
	LineDelivered LineStatus = "DELIVERED"
	// LineCanceling: given up; the money is on its way back.
	LineCanceling LineStatus = "CANCELING"
	// LineCanceled: the money is back. Final.
	LineCanceled LineStatus = "CANCELED"
)

// LineStatuses are all statuses in the order of a line's life.
var LineStatuses = []LineStatus{
	LinePending, LineObtained, LineRetrying, LineWaitingForStock, LineHeld, LineDelivered, LineCanceling, LineCanceled,
}

// LineTransitions is the one table of what may follow what. The database has the same rows in line_transitions, the
// chart in docs/understand/state-machine.md shows them, and a test keeps the three equal.
var LineTransitions = map[LineStatus][]LineStatus{
	LinePending:         {LineObtained, LineRetrying, LineWaitingForStock, LineHeld, LineCanceling},
	LineObtained:        {LineRetrying, LineHeld, LineDelivered, LineCanceling},
	LineRetrying:        {LineWaitingForStock, LineHeld, LineDelivered, LineCanceling},
	LineWaitingForStock: {LineRetrying, LineHeld, LineCanceling},
	LineHeld:            {LineRetrying, LineCanceling},
	LineDelivered:       {LineCanceling},
	LineCanceling:       {LineCanceled},
	LineCanceled:        {},
}

// CanBecome says whether the table has the step.
func (s LineStatus) CanBecome(next LineStatus) bool { return slices.Contains(LineTransitions[s], next) }

// Open says that the line still owes its customer a key or money.
func (s LineStatus) Open() bool { return s != LineDelivered && s != LineCanceled }

// InTrouble says that something failed and the line is not yet decided.
func (s LineStatus) InTrouble() bool {
	return s == LineRetrying || s == LineWaitingForStock || s == LineHeld
}

// OrderStatus is where an order stands: always OrderStatusOf its lines.
type OrderStatus string

const (
	// OrderPending: lines are under way and none is in trouble.
	OrderPending OrderStatus = "PENDING"
	// OrderPartialCompleted: a line failed and is not decided yet; so it is from the first failure on.
	OrderPartialCompleted OrderStatus = "PARTIAL_COMPLETED"
	// OrderCompleted: every line is delivered.
	OrderCompleted OrderStatus = "COMPLETED"
	// OrderCancelPending: a line is being refunded and none is in trouble.
	OrderCancelPending OrderStatus = "CANCEL_PENDING"
	// OrderPartialCanceled: every line is decided; some were delivered, some refunded.
	OrderPartialCanceled OrderStatus = "PARTIAL_CANCELED"
	// OrderCanceled: every line is refunded.
	OrderCanceled OrderStatus = "CANCELED"
)

// OrderStatuses are all order statuses.
var OrderStatuses = []OrderStatus{
	OrderPending, OrderPartialCompleted, OrderCompleted, OrderCancelPending, OrderPartialCanceled, OrderCanceled,
}

// LineCounts counts the lines of one order by what they mean for it. The database keeps the same numbers in the order's
// row, so that a line's step costs the same in an order of one line and of five thousand.
type LineCounts struct {
	Total     int
	Trouble   int
	Delivered int
	Canceling int
	Canceled  int
}

// Move changes the counts as a line goes from one status to another.
func (c *LineCounts) Move(from, to LineStatus) {
	c.add(from, -1)
	c.add(to, +1)
}

func (c *LineCounts) add(s LineStatus, n int) {
	switch s {
	case LineRetrying, LineWaitingForStock, LineHeld:
		c.Trouble += n
	case LineDelivered:
		c.Delivered += n
	case LineCanceling:
		c.Canceling += n
	case LineCanceled:
		c.Canceled += n
	case LinePending, LineObtained: // what is left of Total
	}
}

// OrderStatusOf is the status of an order whose lines are counted in c: a pure function, used wherever a status is
// needed and recomputed by the audit.
func OrderStatusOf(c LineCounts) OrderStatus {
	switch {
	case c.Canceled == c.Total:
		return OrderCanceled
	case c.Delivered == c.Total:
		return OrderCompleted
	case c.Trouble > 0:
		return OrderPartialCompleted
	case c.Canceling > 0:
		return OrderCancelPending
	case c.Delivered+c.Canceled == c.Total:
		return OrderPartialCanceled
	case c.Canceled > 0:
		return OrderPartialCompleted
	}
	return OrderPending
}

// Final says that every line of the order is decided.
func (s OrderStatus) Final() bool {
	return s == OrderCompleted || s == OrderPartialCanceled || s == OrderCanceled
}
