package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// relayAfter is how long an accepted line may wait for its first step before the relay looks after it: long enough that
// a healthy process has long started it, short enough that nobody notices a crash.
const relayAfter = 10 * time.Second

// AcceptInput is a checked order and who sent it.
type AcceptInput struct {
	Order          keyturn.Order
	Client         string // the token's name: idempotency keys belong to it
	IdempotencyKey string
	RequestHash    []byte // of the request's bytes
	// Respond makes the answer that is stored and given again to every repetition of the request.
	Respond func(Accepted) ([]byte, error)
}

// Accepted is an order as it was stored. Lines are in the order of the request, with their IDs.
type Accepted struct {
	Order      keyturn.Order
	GrossPrice keyturn.Money
	CreatedAt  time.Time
	PageToken  string
	Starts     []Start
}

// Start is what it takes to start a line's workflow.
type Start struct {
	FulfillmentID string       `db:"fulfillment_id"`
	OrderID       string       `db:"order_id"`
	ProductID     string       `db:"product_id"`
	Next          keyturn.Next `db:"-"`
}

// Accept stores an order, its lines and the answer in one transaction; after it returned nil the order is never lost.
// A repetition of the request (same client, key and bytes) gives the stored answer and no Accepted. Errors: KindInvalid
// for an unknown product, or another request under the same key (with field `Idempotency-Key`); KindConflict while the
// first request of the key still runs, and for an order ID that is taken.
func (d *DB) Accept(ctx context.Context, in AcceptInput) (*Accepted, []byte, error) {
	var accepted *Accepted
	var response []byte
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		accepted, response = nil, nil
		first, err := d.firstLook(ctx, tx, in)
		if err != nil {
			return err
		}
		if first.RequestHash != nil {
			response, err = d.repeated(in, first)
			return err
		}
		accepted, response, err = d.accept(ctx, tx, in, first.Now)
		return err
	})
	if isUnique(err, "idempotency_keys_pkey") { // the first request was committed between our look and our lock
		return d.Accept(ctx, in)
	}
	if isUnique(err, "orders_pkey") || isUnique(err, "sandbox_payments_pkey") { // whichever the statement meets first
		return nil, nil, keyturn.Errorf(keyturn.KindConflict, "there is an order %s already: an order's id is unique", in.Order.ID)
	}
	if isUnique(err, "line_items_pkey") {
		return nil, nil, keyturn.Errorf(keyturn.KindConflict, "one of lineItems[].id belongs to a line of another order")
	}
	return accepted, response, err
}

// firstLook is what the key of a request says, and the time of the transaction.
type firstLook struct {
	Free        bool      `db:"free"`
	Now         time.Time `db:"now"`
	RequestHash []byte    `db:"request_hash"` // nil: the key is new
	OrderID     *string   `db:"order_id"`
	Response    []byte    `db:"response"`
	CustomerID  *string   `db:"customer_id"`
	DataKey     []byte    `db:"data_key"`
}

// firstLook takes the lock on the request's key, the shared lock that keeps products from being deleted meanwhile, and
// finds the answer of an earlier request with the same key.
func (d *DB) firstLook(ctx context.Context, tx *sqlx.Tx, in AcceptInput) (firstLook, error) {
	var row firstLook
	err := tx.GetContext(ctx, &row, `
		SELECT l.free, now() AS now, i.request_hash, i.order_id, i.response, o.customer_id, c.data_key
		FROM (SELECT pg_try_advisory_xact_lock(hashtextextended($3, 0)) AS free, pg_advisory_xact_lock_shared($4)) l
		LEFT JOIN idempotency_keys i ON i.client = $1 AND i.key = $2
		LEFT JOIN orders o ON o.id = i.order_id
		LEFT JOIN customers c ON c.id = o.customer_id`, in.Client, in.IdempotencyKey, in.Client+"\x1f"+in.IdempotencyKey, catalogLock)
	if err == nil && !row.Free {
		err = keyturn.Errorf(keyturn.KindConflict, "a request with this Idempotency-Key is still being worked on: ask again in a moment")
	}
	return row, err
}

// catalogLock is the advisory lock that sales share and the deletion of a product takes alone.
const catalogLock = 4_705_301

