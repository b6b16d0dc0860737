package db

import (
	"context"
	"fmt"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// Unopened is a ciphertext that does not open where it stands.
type Unopened struct {
	Table, Row, OrderID, LineID string
	Why                         string
}

// sealedRow is a ciphertext with all that it takes to open it: the wrapped data key, its owner, and the place.
type sealedRow struct {
	Row         string  `db:"row"`
	OrderID     *string `db:"order_id"`
	LineID      *string `db:"line_id"`
	Owner       string  `db:"owner"`
	Wrapped     []byte  `db:"wrapped"`
	Place       string  `db:"place"` // what the ciphertext is bound to, but for a pool key
	Content     []byte  `db:"content"`
	Fingerprint []byte  `db:"fingerprint"` // of a key: must be that of what opens
}

// sealedTables are the tables with ciphertexts of a customer or a pool. :percent is how much of the table's pages is
// looked at; a customer who was erased has nothing left to open.
var sealedTables = []struct{ name, query string }{
	{"pool_keys", `
		SELECT CAST(k.id AS text) AS row, l.order_id, k.line_id, 'pool/' || k.pool_id AS owner, p.data_key AS wrapped, k.pool_id AS place, k.content, k.fingerprint
		FROM pool_keys k TABLESAMPLE SYSTEM (:percent) JOIN pools p ON p.id = k.pool_id LEFT JOIN line_items l ON l.id = k.line_id`},
	{"orders", `
		SELECT o.id AS row, o.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped, 'orders/' || o.id AS place, o.customer AS content
		FROM orders o TABLESAMPLE SYSTEM (:percent) JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND o.customer <> ''`},
	{"idempotency_keys", `
		SELECT i.order_id AS row, o.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped, 'idempotency_keys/' || o.id AS place, i.response AS content
		FROM idempotency_keys i TABLESAMPLE SYSTEM (:percent) JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id
		WHERE c.data_key IS NOT NULL AND i.response <> ''`},
	{"deliverables", `
		SELECT CAST(y.unit_no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'deliverables/' || y.line_id || '/' || y.unit_no || '/' || y.kind AS place, y.content, y.fingerprint
		FROM deliverables y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.content <> ''`},
	{"partner_requests", `
		SELECT y.operation || ' ' || y.source AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'partner_requests/' || y.line_id || '/' || y.source || '/' || y.operation || '/' || y.unit_no AS place, y.request AS content
		FROM partner_requests y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL`},
	{"attempts", `
		SELECT CAST(y.no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'attempts/' || y.line_id || '/' || y.no AS place, y.reply AS content
		FROM attempts y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.reply IS NOT NULL`},
	{"deliveries", `
		SELECT CAST(y.id AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'deliveries/' || y.id AS place, y.message AS content
		FROM deliveries y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.message <> ''`},
}

// OpenSample opens n ciphertexts of each table where they stand, or all if there are fewer, others each time. It says how many it
// opened and which do not open, or are not the key that their fingerprint says.
func (s *Snapshot) OpenSample(ctx context.Context, n int) (opened int, broken []Unopened, err error) {
	for _, t := range sealedTables {
		var pages int
		if err := s.Get(ctx, &pages, `SELECT CAST(pg_relation_size(CAST(:table AS regclass)) / 8192 AS int)`, map[string]any{"table": t.name}); err != nil {
			return opened, broken, err
		}
		percent := 100.0
		if pages > 100 { // a page has five rows at the least: some of them are too many, and cut off
			percent = min(100, 100*float64(n)/float64(pages))
		}
		var rows []sealedRow
		if err := s.Select(ctx, &rows, `SELECT q.* FROM (`+t.query+`) q ORDER BY random() LIMIT :n`, map[string]any{"percent": percent, "n": n}); err != nil {
			return opened, broken, err
		}
		for _, r := range rows {
			opened++
			if why := s.d.open(r, t.name); why != "" {
				broken = append(broken, Unopened{Table: t.name, Row: r.Row, OrderID: value(r.OrderID), LineID: value(r.LineID), Why: why})
			}
		}
	}
	return opened, broken, nil
}

func (d *DB) open(r sealedRow, table string) string {
	place := r.Place
	if table == "pool_keys" {
		place = stock.KeyPlace(r.Place, r.Fingerprint)
	}
	dk, err := d.keys.OpenDataKey(r.Wrapped, r.Owner)
	if err != nil {
		return "the data key of its owner does not open"
	}
	plain, err := dk.Open(r.Content, place)
	if err != nil {
		return "it does not decrypt where it stands"
	}
	if len(r.Fingerprint) > 0 && string(d.keys.Fingerprint(string(plain))) != string(r.Fingerprint) {
		return "its fingerprint is another key's"
	}
	return ""
}

// Fingerprint is the keyed hash by which the same key is found twice.
func (d *DB) Fingerprint(text string) []byte { return d.keys.Fingerprint(text) }

// UnitID is the licence ID that a partner is asked under for one unit of a fulfillment.
func UnitID(fulfillmentID string, unit int) string { return unitID(fulfillmentID, unit) }

// SuppliedKey is the fingerprint of a key that was stored without one: people supplied it.
type SuppliedKey struct {
	LineID      string
	UnitNo      int
	Fingerprint []byte
}

// SuppliedKeys finds the fingerprints of the keys that have none. Those of erased customers stay unknown.
func (s *Snapshot) SuppliedKeys(ctx context.Context) ([]SuppliedKey, error) {
	var rows []struct {
		LineID  string `db:"line_id"`
		UnitNo  int    `db:"unit_no"`
		Owner   string `db:"owner"`
		Wrapped []byte `db:"wrapped"`
		Content []byte `db:"content"`
	}
	err := s.Select(ctx, &rows, `
		SELECT y.line_id, y.unit_no, 'customer/' || c.id AS owner, c.data_key AS wrapped, y.content
		FROM deliverables y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
		WHERE y.kind = 'code' AND y.fingerprint IS NULL AND y.content <> ''`, nil)
	if err != nil {
		return nil, err
	}
	var out []SuppliedKey
	for _, r := range rows {
		dk, err := s.d.keys.OpenDataKey(r.Wrapped, r.Owner)
		if err != nil {
			continue // OpenSample says so
		}
		plain, err := dk.Open(r.Content, partOf(r.LineID, r.UnitNo, "code"))
		if err != nil {
			continue
		}
		out = append(out, SuppliedKey{LineID: r.LineID, UnitNo: r.UnitNo, Fingerprint: s.d.keys.Fingerprint(string(plain))})
	}
	return out, nil
}

// StoredLetter is an e-mail as it was booked, with what it must agree with. Stored and Codes are secret.
type StoredLetter struct {
	ID       string
	LineID   string
	OrderID  string
	Kind     keyturn.DeliveryKind
	Attempts int
	Resent   bool   // somebody had it sent again, perhaps to another address
	Address  string // the order's
	Canceled bool   // its line is
	Stored   []byte // as the renderer of the delivery made it
	Codes    []keyturn.Secret
}

// Format keeps keys and addresses out of every print.
func (l StoredLetter) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "delivery %s", l.ID) }
