package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

const storedLettersSQL = `
	SELECT y.id, y.line_id, l.order_id, y.kind, y.attempts, y.by_page, y.message, l.status, o.customer_id, o.customer,
		c.data_key,
		EXISTS (SELECT FROM access_log a WHERE a.line_id = y.line_id AND a.what = 'resend')
			OR EXISTS (SELECT FROM address_changes h WHERE h.order_id = l.order_id AND h.done_at IS NOT NULL) AS resent,
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
	out, err := r.storedPaymentLetters(ctx, ids)
	if err != nil {
		return nil, err
	}
	if err := r.addLibraryLetters(ctx, ids, out); err != nil {
		return nil, err
	}
	var rows []struct {
		ID         string               `db:"id"`
		LineID     string               `db:"line_id"`
		OrderID    string               `db:"order_id"`
		Kind       keyturn.DeliveryKind `db:"kind"`
		Attempts   int                  `db:"attempts"`
		ByPage     bool                 `db:"by_page"`
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
	for _, row := range rows {
		l := storedLetter{
			ID: row.ID, LineID: row.LineID, OrderID: row.OrderID, Kind: row.Kind, Attempts: row.Attempts, Resent: row.Resent,
			Canceled: row.Status == keyturn.LineCanceled, ByPage: row.ByPage,
		}
		if plain, err := r.DB.OpenSealed(row.DataKey, "customer/"+row.CustomerID, "deliveries/"+row.ID,
			row.Message); err == nil {
			l.Stored = plain
		}
		if c, err := r.DB.OpenCustomer(row.DataKey, row.CustomerID, row.OrderID, row.Customer); err == nil {
			l.Address = asciiAddress(c.Email)
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

// storedPaymentLetters gives those of the booked e-mails that are about a payment. They are of no line, and hold no
// key.
func (r *run) storedPaymentLetters(ctx context.Context, ids []string) (map[string]storedLetter, error) {
	var rows []struct {
		ID         string `db:"id"`
		PaymentID  string `db:"payment_id"`
		OrderID    string `db:"order_id"`
		Attempts   int    `db:"attempts"`
		Message    []byte `db:"message"`
		CustomerID string `db:"customer_id"`
		Snapshot   []byte `db:"snapshot"`
		DataKey    []byte `db:"data_key"`
		Moved      bool   `db:"moved"` // its order has another address by now
	}
	if err := r.s.Select(ctx, &rows, `
		SELECT m.id, m.payment_id, coalesce(p.order_id, '') AS order_id, m.attempts, m.message, p.customer_id, p.snapshot,
			c.data_key,
			EXISTS (SELECT FROM address_changes h WHERE h.order_id = p.order_id AND h.done_at IS NOT NULL) AS moved
		FROM unnest(CAST(:ids AS uuid[])) AS t (id) JOIN payment_mails m ON m.id = t.id
		JOIN payments p ON p.id = m.payment_id JOIN customers c ON c.id = p.customer_id`,
		map[string]any{"ids": pq.Array(ids)}); err != nil {
		return nil, err
	}
	out := make(map[string]storedLetter, len(rows))
	for _, row := range rows {
		l := storedLetter{ID: row.ID, OrderID: row.OrderID, Attempts: row.Attempts, Resent: row.Moved}
		if plain, err := r.DB.OpenSealed(row.DataKey, "customer/"+row.CustomerID, "payment_mails/"+row.ID,
			row.Message); err == nil {
			l.Stored = plain
		}
		var bought db.PaymentSnapshot
		if plain, err := r.DB.OpenSealed(row.DataKey, "customer/"+row.CustomerID, "payments/"+row.PaymentID,
			row.Snapshot); err == nil && json.Unmarshal(plain, &bought) == nil {
			l.Address = asciiAddress(bought.Customer.Email)
		}
		out[row.ID] = l
	}
	return out, nil
}

// addLibraryLetters adds those that bring a link to a customer's library. They hold no key, and go to an address whose
// tag they were asked for by.
func (r *run) addLibraryLetters(ctx context.Context, ids []string, out map[string]storedLetter) error {
	var rows []struct {
		ID         string `db:"id"`
		Attempts   int    `db:"attempts"`
		Message    []byte `db:"message"`
		EmailTag   []byte `db:"email_tag"`
		CustomerID string `db:"customer_id"`
		DataKey    []byte `db:"data_key"`
	}
	if err := r.s.Select(ctx, &rows, `
		SELECT k.id, k.attempts, k.message, k.email_tag, k.customer_id, c.data_key
		FROM unnest(CAST(:ids AS uuid[])) AS t (id) JOIN library_links k ON k.id = t.id
		JOIN customers c ON c.id = k.customer_id`, map[string]any{"ids": pq.Array(ids)}); err != nil {
		return err
	}
	for _, row := range rows {
		l := storedLetter{ID: row.ID, Attempts: row.Attempts}
		if plain, err := r.DB.OpenSealed(row.DataKey, "customer/"+row.CustomerID, "library_links/"+row.ID,
			row.Message); err == nil {
			l.Stored = plain
		}
		var message mail.Message
		if message.UnmarshalBinary(l.Stored) == nil && bytes.Equal(r.DB.EmailTag(message.To), row.EmailTag) {
			l.Address = message.To
		}
		out[row.ID] = l
	}
	return nil
}

func asciiAddress(address string) string {
	if ascii, err := mail.ASCIIAddress(address); err == nil {
		return ascii
	}
	return address
}

// storedLetter is an e-mail as it was booked, with what it must agree with. Stored and Codes are secret.
type storedLetter struct {
	ID       string
	LineID   string // empty of one about a payment
	OrderID  string
	Kind     keyturn.DeliveryKind // empty of one about a payment
	Attempts int
	Resent   bool             // somebody had it sent again, perhaps to another address
	Address  string           // the order's
	Canceled bool             // its line is
	ByPage   bool             // it leads to the order page in place of keys that no e-mail can carry
	Stored   []byte           // as the renderer of the delivery made it
	Codes    []keyturn.Secret // that the line had then, without those that were recalled since
}

// Format keeps keys and addresses out of every print.
func (l storedLetter) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "delivery %s", l.ID) }
