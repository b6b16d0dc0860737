package audit

import (
	"context"

	"keyturn.dev/keyturn/stock"
)

// checkSecrets opens a sample of the ciphertexts.
func (r *run) checkSecrets(ctx context.Context) error {
	opened, broken, err := r.openSample(ctx, r.Sample)
	if err != nil {
		return err
	}
	r.counts[looksOpened] = int64(opened)
	for _, b := range broken {
		r.found("G2", Violation{OrderID: b.OrderID, LineID: b.LineID, Subject: b.Table + " " + b.Row, What: b.Why})
	}
	return nil
}

// unopened is a ciphertext that does not open where it stands.
type unopened struct {
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
		SELECT CAST(k.id AS text) AS row, l.order_id, k.line_id, 'pool/' || k.pool_id AS owner, p.data_key AS wrapped,
			k.pool_id AS place, k.content, k.fingerprint
		FROM pool_keys k TABLESAMPLE SYSTEM (:percent) JOIN pools p ON p.id = k.pool_id LEFT
			JOIN line_items l ON l.id = k.line_id`},
	{"orders", `
		SELECT o.id AS row, o.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped, 'orders/' || o.id AS place,
			o.customer AS content
		FROM orders o TABLESAMPLE SYSTEM (:percent) JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL
			AND o.customer <> ''`},
	{"idempotency_keys", `
		SELECT i.order_id AS row, o.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'idempotency_keys/' || o.id AS place, i.response AS content
		FROM idempotency_keys i TABLESAMPLE SYSTEM (:percent) JOIN orders o ON o.id = i.order_id
			JOIN customers c ON c.id = o.customer_id
		WHERE c.data_key IS NOT NULL AND i.response <> ''`},
	{"deliverables", `
		SELECT CAST(y.unit_no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'deliverables/' || y.line_id || '/' || y.unit_no || '/' || y.kind AS place, y.content, y.fingerprint
		FROM deliverables y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.content <> ''`},
	{"partner_requests", `
		SELECT y.operation || ' ' || y.source AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'partner_requests/' || y.line_id || '/' || y.source || '/' || y.operation || '/' || y.unit_no AS place, y.request AS content
		FROM partner_requests y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL`},
	{"attempts", `
		SELECT CAST(y.no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'attempts/' || y.line_id || '/' || y.no AS place, y.reply AS content
		FROM attempts y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.reply IS NOT NULL`},
	{"deliveries", `
		SELECT CAST(y.id AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'deliveries/' || y.id AS place, y.message AS content
		FROM deliveries y TABLESAMPLE SYSTEM (:percent) JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.message <> ''`},
}

// openSample opens n ciphertexts of each table where they stand, or all if there are fewer, others each time. It says
// how many it opened and which do not open, or are not the key that their fingerprint says.
func (r *run) openSample(ctx context.Context, n int) (opened int, broken []unopened, err error) {
	for _, t := range sealedTables {
		var pages int
		if err := r.s.Get(ctx, &pages, `SELECT CAST(pg_relation_size(CAST(:table AS regclass)) / 8192 AS int)`,
			map[string]any{"table": t.name}); err != nil {
			return opened, broken, err
		}
		percent := 100.0
		if pages > 100 { // a page has five rows at the least: some of them are too many, and cut off
			percent = min(100, 100*float64(n)/float64(pages))
		}
		var rows []sealedRow
		if err := r.s.Select(ctx, &rows, `SELECT q.* FROM (`+t.query+`) q ORDER BY random() LIMIT :n`,
			map[string]any{"percent": percent, "n": n}); err != nil {
			return opened, broken, err
		}
		for _, row := range rows {
			opened++
			if why := r.cannotOpen(row, t.name); why != "" {
				broken = append(broken, unopened{
					Table: t.name, Row: row.Row, OrderID: text(row.OrderID), LineID: text(row.LineID),
					Why: why,
				})
			}
		}
	}
	return opened, broken, nil
}

// cannotOpen says why a ciphertext does not open where it stands, or is another key than its fingerprint says.
func (r *run) cannotOpen(row sealedRow, table string) string {
	place := row.Place
	if table == "pool_keys" {
		place = stock.KeyPlace(row.Place, row.Fingerprint)
	}
	plain, err := r.DB.OpenSealed(row.Wrapped, row.Owner, place, row.Content)
	if err != nil {
		return err.Error()
	}
	if len(row.Fingerprint) > 0 && string(r.DB.Fingerprint(string(plain))) != string(row.Fingerprint) {
		return "its fingerprint is another key's"
	}
	return ""
}

// suppliedKey is the fingerprint of a key that was stored without one: people supplied it.
type suppliedKey struct {
	LineID      string
	UnitNo      int
	Fingerprint []byte
}

// suppliedKeys finds the fingerprints of the keys that have none. Those of erased customers stay unknown.
func (r *run) suppliedKeys(ctx context.Context) ([]suppliedKey, error) {
	var rows []struct {
		LineID  string `db:"line_id"`
		UnitNo  int    `db:"unit_no"`
		Owner   string `db:"owner"`
		Wrapped []byte `db:"wrapped"`
		Place   string `db:"place"`
		Content []byte `db:"content"`
	}
	err := r.s.Select(ctx, &rows, `
		SELECT y.line_id, y.unit_no, 'customer/' || c.id AS owner, c.data_key AS wrapped, y.content,
			'deliverables/' || y.line_id || '/' || y.unit_no || '/code' AS place
		FROM deliverables y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
			JOIN customers c ON c.id = o.customer_id
		WHERE y.kind = 'code' AND y.fingerprint IS NULL AND y.content <> ''`, nil)
	if err != nil {
		return nil, err
	}
	var out []suppliedKey
	for _, row := range rows {
		plain, err := r.DB.OpenSealed(row.Wrapped, row.Owner, row.Place, row.Content)
		if err != nil {
			continue // of a data key that is there, openSample says so
		}
		out = append(out, suppliedKey{LineID: row.LineID, UnitNo: row.UnitNo, Fingerprint: r.DB.Fingerprint(string(plain))})
	}
	return out, nil
}
