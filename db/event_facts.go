package db

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// stepFacts is what a step has written of an event: what changes, and what it is about.
type stepFacts struct {
	Version int64  `json:"version"`
	Status  string `json:"status"` // of the order, licence, link or payment

	Line       string             `json:"line"`
	LineStatus keyturn.LineStatus `json:"lineStatus"`
	Failure    keyturn.Kind       `json:"failure"`

	License   string     `json:"license"`
	Product   string     `json:"product"`
	ExpiresAt *time.Time `json:"expiresAt"`

	Link       string     `json:"link"`
	Payment    string     `json:"payment"`
	Currency   string     `json:"currency"`
	Amount     int64      `json:"amount"`
	Authorized int64      `json:"authorized"`
	Captured   int64      `json:"captured"`
	Refunded   int64      `json:"refunded"`
	CaptureBy  *time.Time `json:"captureBy"`
	Dispute    *struct {
		ID       string                `json:"id"`
		Status   keyturn.DisputeStatus `json:"status"`
		Amount   int64                 `json:"amount"`
		Currency string                `json:"currency"`
		DueAt    *time.Time            `json:"dueAt"`
	} `json:"dispute"`

	Pool        string `json:"pool"`
	Available   int64  `json:"available"`
	Integration string `json:"integration"`

	Alert   int64              `json:"alert"`
	Cause   keyturn.AlertCause `json:"cause"`
	Subject string             `json:"subject"`
	Order   string             `json:"order"`

	Delivery string             `json:"delivery"`
	Bounce   keyturn.BounceKind `json:"bounce"`
	Code     string             `json:"code"`

	Webhook string `json:"webhook"`
}

// eventFacts is what never changes of the things that events are about, by their IDs.
type eventFacts struct {
	steps  map[int64]stepFacts // by the event's ID
	orders map[string]orderFacts
	lines  map[string]lineFacts
	links  map[string]*string // the shop's references
}

type orderFacts struct {
	ID         string  `db:"id"`
	Currency   string  `db:"currency"`
	GrossMinor int64   `db:"gross_minor"`
	Link       *string `db:"link"`
	Reference  *string `db:"reference"`
}

type lineFacts struct {
	ID            string                `db:"id"`
	FulfillmentID string                `db:"fulfillment_id"`
	ProductID     string                `db:"product_id"`
	Operation     keyturn.OperationName `db:"operation"`
	Quantity      int                   `db:"quantity"`
	GrossMinor    int64                 `db:"gross_minor"`
}

type linkFacts struct {
	ID        string  `db:"id"`
	Reference *string `db:"reference"`
}

// readEventFacts reads what the bodies of the events need.
func readEventFacts(ctx context.Context, tx *sqlx.Tx, rows []eventRow) (eventFacts, error) {
	f := eventFacts{
		steps: map[int64]stepFacts{}, orders: map[string]orderFacts{}, lines: map[string]lineFacts{},
		links: map[string]*string{},
	}
	var orderIDs, lineIDs, linkIDs []string
	for _, row := range rows {
		var s stepFacts
		if err := json.Unmarshal([]byte(row.Facts), &s); err != nil {
			return f, err
		}
		f.steps[row.ID] = s
		orderIDs, lineIDs, linkIDs = append(orderIDs, row.About), append(lineIDs, s.Line), append(linkIDs, s.Link)
	}
	var orders []orderFacts
	if err := selectByIDs(ctx, tx, &orders, orderIDs, `
		SELECT o.id, o.currency, o.gross_minor, k.id AS link, k.reference
		FROM orders o LEFT JOIN payments p ON p.id = o.payment_id LEFT JOIN checkout_links k ON k.id = p.link_id
		WHERE o.id = ANY($1)`); err != nil {
		return f, err
	}
	for _, o := range orders {
		f.orders[o.ID] = o
	}
	var lines []lineFacts
	if err := selectByIDs(ctx, tx, &lines, lineIDs, `
		SELECT id, fulfillment_id, product_id, operation, quantity, gross_minor FROM line_items
		WHERE id = ANY(CAST($1 AS uuid[]))`); err != nil {
		return f, err
	}
	for _, l := range lines {
		f.lines[l.ID] = l
	}
	var links []linkFacts
	err := selectByIDs(ctx, tx, &links, linkIDs, `SELECT id, reference FROM checkout_links WHERE id = ANY($1)`)
	for _, k := range links {
		f.links[k.ID] = k.Reference
	}
	return f, err
}

// selectByIDs asks for the rows of the IDs that are not empty, if there are any.
func selectByIDs(ctx context.Context, tx *sqlx.Tx, into any, ids []string, query string) error {
	if ids = distinct(ids); len(ids) == 0 {
		return nil
	}
	return tx.SelectContext(ctx, into, query, pq.Array(ids))
}

func familyOf(t keyturn.EventType) string {
	family, _, _ := strings.Cut(string(t), ".")
	return family
}
