package db

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// stepFacts is what a step has written of an event: what changes, and what it is about.
type stepFacts struct {
	Version    int64              `json:"version"`
	Status     string             `json:"status"` // of the order, licence, link, payment
	Line       string             `json:"line"`
	LineStatus keyturn.LineStatus `json:"lineStatus"`
	Failure    keyturn.Kind       `json:"failure"`
	Webhook    string             `json:"webhook"`
}

// eventFacts is what never changes of the things that events are about, by their IDs.
type eventFacts struct {
	orders map[string]orderFacts
	lines  map[string]lineFacts
}

type orderFacts struct {
	ID            string  `db:"id"`
	Currency      string  `db:"currency"`
	GrossMinor    int64   `db:"gross_minor"`
	Link          *string `db:"link"`
	LinkReference *string `db:"link_reference"`
}

type lineFacts struct {
	ID            string                `db:"id"`
	FulfillmentID string                `db:"fulfillment_id"`
	ProductID     string                `db:"product_id"`
	Operation     keyturn.OperationName `db:"operation"`
	Quantity      int                   `db:"quantity"`
	GrossMinor    int64                 `db:"gross_minor"`
}

// readEventFacts reads what the bodies of the events need.
func readEventFacts(ctx context.Context, tx *sqlx.Tx, rows []eventRow) (eventFacts, error) {
	f := eventFacts{orders: map[string]orderFacts{}, lines: map[string]lineFacts{}}
	var orderIDs, lineIDs []string
	for _, row := range rows {
		s, err := row.facts()
		if err != nil {
			return f, err
		}
		if of := familyOf(row.Type); of == "order" || of == "line" {
			orderIDs, lineIDs = append(orderIDs, row.About), append(lineIDs, s.Line)
		}
	}
	var orders []orderFacts
	if ids := distinct(orderIDs); len(ids) > 0 {
		if err := tx.SelectContext(ctx, &orders, `
			SELECT o.id, o.currency, o.gross_minor, k.id AS link, k.reference AS link_reference
			FROM orders o LEFT JOIN payments p ON p.id = o.payment_id LEFT JOIN checkout_links k ON k.id = p.link_id
			WHERE o.id = ANY($1)`, pq.Array(ids)); err != nil {
			return f, err
		}
	}
	for _, o := range orders {
		f.orders[o.ID] = o
	}
	var lines []lineFacts
	if ids := distinct(lineIDs); len(ids) > 0 {
		if err := tx.SelectContext(ctx, &lines, `
			SELECT id, fulfillment_id, product_id, operation, quantity, gross_minor FROM line_items
			WHERE id = ANY(CAST($1 AS uuid[]))`, pq.Array(ids)); err != nil {
			return f, err
		}
	}
	for _, l := range lines {
		f.lines[l.ID] = l
	}
	return f, nil
}

func (row eventRow) facts() (s stepFacts, err error) {
	return s, json.Unmarshal([]byte(row.Facts), &s)
}

func familyOf(t keyturn.EventType) string {
	family, _, _ := strings.Cut(string(t), ".")
	return family
}

// body makes the bytes that every receiver of the event gets.
func (f eventFacts) body(row eventRow) (string, error) {
	s, err := row.facts()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(keyturn.Event{Type: row.Type, Timestamp: row.CreatedAt.UTC(), Data: f.data(row, s)})
	return strings.TrimSuffix(b.String(), "\n"), err
}

func (f eventFacts) data(row eventRow, s stepFacts) any {
	switch familyOf(row.Type) {
	case "order":
		o := f.orders[row.About]
		return keyturn.OrderEvent{
			OrderID: row.About, Status: keyturn.OrderStatus(s.Status), GrossPrice: o.money(o.GrossMinor),
			Currency: o.Currency, Version: s.Version, Link: o.link(), Links: o.links(row.About),
		}
	case "line":
		o, l := f.orders[row.About], f.lines[s.Line]
		return keyturn.LineEvent{
			OrderID: row.About, Status: keyturn.OrderStatus(s.Status), FulfillmentID: l.FulfillmentID, LineItemID: l.ID,
			LineStatus: s.LineStatus, ProductID: l.ProductID, Operation: l.Operation, Quantity: l.Quantity,
			GrossPrice: o.money(l.GrossMinor), Currency: o.Currency, Failure: s.Failure, Version: s.Version,
			Link: o.link(), Links: o.links(row.About),
		}
	}
	return keyturn.TestEvent{Webhook: s.Webhook}
}

func (o orderFacts) money(minor int64) string {
	return keyturn.Money{Minor: minor, Currency: o.Currency}.String()
}

func (o orderFacts) link() *keyturn.EventLink {
	if o.Link == nil {
		return nil
	}
	return &keyturn.EventLink{ID: *o.Link, Reference: value(o.LinkReference)}
}

func (orderFacts) links(orderID string) keyturn.EventLinks {
	return keyturn.EventLinks{Self: "/v1/orders/" + orderID}
}
