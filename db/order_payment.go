package db

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// showPayment adds to an order how it is paid, and, where a checkout link made it, which link and with what data. The
// data of an erased customer is left out.
func (d *DB) showPayment(ctx context.Context, o orderRow, v *keyturn.OrderView) error {
	v.Payment = &keyturn.OrderPayment{Provider: o.PaymentProvider, Reference: o.PaymentReference}
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
	row, err := scanPayment(ctx, d.pg, `p.id = $1`, pay.ID)
	if err != nil {
		return err
	}
	snapshot, _, err := d.snapshot(row)
	if keyturn.KindOf(err) == keyturn.KindErased {
		return nil
	}
	v.Link.AdditionalData = snapshot.AdditionalData
	return err
}
