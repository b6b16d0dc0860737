package audit

import (
	"context"
	"os"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// PaymentLog are the books of a provider that keeps them elsewhere: a journal of JSON lines, as the payment emulator
// writes.
type PaymentLog struct {
	provider string
	path     string
	entries  []paymentEntry
}

type paymentEntry struct {
	Time        time.Time `json:"ts"`
	Op          string    `json:"op"` // capture or refund
	Key         string    `json:"key"`
	Reference   string    `json:"reference"`
	OrderID     string    `json:"orderId"`
	AmountMinor int64     `json:"amountMinor"`
	Currency    string    `json:"currency"`
	Applied     bool      `json:"applied"`
	ID          string    `json:"id"`
}

// OpenPaymentLog finds the journal of a provider, by the provider's name in orders.
func OpenPaymentLog(provider, path string) (*PaymentLog, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the books of %s must be a file of JSON lines, not %s: %w", provider,
			path, err)
	}
	return &PaymentLog{provider: provider, path: path}, nil
}

// Provider is part of Payments.
func (l *PaymentLog) Provider() string { return l.provider }

// Read is part of Payments.
func (l *PaymentLog) Read(context.Context) (err error) {
	l.entries, err = readLines[paymentEntry](l.path, "the books of "+l.provider)
	return err
}

// Captured is part of Payments.
func (l *PaymentLog) Captured() (string, map[string]any) {
	var references, orders, currencies []string
	var minor []int64
	var times []time.Time
	for _, e := range l.entries {
		if e.Op == "capture" && e.Applied {
			references, orders, currencies = append(references, e.Reference), append(orders, e.OrderID),
				append(currencies, e.Currency)
			minor, times = append(minor, e.AmountMinor), append(times, e.Time)
		}
	}
	return `SELECT c.* FROM unnest(CAST(:c_references AS text[]), CAST(:c_orders AS text[]), CAST(:c_minor AS bigint[]),
		CAST(:c_currency AS text[]), CAST(:c_times AS timestamptz[]))
			AS c (reference, order_id, amount_minor, currency, at)`,
		map[string]any{
			"c_references": pq.Array(references), "c_orders": pq.Array(orders), "c_minor": pq.Array(minor),
			"c_currency": pq.Array(currencies), "c_times": pq.Array(times),
		}
}

// Refunded is part of Payments.
func (l *PaymentLog) Refunded() (string, map[string]any) {
	tries := map[string]int64{}
	for _, e := range l.entries {
		if e.Op == "refund" {
			tries[e.Key]++
		}
	}
	var keys, ids, references, orders []string
	var minor, asked []int64
	for _, e := range l.entries {
		if e.Op == "refund" && e.Applied {
			keys, ids, references, orders = append(keys, e.Key), append(ids, e.ID), append(references, e.Reference),
				append(orders, e.OrderID)
			minor, asked = append(minor, e.AmountMinor), append(asked, tries[e.Key])
		}
	}
	return `SELECT r.* FROM unnest(CAST(:r_keys AS text[]), CAST(:r_ids AS text[]), CAST(:r_references AS text[]),
		CAST(:r_orders AS text[]), CAST(:r_minor AS bigint[]), CAST(:r_tries AS bigint[]))
			AS r (key, id, reference, order_id, amount_minor, tries)`,
		map[string]any{
			"r_keys": pq.Array(keys), "r_ids": pq.Array(ids), "r_references": pq.Array(references), "r_orders": pq.Array(orders),
			"r_minor": pq.Array(minor), "r_tries": pq.Array(asked),
		}
}
