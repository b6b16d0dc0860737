package db

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

func (d *DB) store(
	ctx context.Context, s pg.Queryer, in AcceptInput, known acceptContext, ops *operations,
) (*Accepted, []byte, error) {
	o, now := in.Order, known.Now
	products, err := productsOf(in, known)
	if err != nil {
		return nil, nil, err
	}
	pools := known.currencies()
	warnings, err := d.sellable(ctx, o, products, pools, known.shortages(), in.PaymentID != "")
	if err != nil {
		return nil, nil, err
	}
	warnings = append(d.warnOfAddress(o.Customer, known), warnings...)
	dk, wrapped, err := d.customerKey(o.Customer.ID, known)
	if err != nil {
		return nil, nil, err
	}
	a := &Accepted{
		Order: o, CreatedAt: now, GrossPrice: keyturn.Money{Currency: o.Currency}, PageToken: d.PageToken(o.ID),
		Warnings: warnings,
	}
	a.Order.LineItems = append([]keyturn.LineItem(nil), o.LineItems...)
	rows := newLineRows(len(o.LineItems))
	relayAt := ptr(now.Add(relayAfter))
	if in.PaymentID != "" {
		relayAt = ptr(now.Add(relayPaidAfter))
	}
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
		sold := products[l.ProductID]
		if l.SoldAs != nil {
			sold = l.SoldAs.Apply(sold)
		}
		deadline := now.Add(time.Duration(sold.Retry.GiveUpAfter))
		if in.captureBy != nil {
			deadline = minTime(deadline, *in.captureBy)
		}
		rows.add(l, was.FulfillmentID, price, deadline)
		op := ops.lines[i]
		if op != nil && op.licenseID != nil {
			l.LicenseID = *op.licenseID
		}
		row, err := newLine(in, *l, price, known, relayAt, op)
		if err != nil {
			return nil, nil, err
		}
		rows.modes = append(rows.modes, string(*row.QuantityMode))
		if i < turnSize {
			a.Starts = append(a.Starts, row.start())
		}
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
	args := []any{
		o.ID, in.Client, o.Customer.ID, sealed, o.Currency, a.GrossPrice.Minor, o.Payment.Provider, o.Payment.Reference,
		pageHash(a.PageToken), len(o.LineItems), a.CreatedAt, in.IdempotencyKey, in.RequestHash, sealedResponse,
		relayAt, pq.Array(rows.ids), pq.Array(rows.fulfillments), pq.Array(rows.products), pq.Array(rows.quantities),
		pq.Array(rows.minors), pq.Array(rows.operations), pq.Array(rows.subscriptions), pq.Array(rows.trials),
		pq.Array(rows.deadlines),
		wrapped, pq.Array([]string(known.ProductIDs)), len(known.ProductIDs), pq.Array(rows.modes), in.PaymentID,
		pq.Array(rows.soldAs), d.EmailTag(o.Customer.Email),
	}
	query := acceptSQL
	if len(known.CustomerKey) > 0 {
		query = acceptKnownSQL
	}
	query += acceptOrderSQL
	if len(o.LineItems) > turnSize {
		query += acceptTurnsSQL
	}
	if m := in.merchant(); m != "" {
		query, args = query+acceptedOwnSQL, append(args, m)
	} else {
		query += acceptedSQL
	}
	var stored []int
	err = s.SelectContext(ctx, &stored, query, args...)
	if pg.SQLState(err) == pg.DivisionByZero {
		err = errOvertaken
	}
	return a, response, err
}

// newLine is a line of an order that is being stored, as readLine will read it: its workflow starts with its next step.
// op is nil unless the line acts on a licence.
func newLine(in AcceptInput, l keyturn.LineItem, price keyturn.Money, known acceptContext, relayAt *time.Time,
	op *operationLine,
) (line, error) {
	o := in.Order
	out := line{
		ID: l.ID, FulfillmentID: l.FulfillmentID, OrderID: o.ID, ProductID: l.ProductID, Quantity: l.Quantity,
		GrossMinor: price.Minor,
		Operation:  string(l.Operation), SubscriptionID: l.SubscriptionID, TrialContext: l.TrialContext,
		Status: keyturn.LinePending, Version: 1,
		SourceStartedAt: known.Now, WakeAt: relayAt, CreatedAt: known.Now, Currency: o.Currency, CustomerID: o.Customer.ID,
		PaymentProvider: o.Payment.Provider, PaymentReference: o.Payment.Reference,
		PaymentCaptureBy: in.captureBy,
		Now:              known.Now, readAt: known.readAt,
	}
	if l.SoldAs != nil {
		out.SoldAs = ptr(soldAsText(l.SoldAs))
	}
	if op != nil {
		out.LicenseID, out.LicenseSource, out.Blocked = op.licenseID, op.source, op.blocked
	}
	if op != nil {
		out.QuantityMode = op.mode
	}
	no := slices.Index(known.ProductIDs, l.ProductID)
	out.ProductSpec = known.Specs[no]
	if known.Currencies[no] != "" {
		out.Currencies = &known.Currencies[no]
	}
	err := out.derive()
	out.QuantityMode = &out.product.QuantityMode
	return out, err
}

