package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// maxLicenses bounds one purchase history.
const maxLicenses = 1000

// Licenses gives a customer's purchase history from the newest to the oldest. With keys it shows those of the licences
// that were not cancelled, and records that by saw them. KindNotFound for a customer who never ordered.
func (d *DB) Licenses(ctx context.Context, customerID string, keys bool, by string) ([]keyturn.LicenseView, error) {
	if !keyturn.CleanText(customerID, 1, 200) {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
	}
	var out []keyturn.LicenseView
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		out = []keyturn.LicenseView{}
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM customers WHERE id = $1)`, customerID); err != nil {
			return err
		}
		if !known {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
		}
		var rows []struct {
			ID          string     `db:"id"`
			LineID      string     `db:"line_id"`
			Status      string     `db:"status"`
			ProductID   string     `db:"product_id"`
			ProductName string     `db:"product_name"`
			OrderID     string     `db:"order_id"`
			CreatedAt   time.Time  `db:"created_at"`
			DeliveredAt *time.Time `db:"delivered_at"`
		}
		if err := tx.SelectContext(ctx, &rows, `
			SELECT c.id, c.line_id, c.status, c.product_id, CAST(p.spec AS json) ->> 'name' AS product_name, l.order_id, c.created_at, l.delivered_at
			FROM licenses c
			JOIN line_items l ON l.id = c.line_id
			JOIN products p ON p.id = c.product_id
			WHERE c.customer_id = $1
			ORDER BY c.created_at DESC, c.id DESC LIMIT $2`, customerID, maxLicenses); err != nil {
			return err
		}
		for _, r := range rows {
			v := keyturn.LicenseView{
				ID: r.ID, Status: r.Status, ProductID: r.ProductID, ProductName: r.ProductName, OrderID: r.OrderID,
				CreatedAt: r.CreatedAt.UTC(), DeliveredAt: utc(r.DeliveredAt),
			}
			if keys && r.Status != "Canceled" {
				found, err := d.deliverables(ctx, tx, r.LineID, customerID)
				if err != nil {
					return err
				}
				for _, code := range found.Codes {
					v.ActivationCodes = append(v.ActivationCodes, code.Reveal())
				}
				v.ActivationLink = found.Link
				if err := logAccess(ctx, tx, r.LineID, by, "licenses"); err != nil {
					return err
				}
			}
			out = append(out, v)
		}
		return nil
	})
	return out, err
}
