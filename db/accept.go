package db

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
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
	// Respond makes the answer that is stored and given again to every repetition of the request. It may be asked twice.
	Respond func(Accepted) ([]byte, error)
}

// Accepted is an order as it was stored. Lines are in the order of the request, with their IDs.
type Accepted struct {
	Order      keyturn.Order
	GrossPrice keyturn.Money
	CreatedAt  time.Time
	PageToken  string
	Starts     []Start
	Warnings   []keyturn.Warning // lines that nothing can deliver at the moment
}

// Start is what it takes to start a line's workflow.
type Start struct {
	FulfillmentID string       `db:"fulfillment_id"`
	LineID        string       `db:"line_id"`
	OrderID       string       `db:"order_id"`
	ProductID     string       `db:"product_id"`
	Next          keyturn.Next `db:"-"`

	// What the line was promised, for people to read.
	Retry    keyturn.RetryPolicy `db:"-"`
	GiveUpAt time.Time           `db:"-"` // by the database's clock
}

// start is what it takes to start the line's workflow.
func (l *line) start() Start {
	return Start{
		FulfillmentID: l.FulfillmentID, LineID: l.ID, OrderID: l.OrderID, ProductID: l.ProductID, Next: l.next(), Retry: l.product.Retry, GiveUpAt: l.GiveUpAt,
	}
}

// acceptTries bounds how often an order is stored anew because something that it rests on changed at the same time.
const acceptTries = 3

// Accept stores an order, its lines and the answer in one transaction, which is one statement; after it returned nil the
// order is never lost. A repetition of the request (same client, key and bytes) gives the stored answer and no Accepted.
// Errors: KindInvalid for an unknown product, or another request under the same key (with field `Idempotency-Key`);
// KindConflict for an order ID or a line ID that is taken.
func (d *DB) Accept(ctx context.Context, in AcceptInput) (*Accepted, []byte, error) {
	for try := 1; ; try++ {
		known, err := d.readAcceptContext(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if known.RequestHash != nil {
			response, err := d.repeated(in, known)
			return nil, response, err
		}
		accepted, response, err := d.accept(ctx, in, known)
		switch {
		case err == nil:
			return accepted, response, nil
		case try < acceptTries && (errors.Is(err, errOvertaken) || pg.SQLState(err) == pg.UniqueViolation || pg.IsRetryable(err)):
			// Perhaps by the same request, which is answered then.
		case pg.IsUniqueViolation(err, "orders_pkey") || pg.IsUniqueViolation(err, "sandbox_payments_pkey"): // whichever the statement meets first
			return nil, nil, keyturn.Errorf(keyturn.KindConflict, "there is an order %s already: an order's id is unique", in.Order.ID)
		case pg.IsUniqueViolation(err, "line_items_pkey"):
			return nil, nil, keyturn.Errorf(keyturn.KindConflict, "one of lineItems[].id belongs to a line of another order")
		case errors.Is(err, errOvertaken):
			return nil, nil, keyturn.Errorf(keyturn.KindUnavailable, "the catalog changes too fast at this moment: try again")
		default:
			return nil, nil, err
		}
	}
}

// errOvertaken: a product was deleted, or a customer erased, after the first look.
var errOvertaken = errors.New("what the order rests on has changed")

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
	ProductIDs  pq.StringArray `db:"product_ids"`
	Specs       pq.StringArray `db:"specs"`
	Currencies  pq.StringArray `db:"currencies"` // products.pool_currencies, or empty
	Stock       pq.StringArray `db:"stock"`      // of each pool of the products: its ID, "=", shortages.stock
	Down        pq.StringArray `db:"down"`       // integrations whose breaker is open

	Lost bool `db:"lost"` // it was accepted before, and a restore lost it

	readAt time.Time // by this process's clock
}

