package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// Submission is a line of an order system's journal: written before a request leaves, and once more with the answer.
type Submission struct {
	At          time.Time `json:"at"`
	Key         string    `json:"key"` // idempotency key
	OrderID     string    `json:"orderId"`
	AmountMinor int64     `json:"amountMinor"`
	Currency    string    `json:"currency"`
	Status      int       `json:"status,omitempty"`   // of the answer; 0: the request is about to leave
	Answered    string    `json:"answered,omitempty"` // the order that a good answer names
}

// Submissions is the journal of all order systems together, outside of the product's reach. Each call reads it anew.
type Submissions func(ctx context.Context) ([]Submission, error)

// OpenSubmissions opens a journal of JSON lines.
func OpenSubmissions(path string) (Submissions, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the submission journal must be a file of JSON lines, not %s: %w",
			path, err)
	}
	return func(context.Context) ([]Submission, error) {
		return readLines[Submission](path, "the submission journal")
	}, nil
}

// readLines reads whole lines; a last one without its end is still being written.
func readLines[T any](path, what string) ([]T, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []T
	in := bufio.NewReader(file)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var e T
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "line %d of %s is no JSON", n, what)
		}
		out = append(out, e)
	}
}

// sentSQL is the journal as a relation: what was sent, and what was answered.
const sentSQL = `
	WITH journal AS (
		SELECT * FROM unnest(CAST(:sent_keys AS text[]), CAST(:sent_orders AS text[]), CAST(:sent_minor AS bigint[]),
			CAST(:sent_currency AS text[]),
			CAST(:sent_status AS int[]), CAST(:sent_answered AS text[])) AS j (key, order_id, minor, currency, status, answered)
	) `

var submissionProbes = []probe{
	{"A1", sentSQL + `
		SELECT DISTINCT j.order_id, NULL AS line_id, NULL AS subject,
			'its sender was told ' || j.status || ', and there is no such order' AS what
		FROM journal j LEFT JOIN orders o ON o.id = j.order_id
		WHERE j.status BETWEEN 200 AND 299 AND o.id IS NULL`},
	{"A2", sentSQL + `
		SELECT j.order_id, NULL AS line_id, NULL AS subject, 'its request was answered with order ' || j.answered AS what
		FROM journal j WHERE j.status BETWEEN 200 AND 299 AND j.answered <> j.order_id`},
	{"A3", sentSQL + `
		SELECT o.id AS order_id, NULL AS line_id, NULL AS subject, 'nobody sent it' AS what
		FROM orders o WHERE o.created_at < :seen AND o.payment_id IS NULL AND NOT EXISTS (SELECT FROM journal j WHERE j.order_id = o.id)`},
	{"A4", sentSQL + `
		SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
			'it costs ' || o.gross_minor || ' and ' || min(j.minor) || ' minor units were sent' AS what
		FROM orders o JOIN journal j ON j.order_id = o.id
		WHERE (o.gross_minor, o.currency) IS DISTINCT FROM (j.minor, j.currency)
		GROUP BY o.id, o.gross_minor`},
}

// checkSubmissions compares the orders with the submission journal.
func (r *run) checkSubmissions(ctx context.Context) error {
	if r.Submissions == nil {
		return nil
	}
	var keys, orders, currencies, answered []string
	var minor, status []int64
	for _, s := range r.submissions {
		keys, orders, currencies, answered = append(keys, s.Key), append(orders, s.OrderID), append(currencies, s.Currency),
			append(answered, s.Answered)
		minor, status = append(minor, s.AmountMinor), append(status, int64(s.Status))
	}
	given := map[string]any{
		"sent_keys": pq.Array(keys), "sent_orders": pq.Array(orders), "sent_minor": pq.Array(minor),
		"sent_currency": pq.Array(currencies),
		"sent_status":   pq.Array(status), "sent_answered": pq.Array(answered),
	}
	for _, p := range submissionProbes {
		if err := r.probe(ctx, p, given); err != nil {
			return err
		}
	}
	return nil
}
