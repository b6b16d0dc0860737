package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// Licenses gives a customer's purchase history from the newest to the oldest, with what was done to each licence: of
// the orders that have the prefix. With keys it shows those of the licences that were not cancelled, and records that
// by saw them. KindNotFound for a customer who never ordered; with a prefix, which must not tell whose customer
// somebody is, there is nothing to show then.
func (d *DB) Licenses(ctx context.Context, prefix keyturn.Prefix, customerID string, keys bool, by string,
) ([]keyturn.LicenseView, error) {
	if !keyturn.CleanText(customerID, 1, 200) {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
	}
	var out []keyturn.LicenseView
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM customers WHERE id = $1)`, customerID); err != nil {
			return err
		}
		if !known && prefix == "" {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
		}
		var err error
		which := `c.customer_id = $1`
		if prefix != "" {
			which += ` AND ` + merchantSQL("l.order_id", "$2")
		}
		out, err = d.licenseViews(ctx, tx, which+` ORDER BY c.created_at DESC, c.id DESC LIMIT 1000`, keys, by,
			prefixed(prefix, customerID)...)
		return err
	})
	return out, err
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
		found, err := d.licenseViews(ctx, tx, `c.id = $1`, keys, by, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return keyturn.Errorf(keyturn.KindNotFound,
				"there is no licence %s; a create that is under way has one once it is delivered", id)
		}
		out = found[0]
		return nil
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

func (d *DB) licenseViews(ctx context.Context, tx *sqlx.Tx, where string, keys bool, by string, args ...any,
) ([]keyturn.LicenseView, error) {
	var rows []shownLicense
	if err := tx.SelectContext(ctx, &rows, `
		SELECT c.*, CAST(p.spec AS json) ->> 'name' AS product_name, l.order_id, l.subscription_id, l.quantity,
			l.delivered_at, o.customer = '' AS erased, clock_timestamp() AS now
		FROM (`+licenseSQL+`) c
		JOIN line_items l ON l.id = c.line_id
		JOIN orders o ON o.id = l.order_id
		JOIN products p ON p.id = c.product_id
		WHERE `+where, args...); err != nil {
		return nil, err
	}
	out, ids := make([]keyturn.LicenseView, len(rows)), make([]string, len(rows))
	at := map[string]int{}
	for i, r := range rows {
		ids[i], at[r.ID] = r.ID, i
		out[i] = keyturn.LicenseView{
			ID: r.ID, Status: r.Status.At(r.Now, r.ExpiresAt), ProductID: r.ProductID, ProductName: r.ProductName,
			OrderID:        r.OrderID,
			SubscriptionID: r.SubscriptionID, Quantity: r.Quantity, Source: r.Source, CreatedAt: r.CreatedAt.UTC(),
			DeliveredAt: utc(r.DeliveredAt), ExpiresAt: utc(r.ExpiresAt), Operations: []keyturn.OperationView{},
		}
		if keys && r.Status != keyturn.LicenseCanceled && !r.Erased {
			if err := d.showKeys(ctx, tx, r.license, by, &out[i]); err != nil {
				return nil, err
			}
		}
	}
	done, err := d.operationViews(ctx, tx, ids)
	for _, op := range done {
		i := at[op.licenseID]
		out[i].Operations = append(out[i].Operations, op.OperationView)
	}
	return out, err
}

func (d *DB) showKeys(ctx context.Context, tx *sqlx.Tx, c license, by string, v *keyturn.LicenseView) error {
	found, err := d.licenseDeliverables(ctx, tx, c.ID, c.CustomerID)
	if err != nil {
		return err
	}
	for _, code := range found.Codes {
		v.ActivationCodes = append(v.ActivationCodes, code.Reveal())
	}
	for _, code := range found.Replaced {
		v.ReplacedCodes = append(v.ReplacedCodes, code.Reveal())
	}
	v.ActivationLink, v.ActivationLinks = first(found.Links), found.Links
	return logAccess(ctx, tx, c.LineID, by, "licenses")
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