// acceptContext reads what an order rests on: the answer to an earlier request with the same key, its customer, its products.
func (d *DB) readAcceptContext(ctx context.Context, in AcceptInput) (acceptContext, error) {
	row := acceptContext{readAt: time.Now()}
	err := d.pg.GetContext(ctx, &row, `
		SELECT now() AS now, i.request_hash, i.order_id, i.response, o.customer_id, oc.data_key, c.data_key AS customer_key,
			ARRAY(SELECT id FROM products WHERE id = ANY($4) ORDER BY id) AS product_ids,
			ARRAY(SELECT spec FROM products WHERE id = ANY($4) ORDER BY id) AS specs,
			ARRAY(SELECT coalesce(pool_currencies, '') FROM products WHERE id = ANY($4) ORDER BY id) AS currencies,
			ARRAY(SELECT s ->> 'pool' || '=' || CASE WHEN EXISTS (SELECT FROM line_items w WHERE w.waiting_pool = s ->> 'pool') THEN 0
					ELSE coalesce((SELECT sum(k.available) FROM pool_stock k WHERE k.pool_id = s ->> 'pool'), 0) END
				FROM products p, json_array_elements(CAST(p.spec AS json) -> 'sources') s WHERE p.id = ANY($4) AND s ->> 'pool' <> '') AS stock,
			ARRAY(SELECT integration FROM partner_gates WHERE opened_at IS NOT NULL) AS down,
			EXISTS (SELECT FROM lost_lines WHERE order_id = $5 AND taken_at IS NULL) AS lost
		FROM (SELECT) AS this
		LEFT JOIN idempotency_keys i ON i.client = $1 AND i.key = $2
		LEFT JOIN orders o ON o.id = i.order_id
		LEFT JOIN customers oc ON oc.id = o.customer_id
		LEFT JOIN customers c ON c.id = $3`, in.Client, in.IdempotencyKey, in.Order.Customer.ID, pq.Array(productIDs(in.Order)), in.Order.ID)
	return row, pg.AsKind(err)
}

// repeated gives the stored answer of an earlier request, if this one is the same.
func (d *DB) repeated(in AcceptInput, row acceptContext) ([]byte, error) {
	if string(row.RequestHash) != string(in.RequestHash) {
		return nil, &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the Idempotency-Key was used for another request", Fields: []keyturn.FieldError{
			{Location: "Idempotency-Key", Message: "belongs to order " + *row.OrderID + ", whose request was different: use a new key"},
		}}
	}
	dk, err := d.keys.OpenDataKey(row.DataKey, "customer/"+*row.CustomerID)
	if err != nil {
		return nil, err
	}
	return dk.Open(row.Response, "idempotency_keys/"+*row.OrderID)
}

// accept stores the order: in one statement, or, if it acts on licences, brings a term or was lost by a restore, with what
// that takes.
func (d *DB) accept(ctx context.Context, in AcceptInput, known acceptContext) (accepted *Accepted, response []byte, err error) {
	if !plansOperations(in.Order) && !known.Lost {
		return d.store(ctx, d.pg.Implicit(), in, known, &operations{})
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		ops, err := d.planOperations(ctx, tx, in.Order, known.Now)
		if err != nil {
			return err
		}
		if ops.lost, err = d.takeLost(ctx, tx, in.Order); err != nil {
			return err
		}
		if accepted, response, err = d.store(ctx, tx, in, known, ops); err != nil {
			return err
		}
		if err := ops.store(ctx, tx, accepted.Order.LineItems); err != nil {
			return err
		}
		return d.settleLost(ctx, tx, accepted, ops.lost)
	})
	return accepted, response, err
}

