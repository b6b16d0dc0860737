package db

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
)

// Deliverables is what the customer gets of a line.
type Deliverables struct {
	Codes      []keyturn.Secret
	Replaced   []keyturn.Secret // recalled keys: Codes has those that took their place
	Links      []string
	Files      []File // each with another name
	Additional map[string][]string
	Tracked    bool // Codes are tracking numbers, too: so says their source
}

// Empty says that there is nothing in it to hand over: a bare acknowledgement.
func (out Deliverables) Empty() bool {
	return len(out.Codes) == 0 && len(out.Links) == 0 && len(out.Files) == 0
}

// storeDeliverable keeps what a call brought and says whether the line has all it needs. Codes that the line must not
// have are returned, and nothing is kept then.
func (d *DB) storeDeliverable(
	ctx context.Context, tx *sqlx.Tx, l *line, r CallResult,
) (done bool, refused []knownCode, err error) {
	kept, err := d.keptCodes(ctx, tx, l)
	if err != nil {
		return false, nil, err
	}
	parts, err := d.brought(r)
	if err != nil {
		return false, nil, err
	}
	parts = slices.DeleteFunc(parts, func(p part) bool {
		return kept[string(p.fingerprint)] // the partner names the key that the licence has: it stays where it is
	})
	if refused, err = d.storeParts(ctx, tx, l, parts); err != nil || len(refused) > 0 {
		return false, refused, err
	}
	if err := storeTerm(ctx, tx, l, r.UnitNo, r.Additional); err != nil {
		return false, nil, err
	}
	// units are answered in their order, with or without a code
	if l.LicenseID != nil && l.product.QuantityMode == keyturn.OnePerUnit {
		return r.UnitNo+1 >= l.units(), nil, nil
	}
	// one call answers for the whole line
	if l.product.QuantityMode != keyturn.OnePerUnit || len(r.Codes)+len(r.Links)+len(r.Files) == 0 {
		return true, nil, nil
	}
	var n int
	err = tx.GetContext(ctx, &n, `SELECT `+answeredUnitsSQL, l.ID)
	return n >= l.units(), nil, err
}

// answeredUnitsSQL counts the units of the line $1 whose call brought what the customer gets.
const answeredUnitsSQL = `count(DISTINCT unit_no) FROM deliverables WHERE line_id = $1 AND kind <> 'additional'`

// brought takes apart what a call brought.
func (d *DB) brought(r CallResult) (out []part, err error) {
	for i, code := range r.Codes {
		out = append(out, part{
			unit: r.UnitNo + i, kind: "code", plain: []byte(code.Reveal()), fingerprint: d.keys.Fingerprint(code.Reveal()),
		})
	}
	for i, link := range r.Links {
		out = append(out, part{unit: r.UnitNo + i, kind: "link", plain: []byte(link)})
	}
	for i, file := range r.Files {
		text, err := json.Marshal(file)
		if err != nil {
			return nil, err
		}
		out = append(out, part{unit: r.UnitNo + i, kind: "file", plain: text})
	}
	if len(r.Additional) > 0 {
		text, err := json.Marshal(r.Additional)
		if err != nil {
			return nil, err
		}
		out = append(out, part{unit: r.UnitNo, kind: "additional", plain: text})
	}
	return out, nil
}

// storeParts stores what a call brought, or nothing and gives the codes that the line must not have.
func (d *DB) storeParts(ctx context.Context, tx *sqlx.Tx, l *line, parts []part) (refused []knownCode, err error) {
	if len(parts) == 0 {
		return nil, nil
	}
	var w pg.StmtBuilder
	allowed := l.appendKnown(&w, parts)
	w.With("moved", `SELECT id FROM line_items WHERE id = ?`+allowed, l.ID)
	if err := d.appendParts(&w, l, parts); err != nil {
		return nil, err
	}
	if allowed == "" {
		return nil, w.Select(ctx, tx, &[]string{}, `SELECT id FROM moved`)
	}
	return refused, w.Select(ctx, tx, &refused, refusedSQL)
}

// appendParts appends that the line has what a call brought. It follows appendKnown.
func (d *DB) appendParts(w *pg.StmtBuilder, l *line, parts []part) error {
	_, dk, err := d.customer(l)
	if err != nil {
		return err
	}
	for i, p := range parts {
		sealed, err := dk.Seal(p.plain, partOf(l.ID, p.unit, p.kind))
		if err != nil {
			return err
		}
		if p.kind == "code" {
			w.With("part"+itoa(i), `
				INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source, shared)
				SELECT id, ?, 'code', ?, ?, ?, (SELECT why FROM known WHERE code = ? LIMIT 1) FROM moved
				ON CONFLICT (line_id, unit_no, kind) DO UPDATE SET content = excluded.content,
					fingerprint = excluded.fingerprint, source = excluded.source, shared = excluded.shared`,
				p.unit, sealed, p.fingerprint, l.source().Name(), p.fingerprint)
			continue
		}
		w.With("part"+itoa(i), `
			INSERT INTO deliverables (line_id, unit_no, kind, content, source)
			SELECT id, ?, ?, ?, ? FROM moved
			ON CONFLICT (line_id, unit_no, kind) DO UPDATE SET content = excluded.content, source = excluded.source`,
			p.unit, p.kind, sealed, l.source().Name())
	}
	return nil
}

func partOf(lineID string, unit int, kind string) string {
	return fmt.Sprintf("deliverables/%s/%d/%s", lineID, unit, kind)
}