// repeated gives the stored answer of an earlier request, if this one is the same.
func (d *DB) repeated(in AcceptInput, row firstLook) ([]byte, error) {
	if string(row.RequestHash) != string(in.RequestHash) {
		return nil, &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the Idempotency-Key was used for another request", Fields: []keyturn.FieldError{
			{Location: "Idempotency-Key", Message: "belongs to order " + *row.OrderID + ", whose request was different: use a new key"},
		}}
	}
	dk, err := d.keys.dataKey(row.DataKey, "customer/"+*row.CustomerID)
	if err != nil {
		return nil, err
	}
	return dk.unseal(row.Response, "idempotency_keys/"+*row.OrderID)
}

func (d *DB) accept(ctx context.Context, tx *sqlx.Tx, in AcceptInput, now time.Time) (*Accepted, []byte, error) {
	o := in.Order
	products, err := d.productsOf(ctx, tx, o)
	if err != nil {
		return nil, nil, err
	}
	dk, err := d.customerKey(ctx, tx, o.Customer.ID)
	if err != nil {
		return nil, nil, err
	}
	a := &Accepted{Order: o, CreatedAt: now, GrossPrice: keyturn.Money{Currency: o.Currency}, PageToken: d.keys.pageToken(o.ID)}
	a.Order.LineItems = append([]keyturn.LineItem(nil), o.LineItems...)
	rows := newLineRows(len(o.LineItems))
	for i := range a.Order.LineItems {
		l := &a.Order.LineItems[i]
		price, err := keyturn.ParseMoney(l.GrossPrice, o.Currency)
		if err != nil {
			return nil, nil, err
		}
		a.GrossPrice.Minor += price.Minor
		rows.add(l, price, products[l.ProductID].deadlineFrom(a.CreatedAt))
		a.Starts = append(a.Starts, Start{
			FulfillmentID: l.FulfillmentID, OrderID: o.ID, ProductID: l.ProductID,
			Next: firstNext(products[l.ProductID].product, a.CreatedAt),
		})
	}
	personal, err := json.Marshal(storedCustomer{o.Customer, o.CartExternalContext})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := dk.seal(personal, "orders/"+o.ID)
	if err != nil {
		return nil, nil, err
	}
	response, err := in.Respond(*a)
	if err != nil {
		return nil, nil, err
	}
	sealedResponse, err := dk.seal(response, "idempotency_keys/"+o.ID)
	if err != nil {
		return nil, nil, err
	}
	_, err = tx.ExecContext(ctx, acceptSQL,
		o.ID, in.Client, o.Customer.ID, sealed, o.Currency, a.GrossPrice.Minor, o.Payment.Provider, o.Payment.Reference,
		pageHash(a.PageToken), len(o.LineItems), a.CreatedAt, in.IdempotencyKey, in.RequestHash, sealedResponse,
		now.Add(relayAfter), pq.Array(rows.ids), pq.Array(rows.fulfillments), pq.Array(rows.products), pq.Array(rows.quantities),
		pq.Array(rows.minors), pq.Array(rows.operations), pq.Array(rows.subscriptions), pq.Array(rows.trials), pq.Array(rows.deadlines))
	return a, response, err
}

// acceptSQL stores an order with all that belongs to it in one statement, however many lines it has.
const acceptSQL = `
	WITH o AS (
		INSERT INTO orders (id, client, customer_id, customer, currency, gross_minor, payment_provider, payment_reference, page_hash, lines_total, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
	), captured AS (
		INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency) SELECT $8, $1, $6, $5 WHERE $7 = 'sandbox'
	), answered AS (
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response) VALUES ($2, $12, $13, $1, $14)
	)
	INSERT INTO line_items (id, fulfillment_id, order_id, position, product_id, quantity, gross_minor, operation, subscription_id,
		trial_context, source_started_at, give_up_at, wake_at, created_at)
	SELECT t.id, t.fulfillment_id, $1, t.position, t.product_id, t.quantity, t.minor, t.operation, t.subscription_id,
		t.trial_context, $11, t.give_up_at, $15, $11
	FROM unnest(CAST($16 AS uuid[]), CAST($17 AS uuid[]), CAST($18 AS text[]), CAST($19 AS bigint[]), CAST($20 AS bigint[]),
		CAST($21 AS text[]), CAST($22 AS text[]), CAST($23 AS text[]), CAST($24 AS timestamptz[]))
		WITH ORDINALITY AS t (id, fulfillment_id, product_id, quantity, minor, operation, subscription_id, trial_context, give_up_at, position)`

// storedCustomer is what is encrypted of an order.
type storedCustomer struct {
	keyturn.Customer
	CartExternalContext string `json:"cartExternalContext,omitempty"`
}