func (d *DB) store(ctx context.Context, s pg.Queryer, in AcceptInput, known acceptContext, ops *operations) (*Accepted, []byte, error) {
	o, now := in.Order, known.Now
	products, err := productsOf(o, known)
	if err != nil {
		return nil, nil, err
	}
	pools := known.currencies()
	warnings, err := d.sellable(ctx, o, products, pools, known.shortages())
	if err != nil {
		return nil, nil, err
	}
	dk, wrapped, err := d.customerKey(o.Customer.ID, known)
	if err != nil {
		return nil, nil, err
	}
	a := &Accepted{Order: o, CreatedAt: now, GrossPrice: keyturn.Money{Currency: o.Currency}, PageToken: d.PageToken(o.ID), Warnings: warnings}
	a.Order.LineItems = append([]keyturn.LineItem(nil), o.LineItems...)
	rows := newLineRows(len(o.LineItems))
	relayAt := ptr(now.Add(relayAfter))
	for i := range a.Order.LineItems {
		l := &a.Order.LineItems[i]
		price, err := keyturn.ParseMoney(l.GrossPrice, o.Currency)
		if err != nil {
			return nil, nil, err
		}
		a.GrossPrice.Minor += price.Minor
		was := ops.lost[i]
		if l.ID == "" {
			l.ID = was.LineID
		}
		rows.add(l, was.FulfillmentID, price, now.Add(time.Duration(products[l.ProductID].Retry.GiveUpAfter)))
		op := ops.lines[i]
		if op != nil && op.licenseID != nil {
			l.LicenseID = *op.licenseID
		}
		row, err := newLine(o, *l, price, known, relayAt, op)
		if err != nil {
			return nil, nil, err
		}
		a.Starts = append(a.Starts, row.start())
	}
	personal, err := json.Marshal(storedCustomer{o.Customer, o.CartExternalContext})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := dk.Seal(personal, "orders/"+o.ID)
	if err != nil {
		return nil, nil, err
	}
	response, err := in.Respond(*a)
	if err != nil {
		return nil, nil, err
	}
	sealedResponse, err := dk.Seal(response, "idempotency_keys/"+o.ID)
	if err != nil {
		return nil, nil, err
	}
	query := acceptSQL
	if len(known.CustomerKey) > 0 {
		query = acceptKnownSQL
	}
	var stored []int
	err = s.SelectContext(ctx, &stored, query,
		o.ID, in.Client, o.Customer.ID, sealed, o.Currency, a.GrossPrice.Minor, o.Payment.Provider, o.Payment.Reference,
		pageHash(a.PageToken), len(o.LineItems), a.CreatedAt, in.IdempotencyKey, in.RequestHash, sealedResponse,
		relayAt, pq.Array(rows.ids), pq.Array(rows.fulfillments), pq.Array(rows.products), pq.Array(rows.quantities),
		pq.Array(rows.minors), pq.Array(rows.operations), pq.Array(rows.subscriptions), pq.Array(rows.trials), pq.Array(rows.deadlines),
		wrapped, pq.Array([]string(known.ProductIDs)), len(known.ProductIDs))
	if err == nil && len(stored) == 0 {
		err = errOvertaken
	}
	return a, response, err
}

