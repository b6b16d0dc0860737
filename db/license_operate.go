package db

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// OperateInput is an operation on a licence that nobody pays for.
type OperateInput struct {
	LicenseID string
	Operation keyturn.OperationName
	ProductID string     // of an upgrade; otherwise the licence's
	ExpiresAt *time.Time // of renew and resume

	Client         string // as of an order
	Prefix         keyturn.Prefix
	IdempotencyKey string
	RequestHash    []byte
	Respond        func(Accepted) ([]byte, error)
}

// NoPayment is the payment provider of an order that nothing was paid for.
const NoPayment = keyturn.PaymentNone

// Operate accepts an operation as an order of one line that costs nothing, for the customer whose licence it is, as the
// licence's last order knew them. Errors: KindNotFound without such a licence, KindInvalid with the fields of the
// request where it makes no sense, and those of Accept.
func (d *DB) Operate(ctx context.Context, in OperateInput) (*Accepted, []byte, error) {
	order, err := d.operationOrder(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	accepted, response, err := d.Accept(ctx, AcceptInput{
		Order: order, Client: in.Client, Prefix: in.Prefix, IdempotencyKey: in.IdempotencyKey, RequestHash: in.RequestHash,
		Respond: in.Respond,
	})
	if e, ok := errors.AsType[*keyturn.Error](err); ok && len(e.Fields) > 0 {
		shown := *e
		shown.Fields = nil
		for _, f := range e.Fields { // the caller sent no lines
			f.Location = strings.TrimPrefix(f.Location, lineAt(0)+".")
			shown.Fields = append(shown.Fields, f)
		}
		if shown.Fields[0].Location != "Idempotency-Key" {
			shown.Message = "the operation is not valid"
		}
		err = &shown
	}
	return accepted, response, err
}

// operationOrder makes the order of an operation.
func (d *DB) operationOrder(ctx context.Context, in OperateInput) (keyturn.Order, error) {
	id, ok := canonicalID(in.LicenseID)
	if !ok {
		return keyturn.Order{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such licence: its ID is a UUID")
	}
	var row struct {
		ProductID      string `db:"product_id"`
		SubscriptionID string `db:"subscription_id"`
		Quantity       int    `db:"quantity"`
		OrderID        string `db:"order_id"` // the last one
		Currency       string `db:"currency"`
		CustomerID     string `db:"customer_id"`
		Customer       []byte `db:"customer"`
		DataKey        []byte `db:"data_key"`
	}
	err := d.pg.GetContext(ctx, &row, `
		SELECT coalesce(c.product_id, l.product_id) AS product_id, l.subscription_id, l.quantity, o.id AS order_id,
			o.currency, o.customer_id, o.customer, u.data_key
		FROM line_items l LEFT JOIN licenses c ON c.line_id = l.id
		JOIN orders o ON o.id = coalesce((SELECT n.order_id FROM line_items n WHERE n.license_id = l.fulfillment_id
			ORDER BY n.operation_no DESC LIMIT 1), l.order_id)
		JOIN customers u ON u.id = o.customer_id
		WHERE l.fulfillment_id = $1 AND l.license_id IS NULL`, id)
	if err != nil {
		return keyturn.Order{}, pg.NotFound(err, "there is no licence %s", id)
	}
	dk, err := d.keys.OpenDataKey(row.DataKey, "customer/"+row.CustomerID)
	if err != nil {
		return keyturn.Order{}, err
	}
	plain, err := dk.Open(row.Customer, "orders/"+row.OrderID)
	if err != nil {
		return keyturn.Order{}, err
	}
	var c storedCustomer
	if err := json.Unmarshal(plain, &c); err != nil {
		return keyturn.Order{}, err
	}
	line := keyturn.LineItem{
		ProductID: row.ProductID, Quantity: row.Quantity, GrossPrice: "0", Operation: in.Operation, LicenseID: id,
		SubscriptionID: row.SubscriptionID, ExpiresAt: in.ExpiresAt,
	}
	if in.ProductID != "" {
		line.ProductID = in.ProductID
	}
	return keyturn.Order{
		ID: string(in.Prefix) + "op-" + newID(), Currency: row.Currency,
		Payment:  keyturn.Payment{Provider: NoPayment, Reference: id},
		Customer: c.Customer, LineItems: []keyturn.LineItem{line},
	}, nil
}
