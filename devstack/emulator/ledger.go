package emulator

import (
	"slices"
	"strings"
	"time"
)

// License is a partner's record of one fulfillment.
type License struct {
	Partner       string    `json:"partner"`
	FulfillmentID string    `json:"fulfillmentId"`
	OrderID       string    `json:"orderId,omitempty"`
	LineItemID    string    `json:"lineItemId,omitempty"`
	ProductID     string    `json:"productId,omitempty"`
	Keys          []string  `json:"keys"`              // every key ever issued for it, in order
	Extends       string    `json:"extends,omitempty"` // the fulfillment whose key a renewal or upgrade kept
	Status        string    `json:"status"`            // Running, Paused, Canceled
	IssuedAt      time.Time `json:"issuedAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// The statuses of a License.
const (
	StatusRunning  = "Running"
	StatusPaused   = "Paused"
	StatusCanceled = "Canceled"
)

// ledger is the state of all partners. Only apply changes it, so replaying the journal rebuilds it.
type ledger struct {
	licenses  map[string]*License  // by partner and fulfillment ID
	byKey     map[string]*License  // by partner and key: a renewal under a new ID finds what it renews
	order     []*License           // in the order of arrival
	answers   map[string][]string  // by request: the keys it was answered with
	refusals  map[string]int       // by request: how often fail-N refused it
	notBefore map[string]time.Time // by request: when rate-limit lets it pass
}

func newLedger() *ledger {
	return &ledger{
		licenses: map[string]*License{}, byKey: map[string]*License{}, answers: map[string][]string{},
		refusals: map[string]int{}, notBefore: map[string]time.Time{},
	}
}

func joined(parts ...string) string { return strings.Join(parts, "\x00") }

// requestKey identifies a request: its repetitions have the same key. Renewals recur under one fulfillment ID with a
// new order each term, so order and line are part of it.
func (e Entry) requestKey() string {
	if e.FulfillmentID == "" {
		return joined(e.Partner, e.Op, "", e.ProductID)
	}
	return joined(e.Partner, e.Op, e.FulfillmentID, e.OrderID, e.LineItemID, e.Unit)
}

func (l *ledger) license(partner, fulfillmentID string) *License {
	if fulfillmentID == "" {
		return nil
	}
	return l.licenses[joined(partner, fulfillmentID)]
}

// given returns the keys that the same request was answered with before. Without a fulfillment ID (a bare dynamic URL)
// requests cannot be told apart, so each gets a new key.
func (l *ledger) given(e Entry) ([]string, bool) {
	if e.FulfillmentID == "" {
		return nil, false
	}
	keys, ok := l.answers[e.requestKey()]
	return keys, ok
}

// apply is the only function that changes the ledger.
func (l *ledger) apply(e Entry) {
	l.countFault(e)
	switch e.Effect {
	case EffectIssued:
		l.issue(e)
	case EffectExtended:
		l.extend(e)
	case EffectCanceled:
		l.setStatus(e, StatusCanceled)
	case EffectPaused:
		l.setStatus(e, StatusPaused)
	case EffectResumed:
		l.setStatus(e, StatusRunning)
	}
}

func (l *ledger) issue(e Entry) {
	lic := l.setStatus(e, StatusRunning)
	if len(lic.Keys) == 0 {
		lic.IssuedAt = e.Time
	}
	for _, key := range e.allKeys() {
		if !slices.Contains(lic.Keys, key) {
			lic.Keys = append(lic.Keys, key)
		}
		l.byKey[joined(e.Partner, key)] = lic
	}
	l.answers[e.requestKey()] = e.allKeys()
}

// extend keeps the key and records it under the requesting fulfillment, which may be a new one.
func (l *ledger) extend(e Entry) {
	l.answers[e.requestKey()] = e.allKeys()
	lic := l.setStatus(e, StatusRunning)
	if len(lic.Keys) > 0 {
		return
	}
	lic.Keys, lic.IssuedAt = e.allKeys(), e.Time
	if before := l.byKey[joined(e.Partner, e.KeyIssued)]; before != nil {
		lic.Extends = before.FulfillmentID
		before.Status, before.UpdatedAt = StatusRunning, e.Time
	}
}

// setStatus sets the status of a license and creates the license if it is new: a cancel may arrive before its create.
func (l *ledger) setStatus(e Entry, status string) *License {
	lic := l.license(e.Partner, e.FulfillmentID)
	if lic == nil {
		lic = &License{
			Partner: e.Partner, FulfillmentID: e.FulfillmentID, OrderID: e.OrderID, LineItemID: e.LineItemID,
			ProductID: e.ProductID,
		}
		if e.FulfillmentID != "" {
			l.licenses[joined(e.Partner, e.FulfillmentID)] = lic
		}
		l.order = append(l.order, lic)
	}
	lic.Status, lic.UpdatedAt = status, e.Time
	return lic
}

// countFault updates the state of the drills fail-N and rate-limit.
func (l *ledger) countFault(e Entry) {
	if e.Fault == "" || e.StatusSent < 400 {
		return
	}
	d, err := parseDrill(e.Fault)
	if err != nil {
		return
	}
	key := e.requestKey()
	switch d.name {
	case drillFail:
		l.refusals[key]++
	case drillRateLimit:
		if _, seen := l.notBefore[key]; !seen {
			l.notBefore[key] = e.Time.Add(time.Duration(d.number) * time.Second)
		}
	}
}

// issued returns copies of the licenses that have keys.
func (l *ledger) issued() []License {
	out := make([]License, 0, len(l.order))
	for _, lic := range l.order {
		if len(lic.Keys) > 0 {
			c := *lic
			c.Keys = slices.Clone(lic.Keys)
			out = append(out, c)
		}
	}
	return out
}
