package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// whyLicense is why a line is given up whose licence is cancelled before it is done.
const whyLicense = "its licence was cancelled first"

// operations are the lines of a new order that act on licences, or bring a term: what is stored of them beside the
// columns that every line has. An order without any, which is nearly every order, costs nothing.
type operations struct {
	lines    map[int]*operationLine // by the line's place in the order
	awaited  []string               // lines of other orders that a line of this one waits for
	canceled []string               // and those that a cancel of this one gives up
	lost     map[int]missingLine    // lines that had IDs before a restore
}

type operationLine struct {
	licenseID, source *string
	mode              *keyturn.QuantityMode // of the create, whose units it acts on; nil: the product's
	no                *int
	expiresAt         *time.Time
	blocked, awaited  bool
	canceled          bool // by a later line of the same order
}

// openLicense is a licence while operations on it are planned, with all that is undecided on it.
type openLicense struct {
	create line
	row    *license // nil before the create is delivered
	open   []openOperation
	status keyturn.LicenseStatus // what it will be when all that is open is done
	lastNo int
}

type openOperation struct {
	id        string // of a line that is stored
	index     int    // of a line of this order
	operation keyturn.OperationName
}

// plansOperations says whether planOperations has anything to do.
func plansOperations(o keyturn.Order) bool {
	return slices.ContainsFunc(o.LineItems, func(l keyturn.LineItem) bool {
		return l.ExpiresAt != nil || l.Operation != "" && l.Operation != keyturn.OpCreate
	})
}

// planOperations finds the licences of the lines that act on one, under a lock that keeps their open lines from being
// decided and other operations from being accepted, and says what is wrong with each line.
func (d *DB) planOperations(ctx context.Context, tx *sqlx.Tx, o keyturn.Order, prefix keyturn.Prefix, now time.Time,
) (*operations, error) {
	ops := &operations{lines: map[int]*operationLine{}}
	var act []int
	for i, l := range o.LineItems {
		if l.ExpiresAt != nil {
			ops.lines[i] = &operationLine{expiresAt: l.ExpiresAt}
		}
		if l.Operation != "" && l.Operation != keyturn.OpCreate {
			act = append(act, i)
		}
	}
	if len(act) == 0 {
		return ops, nil
	}
	var bad keyturn.Problems
	names, err := d.licensesNamed(ctx, tx, o, prefix, act, &bad)
	if err != nil {
		return nil, err
	}
	licenses, err := d.lockLicenses(ctx, tx, o.Customer.ID, prefix, names, now)
	if err != nil {
		return nil, err
	}
	integrations := map[string]keyturn.Integration{}
	for _, i := range act {
		id, named := names[i]
		c, found := licenses[id]
		if named && !found {
			bad.Addf(lineAt(i)+"."+namedBy(o.LineItems[i]), "names no licence of this customer")
		}
		if !found {
			continue
		}
		if err := d.checkSource(ctx, tx, c, o.LineItems[i], integrations, &bad, lineAt(i)); err != nil {
			return nil, err
		}
		c.plan(ops, o.LineItems[i], i, now, &bad)
	}
	return ops, bad.Err("the order is not valid")
}

func namedBy(l keyturn.LineItem) string {
	if l.LicenseID != "" {
		return "licenseId"
	}
	return "subscriptionId"
}

// licensesNamed says which licence each line means: the one it names, or the only living one that was created for the
// same customer with the same subscriptionId.
func (d *DB) licensesNamed(ctx context.Context, tx *sqlx.Tx, o keyturn.Order, prefix keyturn.Prefix, act []int,
	bad *keyturn.Problems,
) (map[int]string, error) {
	names := map[int]string{}
	var subscriptions []string
	for _, i := range act {
		l := o.LineItems[i]
		if id, ok := canonicalID(l.LicenseID); ok {
			names[i] = id
		} else {
			subscriptions = append(subscriptions, l.SubscriptionID)
		}
	}
	if len(subscriptions) == 0 {
		return names, nil
	}
	var found []struct {
		ID           string `db:"fulfillment_id"`
		Subscription string `db:"subscription_id"`
		ProductID    string `db:"product_id"`
	}
	if err := tx.SelectContext(ctx, &found, `
		SELECT l.fulfillment_id, l.subscription_id, coalesce(c.product_id, l.product_id) AS product_id
		FROM line_items l JOIN orders o ON o.id = l.order_id LEFT JOIN licenses c ON c.line_id = l.id
		WHERE l.subscription_id = ANY($1) AND l.subscription_id <> '' AND l.license_id IS NULL AND o.customer_id = $2
			AND starts_with(o.id, $3)
			AND l.status NOT IN ('CANCELING', 'CANCELED') AND coalesce(c.status, '') <> 'Canceled'
		ORDER BY l.created_at, l.id`, pq.Array(subscriptions), o.Customer.ID, prefix); err != nil {
		return nil, err
	}
	for _, i := range act {
		l := o.LineItems[i]
		if l.LicenseID != "" {
			continue
		}
		var all, same []string
		for _, f := range found {
			if f.Subscription == l.SubscriptionID {
				all = append(all, f.ID)
				if f.ProductID == l.ProductID {
					same = append(same, f.ID)
				}
			}
		}
		switch {
		case len(all) == 1:
			names[i] = all[0]
		case len(all) > 1 && len(same) == 1 && l.Operation != keyturn.OpUpgrade:
			names[i] = same[0]
		case len(all) == 0:
			bad.Addf(lineAt(i)+".subscriptionId", "names no licence of this customer")
		default:
			bad.Addf(lineAt(i)+".subscriptionId", "names %d licences of this customer: give the licenseId", len(all))
		}
	}
	return names, nil
}

