package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// showPayment adds to an order how it is paid, and, where a checkout link made it, which link.
func (d *DB) showPayment(ctx context.Context, o orderRow, v *keyturn.OrderView) error {
	v.Payment = &keyturn.OrderPayment{Provider: o.PaymentProvider, Reference: o.PaymentReference}
	var disputed *time.Time
	if err := d.pg.GetContext(ctx, &disputed, `
		SELECT min(a.noted_at) FROM `+afterOrderSQL+`
		WHERE o.id = $1 AND a.kind = '`+afterDispute+`' AND a.status = 'open'`, o.ID); err != nil {
		return pg.AsKind(err)
	}
	v.Payment.DisputedAt = utc(disputed)
	if o.PaymentID == nil {
		return nil
	}
	found, err := d.paymentsWhere(ctx, `p.id = $1`, *o.PaymentID)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return keyturn.Errorf(keyturn.KindInternal, "the payment of order %s is not there", o.ID)
	}
	pay := found[0]
	v.Payment.Status, v.Payment.CaptureBy = pay.Status, pay.CaptureBy
	v.Payment.Authorized, v.Payment.Captured, v.Payment.Refunded = pay.Authorized, pay.Captured, pay.Refunded
	v.Link = &keyturn.OrderLink{ID: pay.LinkID}
	var reference *string
	if err := d.pg.GetContext(ctx, &reference, `SELECT reference FROM checkout_links WHERE id = $1`,
		pay.LinkID); err != nil {
		return pg.AsKind(err)
	}
	v.Link.Reference = value(reference)
	return nil
}

// OrderWithCustomer is Order with whom the order is for, and, where a checkout link made it, the link's additional
// data, which may be personal, too. It records that by saw them. Both are absent once the customer was erased.
func (d *DB) OrderWithCustomer(ctx context.Context, id, by string) (keyturn.OrderView, error) {
	v, err := d.Order(ctx, id)
	if err != nil {
		return v, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var row struct {
			CustomerID string  `db:"customer_id"`
			Sealed     []byte  `db:"customer"`
			DataKey    []byte  `db:"data_key"`
			PaymentID  *string `db:"payment_id"`
		}
		if err := tx.GetContext(ctx, &row, `
			SELECT o.customer_id, o.customer, c.data_key, o.payment_id
			FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1`, id); err != nil {
			return err
		}
		if len(row.Sealed) == 0 || len(row.DataKey) == 0 {
			return nil
		}
		customer, err := d.OpenCustomer(row.DataKey, row.CustomerID, id, row.Sealed)
		if err != nil {
			return err
		}
		v.Customer = &customer
		if row.PaymentID != nil {
			p, err := scanPayment(ctx, tx, `p.id = $1`, *row.PaymentID)
			if err != nil {
				return err
			}
			snapshot, _, err := d.snapshot(p)
			if err != nil && keyturn.KindOf(err) != keyturn.KindErased {
				return err
			}
			v.Link.AdditionalData = snapshot.AdditionalData
		}
		return logPersonal(ctx, tx, by, "customer", "order/"+id)
	})
	return v, err
}
