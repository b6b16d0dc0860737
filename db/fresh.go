package db

import (
	"slices"
	"time"

	"keyturn.dev/keyturn"
)

// freshLine is a line of an order that is being stored, as look will find it: what its workflow starts with is its next.
// op is nil unless the line has more than every line has.
func freshLine(o keyturn.Order, l keyturn.LineItem, price keyturn.Money, first firstLook, relayAt *time.Time, op *operationLine) (line, error) {
	out := line{
		ID: l.ID, FulfillmentID: l.FulfillmentID, OrderID: o.ID, ProductID: l.ProductID, Quantity: l.Quantity, GrossMinor: price.Minor,
		Operation: string(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext, Status: keyturn.LinePending, Version: 1,
		SourceStartedAt: first.Now, WakeAt: relayAt, CreatedAt: first.Now, Currency: o.Currency, CustomerID: o.Customer.ID, Now: first.Now, readAt: first.readAt,
	}
	if op != nil {
		out.LicenseID, out.LicenseSource, out.Blocked = op.licenseID, op.source, op.blocked
	}
	no := slices.Index(first.ProductIDs, l.ProductID)
	out.ProductSpec = first.Specs[no]
	if first.Currencies[no] != "" {
		out.Currencies = &first.Currencies[no]
	}
	return out, out.init()
}

// freshFor is how long what was accepted stands for a look: less than somebody takes to see the order and decide on it.
const freshFor = time.Second

// maxFresh bounds what is kept of one order: the lines of a large one do not have their first step within a second.
const maxFresh = 20

// keepFresh remembers lines that were just stored, for their first step. One that has more than every line has is read.
func (d *DB) keepFresh(lines []line, ops *operations, sealed, customerKey []byte) {
	for i, l := range lines[:min(len(lines), maxFresh)] {
		if ops.lines[i] == nil {
			l.CustomerSealed, l.CustomerKey = sealed, customerKey
			d.fresh.keep(l.FulfillmentID, l)
		}
	}
}