type soldProduct struct{ product keyturn.Product }

func (s soldProduct) deadlineFrom(t time.Time) time.Time {
	return t.Add(time.Duration(s.product.Retry.GiveUpAfter))
}

// productsOf finds the products of an order; every unknown one is named with its line.
func (d *DB) productsOf(ctx context.Context, tx *sqlx.Tx, o keyturn.Order) (map[string]soldProduct, error) {
	wanted := map[string]soldProduct{}
	var ids []string
	for _, l := range o.LineItems {
		if _, ok := wanted[l.ProductID]; !ok {
			wanted[l.ProductID] = soldProduct{}
			ids = append(ids, l.ProductID)
		}
	}
	var rows []struct {
		ID   string `db:"id"`
		Spec string `db:"spec"`
	}
	if err := tx.SelectContext(ctx, &rows, `SELECT id, spec FROM products WHERE id = ANY($1) ORDER BY id`, pq.Array(ids)); err != nil {
		return nil, err
	}
	found := map[string]soldProduct{}
	for _, r := range rows {
		var p keyturn.Product
		if err := json.Unmarshal([]byte(r.Spec), &p); err != nil {
			return nil, keyturn.Errorf(keyturn.KindInternal, "the stored product %s cannot be read: %w", r.ID, err)
		}
		found[r.ID] = soldProduct{p.WithDefaults()}
	}
	var bad keyturn.Problems
	for i, l := range o.LineItems {
		_, ok := found[l.ProductID]
		bad.Check(ok, lineAt(i)+".productId", "names a product that is not in the catalog: %s", l.ProductID)
	}
	return found, bad.Err("the order is not valid")
}

// customerKey finds or makes the data key of a customer.
func (d *DB) customerKey(ctx context.Context, tx *sqlx.Tx, id string) (dataKey, error) {
	_, fresh, err := d.keys.newDataKey("customer/" + id)
	if err != nil {
		return dataKey{}, err
	}
	var wrapped []byte
	err = tx.GetContext(ctx, &wrapped, `
		WITH made AS (INSERT INTO customers (id, data_key) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING data_key)
		SELECT data_key FROM made UNION ALL SELECT data_key FROM customers WHERE id = $1`, id, fresh)
	if errors.Is(err, sql.ErrNoRows) { // somebody else made it while this statement ran
		err = tx.GetContext(ctx, &wrapped, `SELECT data_key FROM customers WHERE id = $1`, id)
	}
	if err != nil {
		return dataKey{}, err
	}
	return d.keys.dataKey(wrapped, "customer/"+id)
}

// firstNext is what a fresh line of the product needs: the same as line.next of its row.
func firstNext(p keyturn.Product, createdAt time.Time) keyturn.Next {
	l := line{Status: keyturn.LinePending, Version: 1, product: p, CreatedAt: createdAt, SourceStartedAt: createdAt}
	l.GiveUpAt = l.deadline()
	return l.next()
}

// lineRows are the columns of an order's lines, inserted in one statement however many there are.
type lineRows struct {
	ids, fulfillments, products, operations, subscriptions, trials []string
	quantities, minors                                             []int64
	deadlines                                                      []string
}

func newLineRows(n int) *lineRows { return &lineRows{ids: make([]string, 0, n)} }

func (r *lineRows) add(l *keyturn.LineItem, price keyturn.Money, deadline time.Time) {
	l.ID = strings.ToLower(l.ID) // as PostgreSQL will show it
	if l.ID == "" {
		l.ID = newID()
	}
	if l.Operation == "" {
		l.Operation = keyturn.OpCreate
	}
	l.FulfillmentID = newID()
	l.GrossPrice = price.String()
	r.ids = append(r.ids, l.ID)
	r.fulfillments = append(r.fulfillments, l.FulfillmentID)
	r.products = append(r.products, l.ProductID)
	r.operations = append(r.operations, string(l.Operation))
	r.subscriptions = append(r.subscriptions, l.SubscriptionID)
	r.trials = append(r.trials, l.TrialContext)
	r.quantities = append(r.quantities, int64(l.Quantity))
	r.minors = append(r.minors, price.Minor)
	r.deadlines = append(r.deadlines, deadline.Format(time.RFC3339Nano))
}

// newID mints a UUIDv7: in the order of time, so that index pages fill up one after the other.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func lineAt(i int) string { return "lineItems[" + itoa(i) + "]" }
