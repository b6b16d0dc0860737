package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// OrderAgain gives the token of a checkout link that sells the same as an order at the same prices, once nothing came
// of that order and nothing was charged. An order has one such link: whoever asks again gets that one. KindNotFound
// for an unknown link and an order that no checkout link made; KindConflict for an order that cannot be made again.
func (d *DB) OrderAgain(ctx context.Context, token string) (string, error) {
	o, _, err := d.orderByToken(ctx, d.pg, token)
	if err != nil {
		return "", err
	}
	if o.PaymentID == nil {
		return "", keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
	}
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, *o.PaymentID)
	if err != nil {
		return "", err
	}
	snapshot, _, err := d.snapshot(p)
	if err != nil {
		return "", err
	}
	was, err := readSold(ctx, d.pg, p, snapshot)
	if err != nil {
		return "", err
	}
	if was.AgainUntil == nil {
		return "", keyturn.Errorf(keyturn.KindConflict, "the order cannot be made again")
	}
	first, err := d.linkWhere(ctx, d.pg, `k.id = $1`, p.LinkID)
	if err != nil {
		return "", err
	}
	spec, _, _, err := d.openLink(first)
	if err != nil {
		return "", err
	}
	link := snapshot.again(spec)
	link.Currency, link.Provider, link.ExpiresAt = p.Currency, p.Provider, was.AgainUntil
	link.Reference = "again-" + o.ID
	hash := sha256.Sum256([]byte(link.Reference))
	if merchant, rest, ok := strings.Cut(o.ID, ":"); ok {
		if link.OrderID = merchant + ":again-" + rest; !keyturn.ValidID(link.OrderID) { // it is too long
			link.OrderID = merchant + ":again-" + hex.EncodeToString(hash[:12])
		}
		if !keyturn.ValidID(link.OrderID) { // what stands before its colon is no merchant
			link.OrderID = ""
		}
	}
	in := LinkInput{
		Link: link, Client: first.Client, IdempotencyKey: link.Reference, RequestHash: hash[:],
		Complete: func(l keyturn.CheckoutLink, _ time.Time) (keyturn.CheckoutLink, error) { return l, nil },
	}
	v, _, err := d.CreateLink(ctx, in)
	if keyturn.KindOf(err) == keyturn.KindUnavailable { // made by another press of the button at this moment
		v, _, err = d.CreateLink(ctx, in)
	}
	return d.LinkToken(v.ID), err
}

// again is the link that sold this once more, with what was chosen on its page.
func (s PaymentSnapshot) again(link keyturn.CheckoutLink) keyturn.CheckoutLink {
	out := keyturn.CheckoutLink{
		Capture: link.Capture, Mixed: link.Mixed, Locale: link.Locale, ReturnURL: link.ReturnURL, CancelURL: link.CancelURL,
		Customer: s.Customer, AdditionalData: s.AdditionalData,
	}
	for _, l := range s.Lines {
		out.LineItems = append(out.LineItems, keyturn.LinkLine{
			ProductID: l.ProductID, Name: l.SoldAs.Name, Description: l.SoldAs.Description, SKU: l.SoldAs.SKU,
			UnitPrice: l.SoldAs.UnitPrice, ExternalContext: l.SoldAs.ExternalContext, Variables: l.SoldAs.Variables,
			PriceFunctionParameters: l.SoldAs.PriceFunctionParameters,
			Quantity:                keyturn.LinkQuantity{Value: l.Quantity, Min: l.Quantity, Max: l.Quantity},
			Operation:               l.Operation, LicenseID: l.LicenseID, SubscriptionID: l.SubscriptionID,
			TrialContext: l.TrialContext, ExpiresAt: l.LineItem.ExpiresAt,
		})
	}
	return out
}

// Limits of asking for the address of an order's page.
const orderPagesADay = 3

// SendOrderPage has the address of the order's page sent once more, to the order's address, by whoever has the address
// of the used link. KindNotFound for an unknown one; KindConflict for a link that is not used; KindRateLimited after
// three times a day.
func (d *DB) SendOrderPage(ctx context.Context, token string) error {
	v, err := d.visit(ctx, token)
	if err != nil {
		return err
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		p, err := scanPayment(ctx, tx, `p.link_id = $1 AND p.order_id IS NOT NULL FOR UPDATE OF p`, v.row.ID)
		if keyturn.KindOf(err) == keyturn.KindNotFound {
			return keyturn.Errorf(keyturn.KindConflict, "the checkout link has made no order")
		}
		if err != nil {
			return err
		}
		var today int
		if err := tx.GetContext(ctx, &today, `
			SELECT count(*) FROM payment_mails
			WHERE payment_id = $1 AND kind = 'orderPage' AND created_at > now() - interval '1 day'`, p.ID); err != nil {
			return err
		}
		if today >= orderPagesADay {
			return keyturn.Errorf(keyturn.KindRateLimited, "the address was sent %d times today", today)
		}
		return p.tell(ctx, tx, keyturn.MailOrderPage, byCustomer)
	})
}
