package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"keyturn.dev/keyturn"
)

// answered is an order beside the answer that its request got. The answer is sealed for the customer: whoever changes
// the order, its lines and what was captured alike cannot change it, too.
type answered struct {
	OrderID   string `db:"order_id"`
	Customer  string `db:"customer"`
	Wrapped   []byte `db:"wrapped"`
	Response  []byte `db:"response"`
	Currency  string `db:"currency"`
	Minor     int64  `db:"gross_minor"`
	PageHash  []byte `db:"page_hash"`
	LinesJSON []byte `db:"lines"`
}

// answeredLine is a line as it is stored.
type answeredLine struct {
	ID            string `json:"id"`
	FulfillmentID string `json:"fulfillment_id"`
	ProductID     string `json:"product_id"`
	Quantity      int    `json:"quantity"`
	Minor         int64  `json:"gross_minor"`
	Operation     string `json:"operation"`
}

const answeredSQL = `
	SELECT o.id AS order_id, c.id AS customer, c.data_key AS wrapped, y.response, o.currency, o.gross_minor, o.page_hash,
		(SELECT json_agg(json_build_object('id', l.id, 'fulfillment_id', l.fulfillment_id, 'product_id', l.product_id,
			'quantity', l.quantity, 'gross_minor', l.gross_minor, 'operation', l.operation) ORDER BY l.position)
			FROM line_items l WHERE l.order_id = o.id) AS lines
	FROM idempotency_keys y JOIN orders o ON o.id = y.order_id AND o.client = y.client
		JOIN customers c ON c.id = o.customer_id
	WHERE c.data_key IS NOT NULL AND y.response <> ''`

// checkAnswers compares the orders whose turn it is with what was answered when they were accepted.
func (r *run) checkAnswers(ctx context.Context) error {
	compared := int64(0)
	err := r.inTurn(ctx, "idempotency_keys", func(piece map[string]any) error {
		var rows []answered
		if err := r.s.Select(ctx, &rows, answeredSQL+whoseTurnSQL, piece); err != nil {
			return err
		}
		for _, row := range rows {
			if r.compareAnswer(row) {
				compared++
			}
		}
		return nil
	})
	r.counts[looksAnswers] = compared
	return err
}

// compareAnswer reports what of the order is not as it was answered. It is false for an answer that does not open, of
// which checkSecrets tells.
func (r *run) compareAnswer(row answered) bool {
	plain, err := r.DB.OpenSealed(row.Wrapped, "customer/"+row.Customer, "idempotency_keys/"+row.OrderID, row.Response)
	if err != nil {
		return false
	}
	var was keyturn.OrderView
	var lines []answeredLine
	if json.Unmarshal(plain, &was) != nil || json.Unmarshal(row.LinesJSON, &lines) != nil {
		return false
	}
	different := func(line, what, now, then string) {
		if now != then {
			r.found("A7", Violation{
				OrderID: row.OrderID, LineID: line, What: fmt.Sprintf("its %s is %s, and %s was answered", what, now, then),
			})
		}
	}
	price := func(minor int64) string { return keyturn.Money{Minor: minor, Currency: row.Currency}.String() }
	if !bytes.Equal(row.PageHash, r.DB.PageHash(row.OrderID)) {
		r.found("A7", Violation{OrderID: row.OrderID, What: "its page is not under the address that was answered"})
	}
	if was.ID == "" { // an order system that uses the packages answers in its own way
		return true
	}
	different("", "ID", row.OrderID, was.ID)
	different("", "currency", row.Currency, was.Currency)
	different("", "price", price(row.Minor), was.GrossPrice)
	different("", "number of lines", strconv.Itoa(len(lines)), strconv.Itoa(len(was.LineItems)))
	for i := range min(len(lines), len(was.LineItems)) {
		now, then := lines[i], was.LineItems[i]
		different(now.ID, "ID", now.ID, then.ID)
		different(now.ID, "fulfillment ID", now.FulfillmentID, then.FulfillmentID)
		different(now.ID, "product", now.ProductID, then.ProductID)
		different(now.ID, "quantity", strconv.Itoa(now.Quantity), strconv.Itoa(then.Quantity))
		different(now.ID, "operation", now.Operation, string(then.Operation))
		if money, err := keyturn.ParseMoney(then.GrossPrice, row.Currency); err != nil || money.Minor != now.Minor {
			different(now.ID, "price", price(now.Minor), then.GrossPrice)
		}
	}
	return true
}
