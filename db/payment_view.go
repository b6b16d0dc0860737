package db

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// refundsOfOrderSQL are the refunds (r) of the lines (l) of an order, which follows. They have an index by their line.
const refundsOfOrderSQL = `line_items l JOIN refunds r ON r.line_id = l.id WHERE l.order_id`

// paymentsWhere reads payments as the API shows them.
func (d *DB) paymentsWhere(ctx context.Context, where string, args ...any) ([]keyturn.PaymentView, error) {
	var rows []struct {
		payment
		RefundedMinor int64 `db:"refunded_minor"`
	}
	//keyturn:autocommit it reads
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT p.id, p.link_id, p.number, p.status, p.version, p.provider, p.currency, p.total_minor, p.payment_reference,
			p.order_id, p.authorized_minor, p.capture_by, p.captured_minor, p.failure, p.created_at, p.ended_at, p.blanked_at,
			coalesce((SELECT sum(r.amount_minor) FROM `+refundsOfOrderSQL+` = p.order_id AND r.status = 'DONE'), 0)
				+ coalesce((SELECT r.amount_minor FROM payment_refunds r WHERE r.payment_id = p.id AND r.status = 'DONE'), 0)
				AS refunded_minor
		FROM payments p WHERE `+where, args...)
	out := make([]keyturn.PaymentView, len(rows))
	for i, r := range rows {
		money := func(minor int64) string { return keyturn.Money{Minor: minor, Currency: r.Currency}.String() }
		out[i] = keyturn.PaymentView{
			ID: r.ID, LinkID: r.LinkID, Status: r.Status, Version: r.Version, Provider: r.Provider, Currency: r.Currency,
			Total: money(r.TotalMinor), Authorized: money(r.AuthorizedMinor), Captured: money(r.CapturedMinor),
			Refunded: money(r.RefundedMinor), CaptureBy: utc(r.CaptureBy), CreatedAt: r.CreatedAt.UTC(), EndedAt: utc(r.EndedAt),
			BlankedAt: utc(r.BlankedAt),
		}
		if r.OrderID != nil {
			out[i].OrderID = *r.OrderID
		}
		if r.PaymentReference != nil {
			out[i].Reference = *r.PaymentReference
		}
		if r.Failure != nil {
			out[i].Failure = *r.Failure
		}
	}
	return out, pg.AsKind(err)
}

// PaymentView gives a payment as the API shows it. KindNotFound.
func (d *DB) PaymentView(ctx context.Context, id string) (keyturn.PaymentView, error) {
	if !keyturn.ValidPaymentID(id) {
		return keyturn.PaymentView{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such payment: its ID is a UUID")
	}
	found, err := d.paymentsWhere(ctx, "p.id = $1", id)
	if err == nil && len(found) == 0 {
		err = keyturn.Errorf(keyturn.KindNotFound, "there is no such payment")
	}
	if err != nil {
		return keyturn.PaymentView{}, err
	}
	return found[0], nil
}
