package db

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// The audit reads the database by itself, in a snapshot. What follows decrypts for it what it compares.

// Snapshot runs fn on a snapshot of the database and ends it.
func (d *DB) Snapshot(ctx context.Context, fn func(*pg.Snapshot) error) error {
	return d.pg.Snapshot(ctx, fn)
}

// Clock is the database's time, the only one by which things are late.
func (d *DB) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := d.pg.GetContext(ctx, &now, `SELECT clock_timestamp()`)
	return now, pg.AsKind(err)
}

// OpenSealed decrypts a ciphertext with its owner's data key, as it is stored (wrapped). place is what the ciphertext
// is bound to: its table and row. The error says which of the two does not open.
func (d *DB) OpenSealed(wrapped []byte, owner, place string, content []byte) ([]byte, error) {
	dk, err := d.keys.OpenDataKey(wrapped, owner)
	if err != nil {
		return nil, errors.New("the data key of its owner does not open")
	}
	plain, err := dk.Open(content, place)
	if err != nil {
		return nil, errors.New("it does not decrypt where it stands")
	}
	return plain, nil
}

// OpenCustomer decrypts whom an order is for, with the customer's wrapped data key. It fails once they were erased.
func (d *DB) OpenCustomer(wrapped []byte, customerID, orderID string, sealed []byte) (keyturn.Customer, error) {
	plain, err := d.OpenSealed(wrapped, "customer/"+customerID, "orders/"+orderID, sealed)
	if err != nil {
		return keyturn.Customer{}, err
	}
	var c storedCustomer
	err = json.Unmarshal(plain, &c)
	return c.Customer, err
}

// OpenDeliverables reads and decrypts what a line has, by its ID. It is empty for a line that has nothing; an error if
// the customer was erased or it does not open.
func (d *DB) OpenDeliverables(
	ctx context.Context, q sqlx.QueryerContext, lineID, customerID string,
) (Deliverables, error) {
	return d.deliverables(ctx, q, lineID, customerID)
}

// Unerased gives the IDs of the customers of this database whom a list from outside calls erased, and who were not
// erased in it, or less than the list says.
func (d *DB) Unerased(ctx context.Context, q sqlx.QueryerContext, list []Erasure) ([]string, error) {
	owed, err := d.unerased(ctx, q, list)
	var ids []string
	for _, o := range owed {
		ids = append(ids, o.CustomerID)
	}
	return ids, pg.AsKind(err)
}

// Fingerprint is the keyed hash by which the same key is found twice.
func (d *DB) Fingerprint(text string) []byte { return d.keys.Fingerprint(text) }

// UnitID is the licence ID that a partner is asked under for one unit of a fulfillment.
func UnitID(fulfillmentID string, unit int) string { return unitID(fulfillmentID, unit) }