// lockLicenses locks the create of each licence, which stands for the licence, and then its open operations. Licences
// of other customers, and of orders without the prefix, are left out: to this one they are not there.
func (d *DB) lockLicenses(ctx context.Context, tx *sqlx.Tx, customerID string, prefix keyturn.Prefix,
	names map[int]string, now time.Time,
) (map[string]*openLicense, error) {
	var ids []string
	for _, id := range names {
		ids = append(ids, id)
	}
	out := map[string]*openLicense{}
	var creates []line
	if err := tx.SelectContext(ctx, &creates, `SELECT`+lineColumns+lineTables+`
		WHERE l.fulfillment_id = ANY(CAST($1 AS uuid[])) AND l.license_id IS NULL AND o.customer_id = $2
			AND starts_with(o.id, $3)
		ORDER BY l.id FOR UPDATE OF l`, pq.Array(ids), customerID, prefix); err != nil {
		return nil, err
	}
	for i := range creates {
		if err := creates[i].derive(); err != nil {
			return nil, err
		}
		c := &openLicense{create: creates[i], status: keyturn.LicenseRunning}
		if c.create.Status == keyturn.LineCanceling || c.create.Status == keyturn.LineCanceled {
			c.status = keyturn.LicenseCanceled
		} else if c.create.Status.Open() {
			c.open = append(c.open, openOperation{id: c.create.ID, operation: keyturn.OpCreate})
		}
		out[c.create.FulfillmentID] = c
	}
	var rows []license
	if err := tx.SelectContext(ctx, &rows, licenseSQL+`WHERE c.id = ANY(CAST($1 AS uuid[]))`, pq.Array(ids)); err != nil {
		return nil, err
	}
	for i := range rows {
		if c := out[rows[i].ID]; c != nil {
			c.row, c.status = &rows[i], rows[i].Status.At(now, rows[i].ExpiresAt)
		}
	}
	var open []struct {
		ID        string                `db:"id"`
		LicenseID string                `db:"license_id"`
		Operation keyturn.OperationName `db:"operation"`
	}
	if err := tx.SelectContext(ctx, &open, `
		SELECT id, license_id, operation FROM line_items WHERE license_id = ANY(CAST($1 AS uuid[])) AND `+undecided+`
		ORDER BY license_id, operation_no FOR UPDATE`, pq.Array(ids)); err != nil {
		return nil, err
	}
	for _, l := range open {
		if c := out[l.LicenseID]; c != nil {
			c.open = append(c.open, openOperation{id: l.ID, operation: l.Operation})
			if to, ok := c.status.After(l.Operation); ok {
				c.status = to
			}
		}
	}
	var last []struct {
		LicenseID string `db:"license_id"`
		No        int    `db:"no"`
	}
	err := tx.SelectContext(ctx, &last, `
		SELECT license_id, max(operation_no) AS no FROM line_items WHERE license_id = ANY(CAST($1 AS uuid[]))
			GROUP BY license_id`, pq.Array(ids))
	for _, l := range last {
		if c := out[l.LicenseID]; c != nil {
			c.lastNo = l.No
		}
	}
	return out, err
}

// product is what the licence is of, as far as it is known while an upgrade is under way.
func (c *openLicense) product() string {
	if c.row != nil {
		return c.row.ProductID
	}
	return c.create.ProductID
}

// issuer is who issued the licence, as far as it is known while the create is under way.
func (c *openLicense) issuer() string {
	if c.row != nil {
		return c.row.Source
	}
	return c.create.source().Name()
}

// checkSource refuses what the partner that issued the licence has no definition for.
func (d *DB) checkSource(ctx context.Context, tx *sqlx.Tx, c *openLicense, l keyturn.LineItem,
	known map[string]keyturn.Integration, bad *keyturn.Problems, at string,
) error {
	issuer := keyturn.ParseSource(c.issuer())
	if l.Operation == keyturn.OpUpgrade || !issuer.Type.HasIntegration() || c.status == keyturn.LicenseCanceled {
		return nil
	}
	in, ok := known[issuer.Integration]
	if !ok {
		var err error
		in, _, err = d.integration(ctx, tx, issuer.Integration)
		if kind := keyturn.KindOf(err); kind == keyturn.KindConfiguration || kind == keyturn.KindNotFound {
			bad.Addf(at+".operation",
				"cannot be done: the licence was issued by integration %s, which is not in the catalog any more",
				issuer.Integration)
			return nil
		}
		if err != nil {
			return err
		}
		known[issuer.Integration] = in
	}
	bad.Check(in.Defines(l.Operation), at+".operation",
		"cannot be done: integration %s, which issued the licence, defines neither %s nor fallback", issuer.Integration,
		l.Operation)
	return nil
}

