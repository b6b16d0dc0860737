package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

const storedLettersSQL = `
	SELECT y.id, y.line_id, l.order_id, y.kind, y.attempts, y.message, l.status, o.customer_id, o.customer, c.data_key,
		EXISTS (SELECT FROM access_log a WHERE a.line_id = y.line_id AND a.what = 'resend') AS resent,
		ARRAY(SELECT k.fingerprint FROM replacements r JOIN deliveries n ON n.id = r.delivery_id
			JOIN pool_keys k ON k.id = r.new_key_id WHERE r.line_id = y.line_id AND n.number > y.number) AS later
	FROM unnest(CAST(:ids AS uuid[])) AS t (id)
	JOIN deliveries y ON y.id = t.id
	JOIN line_items l ON l.id = y.line_id
	JOIN orders o ON o.id = l.order_id
	JOIN customers c ON c.id = o.customer_id`

// storedLetters gives the booked e-mails with these IDs, decrypted, by ID. One that does not open, that was kept long
// enough, or whose customer was erased, has no Stored.
func (r *run) storedLetters(ctx context.Context, ids []string) (map[string]storedLetter, error) {
	var rows []struct {
		ID         string               `db:"id"`
		LineID     string               `db:"line_id"`
		OrderID    string               `db:"order_id"`
		Kind       keyturn.DeliveryKind `db:"kind"`
		Attempts   int                  `db:"attempts"`
		Message    []byte               `db:"message"`
		Status     keyturn.LineStatus   `db:"status"`
		CustomerID string               `db:"customer_id"`
		Customer   []byte               `db:"customer"`
		DataKey    []byte               `db:"data_key"`
		Resent     bool                 `db:"resent"`
		Later      pq.ByteaArray        `db:"later"` // keys that came in place of recalled ones after this e-mail
	}
	if err := r.s.Select(ctx, &rows, storedLettersSQL, map[string]any{"ids": pq.Array(ids)}); err != nil {
		return nil, err
	}
	out := make(map[string]storedLetter, len(rows))
	for _, row := range rows {
		l := storedLetter{
			ID: row.ID, LineID: row.LineID, OrderID: row.OrderID, Kind: row.Kind, Attempts: row.Attempts, Resent: row.Resent,
			Canceled: row.Status == keyturn.LineCanceled,
		}
		if plain, err := r.DB.OpenSealed(row.DataKey, "customer/"+row.CustomerID, "deliveries/"+row.ID,
			row.Message); err == nil {
			l.Stored = plain
		}
		if c, err := r.DB.OpenCustomer(row.DataKey, row.CustomerID, row.OrderID, row.Customer); err == nil {
			l.Address = c.Email
			if ascii, err := mail.ASCIIAddress(c.Email); err == nil {
				l.Address = ascii
			}
		}
		if found, err := r.DB.OpenDeliverables(ctx, r.s, row.LineID, row.CustomerID); err == nil {
			l.Codes = slices.DeleteFunc(found.Codes, func(code keyturn.Secret) bool {
				return slices.ContainsFunc(row.Later, func(fingerprint []byte) bool {
					return bytes.Equal(fingerprint, r.DB.Fingerprint(code.Reveal()))
				})
			})
		}
		out[row.ID] = l
	}
	return out, nil
}

// storedLetter is an e-mail as it was booked, with what it must agree with. Stored and Codes are secret.
type storedLetter struct {
	ID       string
	LineID   string
	OrderID  string
	Kind     keyturn.DeliveryKind
	Attempts int
	Resent   bool             // somebody had it sent again, perhaps to another address
	Address  string           // the order's
	Canceled bool             // its line is
	Stored   []byte           // as the renderer of the delivery made it
	Codes    []keyturn.Secret // that the line had then, without those that were recalled since
}

// Format keeps keys and addresses out of every print.
func (l storedLetter) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "delivery %s", l.ID) }
