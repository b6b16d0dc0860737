package db

import (
	"context"
	"slices"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// acceptContext is what is known before an order is stored.
type acceptContext struct {
	Now time.Time `db:"now"`

	// Of an earlier request with the same key, if there was one.
	RequestHash []byte  `db:"request_hash"`
	OrderID     *string `db:"order_id"`
	Response    []byte  `db:"response"`
	CustomerID  *string `db:"customer_id"`
	DataKey     []byte  `db:"data_key"`

	CustomerKey []byte         `db:"customer_key"` // empty: the customer is new, or was erased
	BadAddress  []byte         `db:"bad_address_tag"`
	ProductIDs  pq.StringArray `db:"product_ids"`
	Specs       pq.StringArray `db:"specs"`
	Currencies  pq.StringArray `db:"currencies"` // products.pool_currencies, or empty
	Stock       pq.StringArray `db:"stock"`      // of each pool of the products: its ID, "=", shortages.stock
	Down        pq.StringArray `db:"down"`       // integrations whose breaker is open

	Lost bool `db:"lost"` // it was accepted before, and a restore lost it

	PaysLink    bool `db:"pays_link"`    // its payment is a checkout link's
	PaysAnother bool `db:"pays_another"` // its payment is an order's that the token's prefix does not cover

	readAt time.Time // by this process's clock
}

// readAcceptContext reads what an order rests on: the answer to an earlier request with the same key, its customer, its
// products.
func (d *DB) readAcceptContext(ctx context.Context, in AcceptInput) (acceptContext, error) {
	row := acceptContext{readAt: time.Now()}
	provider, reference := in.payment()
	args := []any{
		in.Client, in.IdempotencyKey, in.Order.Customer.ID, pq.Array(productIDs(in.Order)), in.Order.ID, provider, reference,
	}
	query := acceptContextSQL + acceptContextFromSQL
	if m := in.Prefix.Merchant(); m != "" {
		query, args = acceptContextSQL+paysAnotherSQL+acceptContextFromSQL, append(args, m)
	}
	//keyturn:autocommit it reads
	err := d.pg.GetContext(ctx, &row, query, args...)
	return row, pg.AsKind(err)
}

var acceptContextSQL = `
		SELECT now() AS now, i.request_hash, i.order_id, i.response, o.customer_id, oc.data_key, c.data_key AS customer_key,
			c.bad_address_tag,
			ARRAY(SELECT id FROM products WHERE id = ANY($4) ORDER BY id) AS product_ids,
			ARRAY(SELECT spec FROM products WHERE id = ANY($4) ORDER BY id) AS specs,
			ARRAY(SELECT coalesce(pool_currencies, '') FROM products WHERE id = ANY($4) ORDER BY id) AS currencies,
			ARRAY(SELECT s ->> 'pool' || '=' || CASE
					WHEN EXISTS (SELECT FROM line_items w WHERE w.waiting_pool = s ->> 'pool') THEN 0
					ELSE greatest(coalesce((SELECT sum(k.available) FROM pool_stock k WHERE k.pool_id = s ->> 'pool'), 0)
						- ` + reservedSQL(`s ->> 'pool'`) + `, 0) END
				FROM products p, json_array_elements(CAST(p.spec AS json) -> 'sources') s
				WHERE p.id = ANY($4) AND s ->> 'pool' <> '') AS stock,
			ARRAY(SELECT integration FROM partner_gates WHERE opened_at IS NOT NULL) AS down,
			EXISTS (SELECT FROM lost_lines WHERE order_id = $5 AND taken_at IS NULL) AS lost,
			EXISTS (SELECT FROM payments WHERE provider = $6 AND payment_reference = $7) AS pays_link`

const (
	paysAnotherSQL = `,
			EXISTS (SELECT FROM merchant_payments WHERE provider = $6 AND reference = $7 AND merchant <> $8)
				OR EXISTS (SELECT FROM orders WHERE payment_provider = $6 AND payment_reference = $7
					AND (strpos(id, ':') = 0 OR split_part(id, ':', 1) <> $8)) AS pays_another`
	acceptContextFromSQL = `
		FROM (SELECT) AS this
		LEFT JOIN idempotency_keys i ON i.client = $1 AND i.key = $2
		LEFT JOIN orders o ON o.id = i.order_id
		LEFT JOIN customers oc ON oc.id = o.customer_id
		LEFT JOIN customers c ON c.id = $3`
)

// payment is the payment that nobody else's order may have; empty of an order that a checkout link makes, whose payment
// is its own, and of one for which nothing was paid.
func (in AcceptInput) payment() (provider, reference string) {
	if p := in.Order.Payment; in.PaymentID == "" && p.Provider != keyturn.PaymentNone {
		return p.Provider, p.Reference
	}
	return "", ""
}

// merchant is whose payment the order's becomes; empty: nobody's.
func (in AcceptInput) merchant() string {
	if provider, _ := in.payment(); provider == "" {
		return ""
	}
	return in.Prefix.Merchant()
}

// paysForIt refuses an order that names somebody else's payment: its cancellation would give that money back. Orders of
// one merchant may share a payment; their refunds are at most the sum of their prices.
func (f acceptContext) paysForIt() error {
	refuse := func(why string) error {
		return &keyturn.Error{
			Kind: keyturn.KindConflict, Message: "the order names a payment that is not its own",
			Fields: []keyturn.FieldError{{Location: "payment.reference", Message: why}},
		}
	}
	switch {
	case f.PaysLink:
		return refuse("belongs to the payment of a checkout link, which makes its order by itself")
	case f.PaysAnother:
		return refuse("belongs to an order that the token's prefix does not cover: give the reference of this customer's " +
			"payment")
	}
	return nil
}

// repeated gives the stored answer of an earlier request, if this one is the same.
func (d *DB) repeated(in AcceptInput, row acceptContext) ([]byte, error) {
	if string(row.RequestHash) != string(in.RequestHash) {
		return nil, &keyturn.Error{
			Kind: keyturn.KindInvalid, Message: "the Idempotency-Key was used for another request",
			Fields: []keyturn.FieldError{
				{Location: "Idempotency-Key", Message: "belongs to order " + *row.OrderID +
					", whose request was different: use a new key"},
			},
		}
	}
	dk, err := d.keys.OpenDataKey(row.DataKey, "customer/"+*row.CustomerID)
	if err != nil {
		return nil, err
	}
	return dk.Open(row.Response, "idempotency_keys/"+*row.OrderID)
}

// productIDs are the products of an order, each once.
func productIDs(o keyturn.Order) []string {
	var ids []string
	for _, l := range o.LineItems {
		if !slices.Contains(ids, l.ProductID) {
			ids = append(ids, l.ProductID)
		}
	}
	return ids
}

// productsOf reads the products of an order; every unknown one is named with its line. Without the prefix they are
// unknown.
func productsOf(in AcceptInput, known acceptContext) (map[string]keyturn.Product, error) {
	found := map[string]keyturn.Product{}
	for i, id := range known.ProductIDs {
		p, err := readStored(id, known.Specs[i])
		if err != nil {
			return nil, err
		}
		found[id] = p
	}
	var bad keyturn.Problems
	for i, l := range in.Order.LineItems {
		p, ok := found[l.ProductID]
		bad.Check(ok && in.Prefix.Covers(l.ProductID), lineAt(i)+".productId",
			"names a product that is not in the catalog: %s", l.ProductID)
		// what a checkout link has sold was checked when it was made
		bad.Check(in.PaymentID != "" || p.FitsMail(l.Quantity), lineAt(i)+".quantity", tooManyForMail,
			keyturn.MaxUnitsByMail)
	}
	return found, bad.Err("the order is not valid")
}

// tooManyForMail is the rule of lines whose keys no page shows.
const tooManyForMail = "must be at most %d: the product's keys are sent by e-mail alone (pageKeys: never), and no " +
	"e-mail carries more"

// customerKey gives the data key of a customer, or makes one for a new customer, and for one who was erased and comes
// again.
func (d *DB) customerKey(id string, known acceptContext) (vault.DataKey, []byte, error) {
	if len(known.CustomerKey) == 0 {
		return d.keys.NewDataKey("customer/" + id)
	}
	dk, err := d.keys.OpenDataKey(known.CustomerKey, "customer/"+id)
	return dk, known.CustomerKey, err
}
