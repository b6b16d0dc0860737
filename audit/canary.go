package audit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
)

// canarySample is a line with its secrets, and with the text that the database holds about it in clear.
type canarySample struct {
	FulfillmentID, LineID, OrderID string
	Secrets                        []textSecret
	Clear                          string
	Events                         string // what webhooks are told of its order
	Named                          string // what the shop calls the order, and its link
}

// textSecret is a secret that would be found if it stood somewhere as text.
type textSecret struct{ what, text string }

// encodings are the forms in which the secret may appear in a text.
func (s textSecret) encodings() []string {
	quoted, _ := json.Marshal(s.text) //nolint:errchkjson // a string always marshals
	return []string{
		s.text, strings.Trim(string(quoted), `"`), url.QueryEscape(s.text),
		base64.StdEncoding.EncodeToString([]byte(s.text)),
	}
}

// shortest is how long a text must be to be looked for: a short one stands anywhere by chance.
const shortest = 6

const canarySamplesSQL = `
	WITH newest AS MATERIALIZED (
		SELECT id, order_id FROM line_items ORDER BY id DESC LIMIT :n
	), told AS MATERIALIZED (
		SELECT about, string_agg(facts || ' ' || coalesce(body, ''), ' ') AS events FROM events
		WHERE about IN (SELECT order_id FROM newest) GROUP BY about
	)
	SELECT l.fulfillment_id, l.id AS line_id, l.order_id, o.customer_id, o.customer, c.data_key,
		concat_ws(' ', l.failure, l.cancel_reason, o.cancel_reason, l.trial_context,
			(SELECT string_agg(a.detail, ' ') FROM alerts a WHERE a.line_id = l.id),
				(SELECT string_agg(g.reason, ' ') FROM line_log g WHERE g.line_id = l.id
				AND g.by IN ('workflow', 'import', 'housekeeping')),
			(SELECT string_agg(concat_ws(' ', t.error_kind, t.error_code, t.source), ' ') FROM attempts t
				WHERE t.line_id = l.id),
			(SELECT string_agg(d.error, ' ') FROM deliveries d WHERE d.line_id = l.id),
				(SELECT r.error FROM refunds r WHERE r.line_id = l.id)) AS clear,
		coalesce(e.events, '') AS events,
		concat_ws(' ', o.id, (SELECT string_agg(k.reference, ' ') FROM checkout_links k WHERE k.order_id = o.id)) AS named
	FROM line_items l JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
	LEFT JOIN told e ON e.about = l.order_id
	WHERE l.id IN (SELECT id FROM newest)`

// canarySamples gives the n lines that were accepted last.
func (r *run) canarySamples(ctx context.Context, n int) ([]canarySample, error) {
	var rows []struct {
		FulfillmentID string `db:"fulfillment_id"`
		LineID        string `db:"line_id"`
		OrderID       string `db:"order_id"`
		CustomerID    string `db:"customer_id"`
		Customer      []byte `db:"customer"`
		DataKey       []byte `db:"data_key"`
		Clear         string `db:"clear"`
		Events        string `db:"events"`
		Named         string `db:"named"`
	}
	if err := r.s.Select(ctx, &rows, canarySamplesSQL, map[string]any{"n": n}); err != nil {
		return nil, err
	}
	out := make([]canarySample, len(rows))
	for i, row := range rows {
		t := canarySample{
			FulfillmentID: row.FulfillmentID, LineID: row.LineID, OrderID: row.OrderID, Clear: row.Clear, Events: row.Events,
			Named: row.Named,
		}
		add := func(what, text string) {
			if len(text) >= shortest {
				t.Secrets = append(t.Secrets, textSecret{what, text})
			}
		}
		if c, err := r.DB.OpenCustomer(row.DataKey, row.CustomerID, row.OrderID, row.Customer); err == nil {
			add("customer's e-mail address", c.Email)
			add("customer's last name", c.LastName)
			add("customer's street", c.Street)
		}
		// nothing, of an erased customer
		if found, err := r.DB.OpenDeliverables(ctx, r.s, row.LineID, row.CustomerID); err == nil {
			for _, code := range found.Codes {
				add("key", code.Reveal())
			}
			for _, link := range found.Links {
				add("link", link)
			}
		}
		out[i] = t
	}
	return out, nil
}
