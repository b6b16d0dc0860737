package emulator

import (
	"slices"
	"strings"
	"time"
)

// License is what a partner knows of one fulfillment.
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

// books is the partners' memory. It changes only by apply, so the journal can rebuild it.
type books struct {
	licenses  map[string]*License  // by partner and fulfillment ID
	byKey     map[string]*License  // by partner and key: a renewal under a new ID finds what it renews
	order     []*License           // as they came
	answers   map[string][]string  // by request: the keys that it was given
	refusals  map[string]int       // by request: how often fail-N refused it
	notBefore map[string]time.Time // by request: when rate-limit lets it pass
}

func newBooks() *books {
	return &books{
		licenses: map[string]*License{}, byKey: map[string]*License{}, answers: map[string][]string{},
		refusals: map[string]int{}, notBefore: map[string]time.Time{},
	}
}

func joined(parts ...string) string { return strings.Join(parts, "\x00") }

// requestKey says which requests are the same one. Renewals recur under one fulfillment ID with a new order each term,
// so order and line belong to it.
func (e Entry) requestKey() string {
	if e.FulfillmentID == "" {
		return joined(e.Partner, e.Op, "", e.ProductID)
	}
	return joined(e.Partner, e.Op, e.FulfillmentID, e.OrderID, e.LineItemID, e.Unit)
}

func (b *books) license(partner, fulfillmentID string) *License {
	if fulfillmentID == "" {
		return nil
	}
	return b.licenses[joined(partner, fulfillmentID)]
}

// given is what the same request was given before. Without a fulfillment ID (a bare dynamic URL) no two requests can be
// told apart, and each gets a new key.
func (b *books) given(e Entry) ([]string, bool) {
	if e.FulfillmentID == "" {
		return nil, false
	}
	keys, ok := b.answers[e.requestKey()]
	return keys, ok
}

// apply is the only way in which the books change.
func (b *books) apply(e Entry) {
	b.countFault(e)
	switch e.Effect {
	case EffectIssued:
		b.issue(e)
	case EffectExtended:
		b.extend(e)
	case EffectCanceled:
		b.setStatus(e, StatusCanceled)
	case EffectPaused:
		b.setStatus(e, StatusPaused)
	case EffectResumed:
		b.setStatus(e, StatusRunning)
	}
}

func (b *books) issue(e Entry) {
	l := b.setStatus(e, StatusRunning)
	if len(l.Keys) == 0 {
		l.IssuedAt = e.Time
	}
	for _, key := range e.allKeys() {
		if !slices.Contains(l.Keys, key) {
			l.Keys = append(l.Keys, key)
		}
		b.byKey[joined(e.Partner, key)] = l
	}
	b.answers[e.requestKey()] = e.allKeys()
}

// extend keeps the key, under the fulfillment that asks if that is another one.
func (b *books) extend(e Entry) {
	b.answers[e.requestKey()] = e.allKeys()
	l := b.setStatus(e, StatusRunning)
	if len(l.Keys) > 0 {
		return
	}
	l.Keys, l.IssuedAt = e.allKeys(), e.Time
	if before := b.byKey[joined(e.Partner, e.KeyIssued)]; before != nil {
		l.Extends = before.FulfillmentID
		before.Status, before.UpdatedAt = StatusRunning, e.Time
	}
}

// setStatus also makes the record of a fulfillment that the partner hears of for the first time: a cancel may come
// before its create.
func (b *books) setStatus(e Entry, status string) *License {
	l := b.license(e.Partner, e.FulfillmentID)
	if l == nil {
		l = &License{
			Partner: e.Partner, FulfillmentID: e.FulfillmentID, OrderID: e.OrderID, LineItemID: e.LineItemID,
			ProductID: e.ProductID,
		}
		if e.FulfillmentID != "" {
			b.licenses[joined(e.Partner, e.FulfillmentID)] = l
		}
		b.order = append(b.order, l)
	}
	l.Status, l.UpdatedAt = status, e.Time
	return l
}

// countFault keeps what fail-N and rate-limit remember about a request.
func (b *books) countFault(e Entry) {
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
		b.refusals[key]++
	case drillRateLimit:
		if _, seen := b.notBefore[key]; !seen {
			b.notBefore[key] = e.Time.Add(time.Duration(d.number) * time.Second)
		}
	}
}

// issued copies the records that have keys.
func (b *books) issued() []License {
	out := make([]License, 0, len(b.order))
	for _, l := range b.order {
		if len(l.Keys) > 0 {
			c := *l
			c.Keys = slices.Clone(l.Keys)
			out = append(out, c)
		}
	}
	return out
}