func (d *DB) keyOfCustomer(ctx context.Context, q sqlx.QueryerContext, id string) (vault.DataKey, error) {
	var wrapped []byte
	if err := sqlx.GetContext(ctx, q, &wrapped, `SELECT data_key FROM customers WHERE id = $1`, id); err != nil {
		return vault.DataKey{}, err
	}
	return d.keys.OpenDataKey(wrapped, "customer/"+id)
}

// part is one piece of what a line has, decrypted.
type part struct {
	unit        int
	kind        string // code, link, file or additional; replaced: a code that was recalled
	plain       []byte
	fingerprint []byte // of a code that is to be stored
	tracked     bool   // a code that is a tracking number, too
}

// deliverables decrypts what a line has: keys of its pool, or what its endpoint or a person gave.
func (d *DB) deliverables(ctx context.Context, q sqlx.QueryerContext, lineID, customerID string) (Deliverables, error) {
	parts, err := d.parts(ctx, q, lineID, customerID)
	if err != nil {
		return Deliverables{}, err
	}
	return assemble(parts)
}

func assemble(parts []part) (out Deliverables, err error) {
	for _, p := range parts {
		if err := out.add(p.kind, p.plain); err != nil {
			return out, err
		}
		out.Tracked = out.Tracked || p.tracked
	}
	out.Files = uniqueNames(out.Files)
	return out, nil
}

// uniqueNames gives files of one name different ones: license.lic, license-2.lic. They go into one e-mail, and one
// folder of the customer's.
func uniqueNames(files []File) []File {
	out := slices.Clone(files)
	seen := map[string]bool{}
	for i := range out {
		ext := path.Ext(out[i].Name)
		stem := strings.TrimSuffix(out[i].Name, ext)
		for n := 2; seen[strings.ToLower(out[i].Name)]; n++ {
			out[i].Name = stem + "-" + itoa(n) + ext
		}
		seen[strings.ToLower(out[i].Name)] = true
	}
	return out
}

// parts are the pieces of what a line has, in the order of its units.
func (d *DB) parts(ctx context.Context, q sqlx.QueryerContext, lineID, customerID string) ([]part, error) {
	all, err := d.partsOf(ctx, q, []string{lineID}, customerID)
	return all[lineID], err
}

// partsOf are the pieces of what each of a customer's lines has, in the order of its units.
func (d *DB) partsOf(ctx context.Context, q sqlx.QueryerContext, lines []string, customerID string) (map[string][]part,
	error,
) {
	out := map[string][]part{}
	var pooled []struct {
		stock.SealedKey
		LineID string `db:"line_id"`
	}
	if err := sqlx.SelectContext(ctx, q, &pooled, `
		SELECT k.line_id, k.pool_id, k.unit_no, p.data_key, k.content, k.fingerprint, k.state = 'recalled' AS recalled FROM (
			SELECT * FROM pool_keys WHERE line_id = ANY(CAST($1 AS uuid[])) AND state <> 'recalled'
			UNION ALL
			SELECT * FROM pool_keys WHERE line_id = ANY(CAST($1 AS uuid[])) AND state = 'recalled'
		) k JOIN pools p ON p.id = k.pool_id
		ORDER BY k.unit_no, k.id`, pq.Array(lines)); err != nil { // in two parts, because there is an index for each
		return nil, err
	}
	for _, k := range pooled {
		codes, err := d.stock.Open([]stock.SealedKey{k.SealedKey})
		if err != nil {
			return nil, err
		}
		kind := "code"
		if k.Recalled {
			kind = "replaced"
		}
		out[k.LineID] = append(out[k.LineID], part{unit: k.UnitNo, kind: kind, plain: []byte(codes[0])})
	}
	lines = slices.DeleteFunc(slices.Clone(lines), func(id string) bool { return out[id] != nil })
	if len(lines) == 0 {
		return out, nil
	}
	var rows []struct {
		LineID  string `db:"line_id"`
		UnitNo  int    `db:"unit_no"`
		Kind    string `db:"kind"`
		Content []byte `db:"content"`
		Source  string `db:"source"`
	}
	err := sqlx.SelectContext(ctx, q, &rows, `
		SELECT line_id, unit_no, kind, content, source FROM deliverables WHERE line_id = ANY(CAST($1 AS uuid[]))
		ORDER BY unit_no, kind`, pq.Array(lines))
	if err != nil || len(rows) == 0 {
		return out, err
	}
	dk, err := d.keyOfCustomer(ctx, q, customerID)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		plain, err := dk.Open(r.Content, partOf(r.LineID, r.UnitNo, r.Kind))
		if err != nil {
			return nil, err
		}
		out[r.LineID] = append(out[r.LineID], part{
			unit: r.UnitNo, kind: r.Kind, plain: plain,
			tracked: r.Kind == "code" && keyturn.ParseSource(r.Source).Type.Info().Tracked,
		})
	}
	return out, nil
}

func (out *Deliverables) add(kind string, plain []byte) error {
	switch kind {
	case "code":
		out.Codes = append(out.Codes, keyturn.Secret(plain))
	case "replaced":
		out.Replaced = append(out.Replaced, keyturn.Secret(plain))
	case "link":
		out.Links = append(out.Links, string(plain))
	case "file":
		var f File
		if err := json.Unmarshal(plain, &f); err != nil {
			return err
		}
		out.Files = append(out.Files, f)
	case "additional":
		return json.Unmarshal(plain, &out.Additional)
	}
	return nil
}
