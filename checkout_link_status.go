package keyturn

import "slices"

// LinkStatus is where a checkout link stands.
type LinkStatus string

const (
	// LinkOpen: whoever has its address can buy.
	LinkOpen LinkStatus = "OPEN"
	// LinkPaying: a customer has begun to pay.
	LinkPaying LinkStatus = "PAYING"
	// LinkUsed: it has made its order. Final.
	LinkUsed LinkStatus = "USED"
	// LinkExpired: its time is over. Final.
	LinkExpired LinkStatus = "EXPIRED"
	// LinkCanceled: the shop has withdrawn it. Final.
	LinkCanceled LinkStatus = "CANCELED"
)

// LinkStatuses are all statuses in the order of a link's life.
var LinkStatuses = []LinkStatus{LinkOpen, LinkPaying, LinkUsed, LinkExpired, LinkCanceled}

// LinkTransitions is the one table of what may follow what. The database has the same rows in link_may_become, the
// chart in docs/understand/state-machine.md shows them, and a test keeps the three equal.
var LinkTransitions = map[LinkStatus][]LinkStatus{
	LinkOpen:     {LinkPaying, LinkUsed, LinkExpired, LinkCanceled},
	LinkPaying:   {LinkOpen, LinkUsed},
	LinkUsed:     {},
	LinkExpired:  {},
	LinkCanceled: {},
}

// CanBecome says whether the table has the step.
func (s LinkStatus) CanBecome(next LinkStatus) bool { return slices.Contains(LinkTransitions[s], next) }
