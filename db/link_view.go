package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// viewOfLink is the link as the API shows it. A link of an erased customer shows what is left.
func (d *DB) viewOfLink(row linkRow) (keyturn.LinkView, error) {
	link, draft, _, err := d.openLink(row)
	if err != nil && keyturn.KindOf(err) != keyturn.KindErased {
		return keyturn.LinkView{}, err
	}
	v := row.view(link, draft)
	if keyturn.KindOf(err) == keyturn.KindErased {
		v.Total = ""
	}
	return v, nil
}

func (r linkRow) view(link keyturn.CheckoutLink, draft linkDraft) keyturn.LinkView {
	lines, offers := draft.chosen(link)
	v := keyturn.LinkView{
		ID: r.ID, Status: r.statusNow(), Version: r.Version, Currency: r.Currency,
		Total: total(r.Currency, lines).String(), Provider: r.Provider, Capture: link.Capture, Mixed: link.Mixed,
		OrderID: r.OrderID, ExpiresAt: r.ExpiresAt.UTC(), CreatedAt: r.CreatedAt.UTC(), OpenedAt: utc(r.OpenedAt),
		EndedAt: utc(r.EndedAt), BlankedAt: utc(r.BlankedAt), PaymentsLeft: r.PaymentsMost - r.PaymentsBegun,
		Locale: link.Locale, ReturnURL: link.ReturnURL, CancelURL: link.CancelURL, Offers: link.Offers,
		LineItems: make([]keyturn.LinkLineView, len(lines)),
	}
	if r.Reference != nil {
		v.Reference = *r.Reference
	}
	if r.EndReason != nil {
		v.EndReason = *r.EndReason
	}
	for i, l := range lines {
		v.LineItems[i] = keyturn.LinkLineView{
			ProductID: l.ProductID, Name: l.Name, SKU: l.SKU, UnitPrice: l.UnitPrice, ListPrice: l.ListPrice,
			Quantity: l.Quantity, OfferID: offers[i],
		}
	}
	return v
}

// Link gives a checkout link with its payments. KindNotFound.
func (d *DB) Link(ctx context.Context, id string) (keyturn.LinkView, error) {
	v, _, err := d.linkView(ctx, id)
	return v, err
}

// LinkWithCustomer is Link with what the link's page is filled in with, and records that by saw it. The customer is
// absent once they were erased, or the link blanked.
func (d *DB) LinkWithCustomer(ctx context.Context, id, by string) (keyturn.LinkView, error) {
	v, customer, err := d.linkView(ctx, id)
	if err != nil || customer == nil {
		return v, err
	}
	v.Customer = customer
	return v, d.pg.Tx(ctx, func(tx *sqlx.Tx) error { return logPersonal(ctx, tx, by, "customer", "link/"+id) })
}

// linkView gives a link, and whom its page is filled in for; nil once they were erased, or the link blanked.
func (d *DB) linkView(ctx context.Context, id string) (keyturn.LinkView, *keyturn.Customer, error) {
	if !keyturn.ValidID(id) {
		return keyturn.LinkView{}, nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such checkout link")
	}
	row, err := d.linkWhere(ctx, d.pg, "k.id = $1", id)
	if err != nil {
		return keyturn.LinkView{}, nil, err
	}
	link, draft, _, err := d.openLink(row)
	erased := keyturn.KindOf(err) == keyturn.KindErased
	if err != nil && !erased {
		return keyturn.LinkView{}, nil, err
	}
	v := row.view(link, draft)
	if erased { // what it sold is gone: its payments have their sums
		v.Total = ""
	}
	v.Payments, err = d.paymentsWhere(ctx, "p.link_id = $1 ORDER BY p.number", id)
	if erased || row.BlankedAt != nil {
		return v, nil, err
	}
	return v, &link.Customer, err
}

// OrderOfLink says which order a link makes: whose order it is, the link is. KindNotFound.
func (d *DB) OrderOfLink(ctx context.Context, id string) (string, error) {
	var order string
	err := d.pg.GetContext(ctx, &order, `SELECT order_id FROM checkout_links WHERE id = $1`, id)
	return order, pg.NotFound(err, "there is no such checkout link")
}
