package db

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

// facts collects what a request is made of. done units have their code already. Without a transaction it may be of an
// integration that has changed since.
func (d *DB) facts(ctx context.Context, tx *sqlx.Tx, l *line, done int) (CallFacts, vault.DataKey, error) {
	c, dk, err := d.customerOf(ctx, tx, l)
	if l.erased() { // a cancel needs no more than the ID that is the shop's own
		c, err = storedCustomer{Customer: keyturn.Customer{ID: l.CustomerID}}, nil
	}
	if err != nil {
		return CallFacts{}, dk, err
	}
	f := CallFacts{
		Source: l.source(), Operation: keyturn.OperationName(l.Operation), FulfillmentID: l.FulfillmentID, OrderID: l.OrderID,
		Product: l.product, Price: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}, AcceptedAt: l.CreatedAt,
		OrderPrice: keyturn.Money{Minor: l.OrderMinor, Currency: l.Currency},
		Customer:   c.Customer, CartExternalContext: c.CartExternalContext, Units: 1,
		Line: keyturn.LineItem{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity,
			Operation: keyturn.OperationName(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext,
			ExpiresAt: l.ExpiresAt,
		},
	}
	switch l.product.QuantityMode {
	case keyturn.OnePerUnit:
		f.UnitNo = done
	case keyturn.OneCall:
		f.Units = l.units()
	case keyturn.OnePerLine:
	}
	if l.LicenseID != nil {
		if err := d.licenseFacts(ctx, tx, l, &f); err != nil {
			return f, dk, err
		}
	}
	f.LicenseID = unitID(l.licenseID(), f.UnitNo)
	if l.source().Type.HasIntegration() {
		f.Integration, f.IntegrationVersion, err = d.integrationFor(ctx, tx, l.source().Integration)
	}
	return f, dk, err
}

// unitID is the licence ID of one unit: the fulfillmentId itself for the first, derived ones for the others, because a
// partner answers the same ID with the same key.
func unitID(fulfillmentID string, unit int) string {
	if unit == 0 {
		return fulfillmentID
	}
	return uuid.NewSHA1(uuid.MustParse(fulfillmentID), []byte("unit/"+itoa(unit))).String()
}

// customerOf decrypts whom the line's order is for.
func (d *DB) customerOf(ctx context.Context, q sqlx.QueryerContext, l *line) (storedCustomer, vault.DataKey, error) {
	if len(l.CustomerSealed) == 0 { // the line is not for a step
		var row struct {
			Customer []byte `db:"customer"`
			DataKey  []byte `db:"data_key"`
		}
		if err := sqlx.GetContext(ctx, q, &row, `
			SELECT o.customer, c.data_key FROM orders o JOIN customers c ON c.id = o.customer_id
			WHERE o.id = $1`, l.OrderID); err != nil {
			return storedCustomer{}, vault.DataKey{}, err
		}
		l.CustomerSealed, l.CustomerKey = row.Customer, row.DataKey
	}
	return d.customer(l)
}

// customer is customerOf a line that a step is for.
func (d *DB) customer(l *line) (storedCustomer, vault.DataKey, error) {
	dk, err := d.keys.OpenDataKey(l.CustomerKey, "customer/"+l.CustomerID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	plain, err := dk.Open(l.CustomerSealed, "orders/"+l.OrderID)
	if err != nil {
		return storedCustomer{}, dk, err
	}
	var c storedCustomer
	return c, dk, json.Unmarshal(plain, &c)
}
