package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// LinkInput is a checkout link that a token asks for.
type LinkInput struct {
	Link           keyturn.CheckoutLink
	Client         string
	Prefix         keyturn.Prefix // of the order and the products that it may name
	IdempotencyKey string
	RequestHash    []byte
	// Complete fills in and checks the link, by the database's clock.
	Complete func(keyturn.CheckoutLink, time.Time) (keyturn.CheckoutLink, error)
}

// CreateLink stores a checkout link. repeated says that the request was made before: the answer is the link as it is
// now. Errors: KindInvalid for a link or a product that is not valid, and for another request under the same
// Idempotency-Key; KindConflict for a reference or an order ID that is taken. An order that comes in at the same moment
// may take the order's ID all the same; the link's payment is given back then.
func (d *DB) CreateLink(ctx context.Context, in LinkInput) (v keyturn.LinkView, repeated bool, err error) {
	if v, repeated, err = d.repeatedLink(ctx, in); repeated || err != nil {
		return v, repeated, err
	}
	id := "lnk-" + newID()
	link := in.Link
	if link.Customer.ID == "" {
		link.Customer.ID = id
	}
	known, err := d.readAcceptContext(ctx, AcceptInput{Order: linkProducts(link), Client: in.Client})
	if err != nil {
		return v, false, err
	}
	if link, err = in.Complete(link, known.Now); err != nil {
		return v, false, err
	}
	if link.OrderID == "" {
		link.OrderID = id
	}
	if err := in.Prefix.CheckNew("orderId", link.OrderID); err != nil {
		return v, false, err
	}
	products, err := linkedProducts(link, known, in.Prefix)
	if err != nil {
		return v, false, err
	}
	sellability, _, err := d.linkSellability(ctx, link.LineItems, link.Currency, products, known)
	if err != nil {
		return v, false, err
	}
	dk, wrapped, err := d.customerKey(link.Customer.ID, known)
	if err != nil {
		return v, false, err
	}
	stored := linkSpec{CheckoutLink: link, Promised: map[string]keyturn.Promised{}}
	for id, p := range products {
		stored.Promised[id] = p.Promised()
	}
	plain, err := json.Marshal(stored)
	if err != nil {
		return v, false, err
	}
	spec, err := dk.Seal(plain, "checkout_links/"+id)
	if err != nil {
		return v, false, err
	}
	if err := d.insertLink(ctx, in, id, link, spec, wrapped); err != nil {
		return v, false, err
	}
	row, err := d.linkWhere(ctx, d.pg, "k.id = $1", id)
	if err != nil {
		return v, false, err
	}
	v = row.view(link, linkDraft{})
	v.Sellability = sellability
	return v, false, nil
}

// repeatedLink finds the link of an earlier request with the same key, or with the same reference and content.
func (d *DB) repeatedLink(ctx context.Context, in LinkInput) (v keyturn.LinkView, repeated bool, err error) {
	row, err := d.linkWhere(ctx, d.pg, `k.client = $1 AND k.idempotency_key = $2`, in.Client, in.IdempotencyKey)
	byReference := false
	if keyturn.KindOf(err) == keyturn.KindNotFound && in.Link.Reference != "" {
		row, err = d.linkWhere(ctx, d.pg, `k.client = $1 AND k.reference = $2`, in.Client, in.Link.Reference)
		byReference = true
	}
	switch {
	case keyturn.KindOf(err) == keyturn.KindNotFound:
		return v, false, nil
	case err != nil:
		return v, false, err
	case string(row.RequestHash) == string(in.RequestHash):
		v, err = d.viewOfLink(row)
		return v, true, err
	case byReference:
		return v, false, &keyturn.Error{
			Kind: keyturn.KindConflict, Message: "the reference belongs to another checkout link",
			Fields: []keyturn.FieldError{{Location: "reference", Message: "belongs to link " + row.ID +
				", whose content is different"}},
		}
	}
	return v, false, &keyturn.Error{
		Kind: keyturn.KindInvalid, Message: "the Idempotency-Key was used for another request",
		Fields: []keyturn.FieldError{{Location: "Idempotency-Key", Message: "belongs to link " + row.ID +
			", whose request was different: use a new key"}},
	}
}