// plan adds a line to what is to happen to the licence.
func (c *openLicense) plan(ops *operations, l keyturn.LineItem, index int, now time.Time, bad *keyturn.Problems) {
	at := lineAt(index)
	from := c.status
	// it does not wait for the others, it ends them
	if l.Operation == keyturn.OpCancel && c.row != nil && from != keyturn.LicenseCanceled {
		from = c.row.Status.At(now, c.row.ExpiresAt)
	}
	to, ok := from.After(l.Operation)
	if !ok {
		bad.Addf(at+".operation", "makes no sense for a licence that is %s, which takes %s", from, from.Allowed())
		return
	}
	changes := l.Operation == keyturn.OpUpgrade ||
		slices.ContainsFunc(c.open, func(o openOperation) bool { return o.operation == keyturn.OpUpgrade })
	bad.Check(changes || l.ProductID == c.product(), at+".productId",
		"must be %s, which the licence is of: only an upgrade changes it", c.product())
	bad.Check(l.Operation != keyturn.OpUpgrade || l.ProductID != c.product(), at+".productId",
		"must be another product than the licence's own")
	bad.Check(l.Quantity == c.create.Quantity, at+".quantity", "must be %d, the quantity of the licence",
		c.create.Quantity)
	c.lastNo++
	o := &operationLine{
		licenseID: &c.create.FulfillmentID, no: ptr(c.lastNo), expiresAt: l.ExpiresAt,
		blocked: len(c.open) > 0,
	}
	if l.Operation != keyturn.OpUpgrade {
		o.source, o.mode = ptr(c.issuer()), c.create.QuantityMode
	}
	for _, x := range c.open {
		cancel := l.Operation == keyturn.OpCancel
		if mine := ops.lines[x.index]; x.id == "" {
			mine.awaited, mine.canceled = true, mine.canceled || cancel
			continue
		}
		ops.awaited = append(ops.awaited, x.id)
		if cancel {
			ops.canceled = append(ops.canceled, x.id)
		}
	}
	c.status = to
	c.open = append(c.open, openOperation{index: index, operation: l.Operation})
	ops.lines[index] = o
}

// store writes what the lines have beside their columns of every line, tells the lines that they wait for, and has the
// relay wake those that a cancel gives up.
func (ops *operations) store(ctx context.Context, tx *sqlx.Tx, lines []keyturn.LineItem) error {
	if len(ops.lines) == 0 {
		return nil
	}
	var ids, licenses, sources, terms, reasons []*string
	var nos []*string
	var blocked, awaited []bool
	for i, o := range ops.lines {
		var no, term, reason *string
		if o.no != nil {
			no = ptr(itoa(*o.no))
		}
		if o.expiresAt != nil {
			term = ptr(o.expiresAt.Format(time.RFC3339Nano))
		}
		if o.canceled {
			reason = ptr(whyLicense)
		}
		ids, licenses, sources, nos = append(ids, ptr(lines[i].ID)), append(licenses, o.licenseID), append(sources, o.source),
			append(nos, no)
		terms, reasons = append(terms, term), append(reasons, reason)
		blocked, awaited = append(blocked, o.blocked), append(awaited, o.awaited)
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE line_items l SET license_id = t.license_id, license_source = t.source, operation_no = t.no,
			expires_at = t.expires_at,
			blocked = t.blocked, awaited = t.awaited, cancel_reason = t.reason
		FROM unnest(CAST($1 AS uuid[]), CAST($2 AS uuid[]), CAST($3 AS text[]), CAST($4 AS int[]), CAST($5 AS timestamptz[]),
			CAST($6 AS text[]),
			CAST($7 AS boolean[]), CAST($8 AS boolean[])) AS t (id, license_id, source, no, expires_at, reason, blocked, awaited)
		WHERE l.id = t.id`,
		pq.Array(ids), pq.Array(licenses), pq.Array(sources), pq.Array(nos), pq.Array(terms), pq.Array(reasons),
		pq.Array(blocked), pq.Array(awaited)); err != nil {
		return err
	}
	if len(ops.awaited) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE line_items SET awaited = true, version = version + 1, -- a step that has looked at the line already looks again
			cancel_reason = CASE WHEN id = ANY(CAST($2 AS uuid[])) THEN coalesce(cancel_reason, $3) ELSE cancel_reason END,
			wake_at = CASE WHEN id = ANY(CAST($2 AS uuid[])) THEN now() ELSE wake_at END
		WHERE id = ANY(CAST($1 AS uuid[]))`, pq.Array(ops.awaited), pq.Array(ops.canceled), whyLicense)
	return err
}