// newLine is a line of an order that is being stored, as look will read it: its workflow starts with its next step. op is
// nil unless the line acts on a licence.
func newLine(o keyturn.Order, l keyturn.LineItem, price keyturn.Money, known acceptContext, relayAt *time.Time, op *operationLine) (line, error) {
	out := line{
		ID: l.ID, FulfillmentID: l.FulfillmentID, OrderID: o.ID, ProductID: l.ProductID, Quantity: l.Quantity, GrossMinor: price.Minor,
		Operation: string(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext, Status: keyturn.LinePending, Version: 1,
		SourceStartedAt: known.Now, WakeAt: relayAt, CreatedAt: known.Now, Currency: o.Currency, CustomerID: o.Customer.ID, Now: known.Now, readAt: known.readAt,
	}
	if op != nil {
		out.LicenseID, out.LicenseSource, out.Blocked = op.licenseID, op.source, op.blocked
	}
	no := slices.Index(known.ProductIDs, l.ProductID)
	out.ProductSpec = known.Specs[no]
	if known.Currencies[no] != "" {
		out.Currencies = &known.Currencies[no]
	}
	return out, out.derive()
}

// acceptSQL stores an order with all that belongs to it in one statement, however many lines it has: if its products are
// still for sale and its customer's key is still the one that it was encrypted with, which the locks on their rows keep
// so until the order is there.
const (
	acceptSQL = `
	WITH sold AS (
		SELECT id FROM products WHERE id = ANY($26) FOR KEY SHARE
	), customer AS (
		INSERT INTO customers (id, data_key) SELECT $3, CAST($25 AS bytea) WHERE (SELECT count(*) FROM sold) = $27
		ON CONFLICT (id) DO UPDATE SET data_key = excluded.data_key WHERE customers.data_key IS NULL
		RETURNING id
	), settled AS (
		SELECT 1 AS yes FROM customer
	)` + acceptOrderSQL
	acceptKnownSQL = `
	WITH sold AS (
		SELECT id FROM products WHERE id = ANY($26) FOR KEY SHARE
	), settled AS (
		SELECT 1 AS yes FROM customers WHERE id = $3 AND data_key = $25 AND (SELECT count(*) FROM sold) = $27 FOR KEY SHARE
	)` + acceptOrderSQL
	acceptOrderSQL = `, o AS (
		INSERT INTO orders (id, client, customer_id, customer, currency, gross_minor, payment_provider, payment_reference, page_hash, lines_total, created_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM settled
	), captured AS (
		INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency) SELECT $8, $1, $6, $5 FROM settled WHERE $7 = 'sandbox'
	), answered AS (
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response) SELECT $2, $12, $13, $1, $14 FROM settled
	), lines AS (
		INSERT INTO line_items (id, fulfillment_id, order_id, position, product_id, quantity, gross_minor, operation, subscription_id,
			trial_context, source_started_at, give_up_at, wake_at, created_at)
		SELECT t.id, t.fulfillment_id, $1, t.position, t.product_id, t.quantity, t.minor, t.operation, t.subscription_id,
			t.trial_context, $11, t.give_up_at, $15, $11
		FROM settled, unnest(CAST($16 AS uuid[]), CAST($17 AS uuid[]), CAST($18 AS text[]), CAST($19 AS bigint[]), CAST($20 AS bigint[]),
			CAST($21 AS text[]), CAST($22 AS text[]), CAST($23 AS text[]), CAST($24 AS timestamptz[]))
			WITH ORDINALITY AS t (id, fulfillment_id, product_id, quantity, minor, operation, subscription_id, trial_context, give_up_at, position)
	)
	SELECT yes FROM settled`
)

// storedCustomer is what is encrypted of an order.
type storedCustomer struct {
	keyturn.Customer
	CartExternalContext string `json:"cartExternalContext,omitempty"`
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

// productsOf reads the products of an order; every unknown one is named with its line.
func productsOf(o keyturn.Order, known acceptContext) (map[string]keyturn.Product, error) {
	found := map[string]keyturn.Product{}
	for i, id := range known.ProductIDs {
		p, err := readStored(id, known.Specs[i])
		if err != nil {
			return nil, err
		}
		found[id] = p
	}
	var bad keyturn.Problems
	for i, l := range o.LineItems {
		_, ok := found[l.ProductID]
		bad.Check(ok, lineAt(i)+".productId", "names a product that is not in the catalog: %s", l.ProductID)
	}
	return found, bad.Err("the order is not valid")
}

// customerKey gives the data key of a customer, or makes one for a new customer, and for one who was erased and comes
// again.
func (d *DB) customerKey(id string, known acceptContext) (vault.DataKey, []byte, error) {
	if len(known.CustomerKey) == 0 {
		return d.keys.NewDataKey("customer/" + id)
	}
	dk, err := d.keys.OpenDataKey(known.CustomerKey, "customer/"+id)
	return dk, known.CustomerKey, err
}

// lineRows are the columns of an order's lines, inserted in one statement however many there are.
type lineRows struct {
	ids, fulfillments, products, operations, subscriptions, trials []string
	quantities, minors                                             []int64
	deadlines                                                      []string
}

func newLineRows(n int) *lineRows { return &lineRows{ids: make([]string, 0, n)} }

// add adds a line, under a new fulfillment ID unless it has one.
func (r *lineRows) add(l *keyturn.LineItem, fulfillmentID string, price keyturn.Money, deadline time.Time) {
	l.ID = strings.ToLower(l.ID) // as PostgreSQL will show it
	if l.ID == "" {
		l.ID = newID()
	}
	if l.Operation == "" {
		l.Operation = keyturn.OpCreate
	}
	l.FulfillmentID = fulfillmentID
	if fulfillmentID == "" {
		l.FulfillmentID = newID()
	}
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