// acceptSQL stores an order with all that belongs to it in one statement, however many lines it has: if its products
// are still for sale and its customer's key is still the one that it was encrypted with, which the locks on their rows
// keep so until the order is there; and if its payment is no other merchant's. Otherwise it fails with a division by
// zero, which undoes what it has stored by then, such as a new customer. What most orders do not need is left out.
var (
	acceptSQL = `
	WITH sold AS (
		SELECT id FROM products WHERE id = ANY($26) FOR KEY SHARE
	), customer AS (
		INSERT INTO customers (id, data_key) SELECT $3, CAST($25 AS bytea) WHERE (SELECT count(*) FROM sold) = $27
		ON CONFLICT (id) DO UPDATE SET data_key = excluded.data_key WHERE customers.data_key IS NULL
		RETURNING id
	), settled AS (
		SELECT 1 AS yes FROM customer
	)`
	acceptKnownSQL = `
	WITH sold AS (
		SELECT id FROM products WHERE id = ANY($26) FOR KEY SHARE
	), settled AS (
		SELECT 1 AS yes FROM customers WHERE id = $3 AND data_key = $25 AND (SELECT count(*) FROM sold) = $27 FOR KEY SHARE
	)`
	acceptOrderSQL = `, o AS (
		INSERT INTO orders (id, client, customer_id, customer, currency, gross_minor, payment_provider, payment_reference,
			page_hash, lines_total, created_at, payment_id, email_tag)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CAST(nullif($29, '') AS uuid), CAST($31 AS bytea) FROM settled
	), captured AS (
		INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency)
		SELECT $8, $1, $6, $5 FROM settled WHERE $7 = 'sandbox' AND $29 = ''
	), answered AS (
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response) SELECT $2, $12, $13, $1, $14 FROM settled
	), lines AS (
		INSERT INTO line_items (id, fulfillment_id, order_id, position, product_id, quantity, gross_minor, operation,
			subscription_id, trial_context, source_started_at, give_up_at, wake_at, created_at, quantity_mode, sold_as)
		SELECT t.id, t.fulfillment_id, $1, t.position, t.product_id, t.quantity, t.minor, t.operation, t.subscription_id,
			t.trial_context, $11, t.give_up_at, CAST($15 AS timestamptz) + ` + unlessTurnSQL("t.position") + `, $11, t.mode,
			nullif(t.sold_as, '')
		FROM settled, unnest(CAST($16 AS uuid[]), CAST($17 AS uuid[]), CAST($18 AS text[]), CAST($19 AS bigint[]),
			CAST($20 AS bigint[]), CAST($21 AS text[]), CAST($22 AS text[]), CAST($23 AS text[]), CAST($24 AS timestamptz[]),
			CAST($28 AS text[]), CAST($30 AS text[]))
			WITH ORDINALITY AS t (id, fulfillment_id, product_id, quantity, minor, operation, subscription_id,
				trial_context, give_up_at, mode, sold_as, position)
	)`
	acceptTurnsSQL = `, turns AS (
		INSERT INTO outbox (workflow, subject, position) SELECT '` + WorkflowTurn + `', $1, ` + itoa(turnSize) + ` FROM settled
	)`
	acceptedSQL = `
	SELECT 1 / CAST(count(*) AS int) FROM settled`
	acceptedOwnSQL = `, own AS (
		INSERT INTO merchant_payments (provider, reference, merchant) SELECT $7, $8, $32 FROM settled
		ON CONFLICT (provider, reference) DO UPDATE SET merchant = excluded.merchant
			WHERE merchant_payments.merchant = excluded.merchant
		RETURNING 1
	)
	SELECT 1 / CAST(count(*) AS int) FROM own`
)

// storedCustomer is what is encrypted of an order.
type storedCustomer struct {
	keyturn.Customer
	CartExternalContext string `json:"cartExternalContext,omitempty"`
}

// lineRows are the columns of an order's lines, inserted in one statement however many there are.
type lineRows struct {
	ids, fulfillments, products, operations, subscriptions, trials []string
	quantities, minors                                             []int64
	deadlines, modes, soldAs                                       []string
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
	r.soldAs = append(r.soldAs, soldAsText(l.SoldAs))
}

func soldAsText(s *keyturn.SoldAs) string {
	if s == nil {
		return ""
	}
	text, _ := json.Marshal(s) //nolint:errchkjson // it always marshals
	return string(text)
}

// newID mints a UUIDv7: in the order of time, so that index pages fill up one after the other.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func lineAt(i int) string { return "lineItems[" + itoa(i) + "]" }
