package db

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
)

// CanarySample is a line with its secrets, and with the text that the database holds about it in clear.
type CanarySample struct {
	FulfillmentID, LineID, OrderID string
	Secrets                        []TextSecret
	Clear                          string
}

// TextSecret is a secret that would be found if it stood somewhere as text.
type TextSecret struct{ What, text string }

// Encodings are the forms in which the secret may appear in a text.
func (s TextSecret) Encodings() []string {
	quoted, _ := json.Marshal(s.text) //nolint:errchkjson // a string always marshals
	return []string{s.text, strings.Trim(string(quoted), `"`), url.QueryEscape(s.text), base64.StdEncoding.EncodeToString([]byte(s.text))}
}

// shortest is how long a text must be to be looked for: a short one stands anywhere by chance.
const shortest = 6

const canarySamplesSQL = `
	SELECT l.fulfillment_id, l.id AS line_id, l.order_id, o.customer_id, o.customer, c.data_key,
		concat_ws(' ', l.failure, l.cancel_reason, o.cancel_reason, l.trial_context,
			(SELECT string_agg(a.detail, ' ') FROM alerts a WHERE a.line_id = l.id), (SELECT string_agg(g.reason, ' ') FROM line_log g WHERE g.line_id = l.id AND g.by IN ('workflow', 'import', 'housekeeping')),
			(SELECT string_agg(concat_ws(' ', t.error_kind, t.error_code, t.source), ' ') FROM attempts t WHERE t.line_id = l.id),
			(SELECT string_agg(d.error, ' ') FROM deliveries d WHERE d.line_id = l.id), (SELECT r.error FROM refunds r WHERE r.line_id = l.id)) AS clear
	FROM line_items l JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
	WHERE l.id IN (SELECT id FROM line_items ORDER BY id DESC LIMIT :n)`

// CanarySamples gives the n lines that were accepted last.
func (s *Snapshot) CanarySamples(ctx context.Context, n int) ([]CanarySample, error) {
	var rows []struct {
		FulfillmentID string `db:"fulfillment_id"`
		LineID        string `db:"line_id"`
		OrderID       string `db:"order_id"`
		CustomerID    string `db:"customer_id"`
		Customer      []byte `db:"customer"`
		DataKey       []byte `db:"data_key"`
		Clear         string `db:"clear"`
	}
	if err := s.Select(ctx, &rows, canarySamplesSQL, map[string]any{"n": n}); err != nil {
		return nil, err
	}
	out := make([]CanarySample, len(rows))
	for i, r := range rows {
		t := CanarySample{FulfillmentID: r.FulfillmentID, LineID: r.LineID, OrderID: r.OrderID, Clear: r.Clear}
		add := func(what, text string) {
			if len(text) >= shortest {
				t.Secrets = append(t.Secrets, TextSecret{what, text})
			}
		}
		if dk, err := s.d.keys.OpenDataKey(r.DataKey, "customer/"+r.CustomerID); err == nil {
			var c storedCustomer
			if plain, err := dk.Open(r.Customer, "orders/"+r.OrderID); err == nil && json.Unmarshal(plain, &c) == nil {
				add("customer's e-mail address", c.Email)
				add("customer's last name", c.LastName)
				add("customer's street", c.Street)
			}
		}
		if found, err := s.d.deliverables(ctx, s.tx, r.LineID, r.CustomerID); err == nil { // nothing, of an erased customer
			for _, code := range found.Codes {
				add("key", code.Reveal())
			}
			add("link", found.Link)
		}
		out[i] = t
	}
	return out, nil
}