func (d *DB) insertLink(ctx context.Context, in LinkInput, id string, link keyturn.CheckoutLink, spec, wrapped []byte,
) error {
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var taken bool
		if err := tx.GetContext(ctx, &taken, `SELECT EXISTS (SELECT FROM orders WHERE id = $1)`, link.OrderID); err != nil {
			return err
		}
		if taken {
			return orderIDTaken(link.OrderID)
		}
		var stored []string
		if err := tx.SelectContext(ctx, &stored, `
			INSERT INTO customers (id, data_key) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET data_key = coalesce(customers.data_key, excluded.data_key)
				WHERE customers.data_key IS NULL OR customers.data_key = excluded.data_key
			RETURNING id`, link.Customer.ID, wrapped); err != nil {
			return err
		}
		if len(stored) == 0 {
			return keyturn.Errorf(keyturn.KindUnavailable, "the customer has changed at the same time: try again")
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO checkout_links (id, client, idempotency_key, request_hash, reference, order_id, provider, currency,
				customer_id, spec, page_hash, expires_at)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10, $11, $12)`,
			id, in.Client, in.IdempotencyKey, in.RequestHash, link.Reference, link.OrderID, link.Provider, link.Currency,
			link.Customer.ID, spec, pageHash(d.LinkToken(id)), *link.ExpiresAt)
		return err
	})
	switch {
	case pg.IsUniqueViolation(err, "checkout_links_order"):
		return orderIDTaken(link.OrderID)
	case pg.SQLState(err) == pg.UniqueViolation: // the same request at the same time
		return keyturn.Errorf(keyturn.KindUnavailable, "the same link is being made at this moment: try again")
	}
	return err
}

func orderIDTaken(id string) error {
	return &keyturn.Error{
		Kind: keyturn.KindConflict, Message: "there is an order or an open checkout link with the order ID " + id,
		Fields: []keyturn.FieldError{{Location: "orderId", Message: "is taken"}},
	}
}

// linkProducts is an order of every product that a link can sell.
func linkProducts(link keyturn.CheckoutLink) keyturn.Order {
	o := keyturn.Order{Customer: link.Customer}
	for _, l := range link.LineItems {
		o.LineItems = append(o.LineItems, keyturn.LineItem{ProductID: l.ProductID})
	}
	for _, offer := range link.Offers.All() {
		o.LineItems = append(o.LineItems, keyturn.LineItem{ProductID: offer.LineItem.ProductID})
	}
	return o
}

// linkedProducts are the products of a link, by ID. Every unknown one is named with its field, and every one that no
// source serves in the link's currency.
func linkedProducts(link keyturn.CheckoutLink, known acceptContext, prefix keyturn.Prefix) (map[string]keyturn.Product,
	error,
) {
	found := map[string]keyturn.Product{}
	for i, id := range known.ProductIDs {
		p, err := readStored(id, known.Specs[i])
		if err != nil {
			return nil, err
		}
		found[id] = p
	}
	only := known.currencies()
	var bad keyturn.Problems
	check := func(at string, l keyturn.LinkLine) {
		p, ok := found[l.ProductID]
		if !ok || !prefix.Covers(l.ProductID) {
			bad.Addf(at+"productId", "names a product that is not in the catalog: %s", l.ProductID)
			return
		}
		bad.Check(len(sourcesFor(p, only[l.ProductID], link.Currency)) > 0, at+"productId",
			"no pool of product %s sells in %s", l.ProductID, link.Currency)
		bad.Check(p.FitsMail(l.Quantity.Max), at+"quantity", tooManyForMail, keyturn.MaxUnitsByMail)
	}
	for i, l := range link.LineItems {
		check(lineAt(i)+".", l)
	}
	for i, o := range link.Offers.OnVisit {
		check("offers.onVisit["+itoa(i)+"].lineItem.", o.LineItem)
	}
	for i, o := range link.Offers.OnLeave {
		check("offers.onLeave["+itoa(i)+"].lineItem.", o.LineItem)
	}
	return found, bad.Err("the checkout link is not valid")
}
