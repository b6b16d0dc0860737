package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// checkSecrets opens the ciphertexts whose turn it is.
func (r *run) checkSecrets(ctx context.Context) error {
	opened, broken, err := r.openInTurn(ctx)
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
	EmailTag    []byte  `db:"email_tag"`   // of an order: must be that of its address
}

// sealedTables are the tables with ciphertexts of a customer or a pool, called y. A customer who was erased has nothing
// left to open.
var sealedTables = []struct{ name, query string }{
	{"pool_keys", `
		SELECT CAST(y.id AS text) AS row, l.order_id, y.line_id, 'pool/' || y.pool_id AS owner, p.data_key AS wrapped,
			y.pool_id AS place, y.content, y.fingerprint
		FROM pool_keys y JOIN pools p ON p.id = y.pool_id LEFT JOIN line_items l ON l.id = y.line_id WHERE true`},
	{"orders", `
		SELECT y.id AS row, y.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped, 'orders/' || y.id AS place,
			y.customer AS content, y.email_tag
		FROM orders y JOIN customers c ON c.id = y.customer_id WHERE c.data_key IS NOT NULL AND y.customer <> ''`},
	{"idempotency_keys", `
		SELECT y.order_id AS row, o.id AS order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'idempotency_keys/' || o.id AS place, y.response AS content
		FROM idempotency_keys y JOIN orders o ON o.id = y.order_id JOIN customers c ON c.id = o.customer_id
		WHERE c.data_key IS NOT NULL AND y.response <> ''`},
	{"deliverables", `
		SELECT CAST(y.unit_no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'deliverables/' || y.line_id || '/' || y.unit_no || '/' || y.kind AS place, y.content, y.fingerprint
		FROM deliverables y JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.content <> ''`},
	{"partner_requests", `
		SELECT y.operation || ' ' || y.source AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'partner_requests/' || y.line_id || '/' || y.source || '/' || y.operation || '/' || y.unit_no AS place, y.request AS content
		FROM partner_requests y JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL`},
	{"attempts", `
		SELECT CAST(y.no AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'attempts/' || y.line_id || '/' || y.no AS place, y.reply AS content
		FROM attempts y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.reply IS NOT NULL`},
	{"deliveries", `
		SELECT CAST(y.id AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped,
			'deliveries/' || y.id AS place, y.message AS content
		FROM deliveries y JOIN line_items l ON l.id = y.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.message <> ''`},
	{"bounces", `
		SELECT CAST(y.id AS text) AS row, o.id AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped, 'bounces/' || y.id AS place, y.diagnostic AS content
		FROM bounces y JOIN deliveries d ON d.id = y.delivery_id JOIN line_items l ON l.id = d.line_id
			JOIN orders o ON o.id = l.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.diagnostic <> ''`},
	{"address_changes", `
		SELECT CAST(y.id AS text) AS row, o.id AS order_id, y.line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped, 'address_changes/' || y.id AS place, y.address AS content
		FROM address_changes y JOIN orders o ON o.id = y.order_id
		JOIN customers c ON c.id = o.customer_id WHERE c.data_key IS NOT NULL AND y.address <> ''`},
	{"access_log", `
		SELECT y.what AS row, coalesce(o.id, p.order_id) AS order_id, l.id AS line_id, 'customer/' || c.id AS owner,
			c.data_key AS wrapped, 'access_log/' || coalesce(CAST(y.line_id AS text), y.subject) AS place, y.address AS content
		FROM access_log y LEFT JOIN line_items l ON l.id = y.line_id LEFT JOIN orders o ON o.id = l.order_id
			LEFT JOIN payments p
				ON p.id = CASE WHEN y.subject LIKE 'payment/%' THEN CAST(substr(y.subject, 9) AS uuid) END
			JOIN customers c ON c.id = coalesce(o.customer_id, p.customer_id)
		WHERE c.data_key IS NOT NULL AND y.address IS NOT NULL`},
	{"payment_mails", `
		SELECT CAST(y.id AS text) AS row, p.order_id, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'payment_mails/' || y.id AS place, y.message AS content
		FROM payment_mails y JOIN payments p ON p.id = y.payment_id
		JOIN customers c ON c.id = p.customer_id WHERE c.data_key IS NOT NULL AND y.message <> ''`},
	{"library_links", `
		SELECT CAST(y.id AS text) AS row, 'customer/' || c.id AS owner, c.data_key AS wrapped,
			'library_links/' || y.id AS place, y.message AS content
		FROM library_links y JOIN customers c ON c.id = y.customer_id WHERE c.data_key IS NOT NULL AND y.message <> ''`},
}

// turns is how many audits, a day apart, open every ciphertext once. A table that is smaller than so many pages is
// opened whole each time.
const turns = 30

// chunkPages is how many pages are read at once: some megabytes.
const chunkPages = 512

// inTurn calls read with each piece of the table whose turn it is. In a query, `AND y.ctid >= CAST(:from AS tid) AND
// y.ctid < CAST(:to AS tid)` selects it, by a range scan. The turn is the day's, so that audits of one day look at the
// same rows, and those of thirty days at all.
func (r *run) inTurn(ctx context.Context, table string, read func(piece map[string]any) error) error {
	var pages int64
	if err := r.s.Get(ctx, &pages, `SELECT CAST(pg_relation_size(CAST(:table AS regclass)) / 8192 AS bigint)`,
		map[string]any{"table": table}); err != nil {
		return err
	}
	first, end := int64(0), pages
	if pages >= turns {
		turn := r.s.At.Unix() / int64(24*time.Hour/time.Second) % turns
		first, end = pages*turn/turns, pages*(turn+1)/turns
	}
	for ; first < end; first += chunkPages {
		if err := read(map[string]any{"from": tid(first), "to": tid(min(first+chunkPages, end))}); err != nil {
			return err
		}
	}
	return nil
}

func tid(page int64) string { return "(" + strconv.FormatInt(page, 10) + ",0)" }

const whoseTurnSQL = ` AND y.ctid >= CAST(:from AS tid) AND y.ctid < CAST(:to AS tid)`

// openInTurn opens ciphertexts of each table where they stand. It says how many it opened and which do not open, or are
// not the key that their fingerprint says.
func (r *run) openInTurn(ctx context.Context) (opened int, broken []unopened, err error) {
	for _, t := range sealedTables {
		err := r.inTurn(ctx, t.name, func(piece map[string]any) error {
			var rows []sealedRow
			if err := r.s.Select(ctx, &rows, t.query+whoseTurnSQL, piece); err != nil {
				return err
			}
			for _, row := range rows {
				opened++
				if why := r.cannotOpen(row, t.name); why != "" {
					broken = append(broken, unopened{
						Table: t.name, Row: row.Row, OrderID: text(row.OrderID), LineID: text(row.LineID), Why: why,
					})
				}
			}
			return nil
		})
		if err != nil {
			return opened, broken, err
		}
	}
	return opened, broken, nil
}

// cannotOpen says why a ciphertext does not open where it stands, or is another key or address than its hash says.
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
	var customer keyturn.Customer
	if len(row.EmailTag) > 0 && (json.Unmarshal(plain, &customer) != nil ||
		!bytes.Equal(r.DB.EmailTag(customer.Email), row.EmailTag)) {
		return "it is found by another e-mail address than its own"
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
			continue // of a data key that is there, openInTurn says so
		}
		out = append(out, suppliedKey{LineID: row.LineID, UnitNo: row.UnitNo, Fingerprint: r.DB.Fingerprint(string(plain))})
	}
	return out, nil
}
