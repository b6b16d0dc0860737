package db

import (
	"context"
	"encoding/json"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

const storedLettersSQL = `
	SELECT y.id, y.line_id, l.order_id, y.kind, y.attempts, y.message, l.status, o.customer_id, o.customer, c.data_key,
		EXISTS (SELECT FROM access_log a WHERE a.line_id = y.line_id AND a.what = 'resend') AS resent
	FROM unnest(CAST(:ids AS uuid[])) AS t (id)
	JOIN deliveries y ON y.id = t.id
	JOIN line_items l ON l.id = y.line_id
	JOIN orders o ON o.id = l.order_id
	JOIN customers c ON c.id = o.customer_id`

// StoredLetters gives the booked e-mails with these IDs, decrypted, by ID. One that does not open, or whose customer was
// erased, has no Stored.
func (s *Snapshot) StoredLetters(ctx context.Context, ids []string) (map[string]StoredLetter, error) {
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
	}
	if err := s.Select(ctx, &rows, storedLettersSQL, map[string]any{"ids": pq.Array(ids)}); err != nil {
		return nil, err
	}
	out := make(map[string]StoredLetter, len(rows))
	for _, r := range rows {
		l := StoredLetter{
			ID: r.ID, LineID: r.LineID, OrderID: r.OrderID, Kind: r.Kind, Attempts: r.Attempts, Resent: r.Resent,
			Canceled: r.Status == keyturn.LineCanceled,
		}
		if dk, err := s.d.keys.OpenDataKey(r.DataKey, "customer/"+r.CustomerID); err == nil {
			if plain, err := dk.Open(r.Message, "deliveries/"+r.ID); err == nil {
				l.Stored = plain
			}
			var c storedCustomer
			if plain, err := dk.Open(r.Customer, "orders/"+r.OrderID); err == nil && json.Unmarshal(plain, &c) == nil {
				l.Address = c.Email
			}
		}
		if found, err := s.d.deliverables(ctx, s.tx, r.LineID, r.CustomerID); err == nil {
			l.Codes = found.Codes
		}
		out[r.ID] = l
	}
	return out, nil
}
