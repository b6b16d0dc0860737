package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// MaxLicenses is the most licences that one page of a customer's shows.
const MaxLicenses = 1000

// Licenses gives a page of a customer's purchase history from the newest to the oldest, with what was done to each
// licence: of the orders that have the prefix, up to limit (1 to MaxLicenses), from where an earlier page's cursor
// points. With keys it shows those of the licences that were not cancelled, and records that by saw them. KindNotFound
// for a customer who never ordered; with a prefix, which must not tell whose customer somebody is, there is nothing to
// show then. KindInvalid with a field for a cursor or a limit that is none.
func (d *DB) Licenses(ctx context.Context, prefix keyturn.Prefix, customerID string, keys bool, by, cursor string,
	limit int,
) (page keyturn.Licenses, err error) {
	if !keyturn.CleanText(customerID, 1, 200) {
		return page, keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
	}
	var bad keyturn.Problems
	bad.Check(limit >= 1 && limit <= MaxLicenses, "limit", "must be between 1 and %d", MaxLicenses)
	list := "licenses/" + customerID
	before, beforeID, ok := d.readCursor(list, cursor)
	if cursor == "" {
		beforeID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	}
	bad.Check(ok, "cursor", "must be the nextCursor of an earlier page of the same list")
	if err := bad.Err("the query is not valid"); err != nil {
		return page, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		page = keyturn.Licenses{}
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM customers WHERE id = $1)`, customerID); err != nil {
			return err
		}
		if !known && prefix == "" {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
		}
		which := `c.customer_id = $1 AND (c.created_at, c.id) < ($2, $3)`
		if prefix != "" {
			which += ` AND ` + merchantSQL("l.order_id", "$5")
		}
		rows, err := d.shownLicenses(ctx, tx, which+` ORDER BY c.created_at DESC, c.id DESC LIMIT $4`,
			prefixed(prefix, customerID, before, beforeID, limit+1)...)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			last := rows[limit-1]
			page.NextCursor = d.cursor(list, last.CreatedAt, last.ID)
		}
		page.Licenses, err = d.licenseViews(ctx, tx, rows, keys, by)
		return err
	})
	return page, err
}

// License gives a licence with what was done to it. With keys it shows its present ones, and records that by saw them.
// KindNotFound, also before its create is delivered.
func (d *DB) License(ctx context.Context, licenseID string, keys bool, by string) (keyturn.LicenseView, error) {
	var out keyturn.LicenseView
	id, ok := canonicalID(licenseID)
	if !ok {
		return out, keyturn.Errorf(keyturn.KindNotFound, "there is no such licence: its ID is a UUID")
	}
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		rows, err := d.shownLicenses(ctx, tx, `c.id = $1`, id)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return keyturn.Errorf(keyturn.KindNotFound,
				"there is no licence %s; a create that is under way has one once it is delivered", id)
		}
		found, err := d.licenseViews(ctx, tx, rows, keys, by)
		if err == nil {
			out = found[0]
		}
		return err
	})
	return out, err
}

// shownLicense is a licence as it is read, with its create.
type shownLicense struct {
	license
	ProductName    string     `db:"product_name"`
	OrderID        string     `db:"order_id"`
	SubscriptionID string     `db:"subscription_id"`
	Quantity       int        `db:"quantity"`
	DeliveredAt    *time.Time `db:"delivered_at"`
	Erased         bool       `db:"erased"`
	Now            time.Time  `db:"now"`
}

func (d *DB) shownLicenses(ctx context.Context, tx *sqlx.Tx, where string, args ...any) (rows []shownLicense,
	err error,
) {
	return rows, tx.SelectContext(ctx, &rows, `
		SELECT c.*, CAST(p.spec AS json) ->> 'name' AS product_name, l.order_id, l.subscription_id, l.quantity,
			l.delivered_at, o.customer = '' AS erased, clock_timestamp() AS now
		FROM (`+licenseSQL+`) c
		JOIN line_items l ON l.id = c.line_id
		JOIN orders o ON o.id = l.order_id
		JOIN products p ON p.id = c.product_id
		WHERE `+where, args...)
}

// licenseViews shows licences of one customer, in a few statements however many they are.
func (d *DB) licenseViews(ctx context.Context, tx *sqlx.Tx, rows []shownLicense, keys bool, by string,
) ([]keyturn.LicenseView, error) {
	out, ids := make([]keyturn.LicenseView, len(rows)), make([]string, len(rows))
	at := map[string]int{}
	var shown, lines []string // whose keys are shown
	for i, r := range rows {
		ids[i], at[r.ID] = r.ID, i
		out[i] = keyturn.LicenseView{
			ID: r.ID, Status: r.Status.At(r.Now, r.ExpiresAt), ProductID: r.ProductID, ProductName: r.ProductName,
			OrderID:        r.OrderID,
			SubscriptionID: r.SubscriptionID, Quantity: r.Quantity, Source: r.Source, CreatedAt: r.CreatedAt.UTC(),
			DeliveredAt: utc(r.DeliveredAt), ExpiresAt: utc(r.ExpiresAt), Operations: []keyturn.OperationView{},
		}
		if keys && r.Status != keyturn.LicenseCanceled && !r.Erased {
			shown, lines = append(shown, r.ID), append(lines, r.LineID)
		}
	}
	if len(shown) > 0 {
		found, err := d.licensesDeliverables(ctx, tx, shown, rows[0].CustomerID)
		if err != nil {
			return nil, err
		}
		for id, have := range found {
			showKeys(&out[at[id]], have)
		}
		if err := logAccess(ctx, tx, by, "licenses", lines...); err != nil {
			return nil, err
		}
	}
	done, err := d.operationViews(ctx, tx, ids)
	for _, op := range done {
		i := at[op.licenseID]
		out[i].Operations = append(out[i].Operations, op.OperationView)
	}
	return out, err
}

func showKeys(v *keyturn.LicenseView, have Deliverables) {
	for _, code := range have.Codes {
		v.ActivationCodes = append(v.ActivationCodes, code.Reveal())
	}
	for _, code := range have.Replaced {
		v.ReplacedCodes = append(v.ReplacedCodes, code.Reveal())
	}
	v.ActivationLink, v.ActivationLinks = first(have.Links), have.Links
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

type shownOperation struct {
	keyturn.OperationView

	licenseID string
}

// operationViews are what was done to licences, and what is under way, in the order in which it applies.
func (d *DB) operationViews(ctx context.Context, q sqlx.QueryerContext, licenses []string) ([]shownOperation, error) {
	var rows []struct {
		LicenseID     string                `db:"license_id"`
		FulfillmentID string                `db:"fulfillment_id"`
		OrderID       string                `db:"order_id"`
		Operation     keyturn.OperationName `db:"operation"`
		ProductID     string                `db:"product_id"`
		Status        keyturn.LineStatus    `db:"status"`
		CreatedAt     time.Time             `db:"created_at"`
		DeliveredAt   *time.Time            `db:"delivered_at"`
		From          *string               `db:"from_status"`
		To            *string               `db:"to_status"`
		WithdrawnAt   *time.Time            `db:"withdrawn_at"`
	}
	err := sqlx.SelectContext(ctx, q, &rows, `
		SELECT l.license_id, l.fulfillment_id, l.order_id, l.operation, l.product_id, l.status, l.created_at, l.delivered_at,
			s.from_status, s.to_status, s.withdrawn_at
		FROM line_items l LEFT JOIN license_steps s ON s.line_id = l.id
		WHERE l.license_id = ANY(CAST($1 AS uuid[])) ORDER BY l.license_id, l.operation_no`, pq.Array(licenses))
	out := make([]shownOperation, len(rows))
	for i, r := range rows {
		out[i] = shownOperation{licenseID: r.LicenseID, OperationView: keyturn.OperationView{
			FulfillmentID: r.FulfillmentID, OrderID: r.OrderID, Operation: r.Operation, ProductID: r.ProductID, Status: r.Status,
			CreatedAt: r.CreatedAt.UTC(), DeliveredAt: utc(r.DeliveredAt), From: keyturn.LicenseStatus(value(r.From)),
			To: keyturn.LicenseStatus(value(r.To)), WithdrawnAt: utc(r.WithdrawnAt),
		}}
	}
	return out, err
}
