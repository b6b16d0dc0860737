package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Deliverables is what the customer gets of a line.
type Deliverables struct {
	Codes      []keyturn.Secret
	Link       string
	Files      []File
	Additional map[string][]string
}

// storeDeliverable keeps what a call brought and says whether the line has all it needs.
func (d *DB) storeDeliverable(ctx context.Context, tx *sqlx.Tx, l *line, r CallResult) (bool, error) {
	unit := r.UnitNo
	for i, code := range r.Codes {
		if err := d.storePart(ctx, tx, l, unit+i, "code", []byte(code.Reveal()), d.keys.fingerprint(code.Reveal())); err != nil {
			return false, err
		}
	}
	if r.Link != "" {
		if err := d.storePart(ctx, tx, l, unit, "link", []byte(r.Link), nil); err != nil {
			return false, err
		}
	}
	for kind, value := range map[string]any{"file": r.File, "additional": r.Additional} {
		text, err := json.Marshal(value)
		if err != nil {
			return false, err
		}
		if s := string(text); s == "null" || s == "{}" {
			continue
		}
		if err := d.storePart(ctx, tx, l, unit, kind, text, nil); err != nil {
			return false, err
		}
	}
	if l.product.QuantityMode != keyturn.OnePerUnit || len(r.Codes) == 0 { // one call answers for the whole line
		return true, nil
	}
	var n int
	err := tx.GetContext(ctx, &n, `SELECT count(*) FROM deliverables WHERE line_id = $1 AND kind = 'code'`, l.ID)
	return n >= l.units(), err
}

func (d *DB) storePart(ctx context.Context, tx *sqlx.Tx, l *line, unit int, kind string, plain, fingerprint []byte) error {
	_, dk, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return err
	}
	sealed, err := dk.seal(plain, partOf(l.ID, unit, kind))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (line_id, unit_no, kind) DO UPDATE SET content = excluded.content, fingerprint = excluded.fingerprint, source = excluded.source`,
		l.ID, unit, kind, sealed, fingerprint, l.source().Name())
	return err
}

func partOf(lineID string, unit int, kind string) string {
	return fmt.Sprintf("deliverables/%s/%d/%s", lineID, unit, kind)
}

func (d *DB) keyOfCustomer(ctx context.Context, q sqlx.QueryerContext, id string) (dataKey, error) {
	var wrapped []byte
	if err := sqlx.GetContext(ctx, q, &wrapped, `SELECT data_key FROM customers WHERE id = $1`, id); err != nil {
		return dataKey{}, err
	}
	return d.keys.dataKey(wrapped, "customer/"+id)
}

// deliverables decrypts what a line has: keys of its pool, or what its endpoint or a person gave.
func (d *DB) deliverables(ctx context.Context, q sqlx.QueryerContext, lineID, customerID string) (Deliverables, error) {
	var out Deliverables
	var pooled []pooledKey
	if err := sqlx.SelectContext(ctx, q, &pooled, `
		SELECT k.pool_id, p.data_key, k.content, k.fingerprint FROM pool_keys k JOIN pools p ON p.id = k.pool_id
		WHERE k.line_id = $1 ORDER BY k.unit_no`, lineID); err != nil {
		return out, err
	}
	if len(pooled) > 0 {
		var err error
		out.Codes, err = d.openPooled(pooled)
		return out, err
	}
	var parts []struct {
		UnitNo  int    `db:"unit_no"`
		Kind    string `db:"kind"`
		Content []byte `db:"content"`
	}
	if err := sqlx.SelectContext(ctx, q, &parts, `
		SELECT unit_no, kind, content FROM deliverables WHERE line_id = $1 ORDER BY unit_no, kind`, lineID); err != nil || len(parts) == 0 {
		return out, err
	}
	dk, err := d.keyOfCustomer(ctx, q, customerID)
	if err != nil {
		return out, err
	}
	for _, p := range parts {
		plain, err := dk.unseal(p.Content, partOf(lineID, p.UnitNo, p.Kind))
		if err != nil {
			return out, err
		}
		if err := out.add(p.Kind, plain); err != nil {
			return out, err
		}
	}
	return out, nil
}

// pooledKey is a key of a pool, encrypted.
type pooledKey struct {
	PoolID      string `db:"pool_id"`
	DataKey     []byte `db:"data_key"`
	Content     []byte `db:"content"`
	Fingerprint []byte `db:"fingerprint"`
}

func (d *DB) openPooled(pooled []pooledKey) ([]keyturn.Secret, error) {
	codes := make([]keyturn.Secret, 0, len(pooled))
	for _, k := range pooled {
		dk, err := d.keys.dataKey(k.DataKey, "pool/"+k.PoolID)
		if err != nil {
			return nil, err
		}
		plain, err := dk.unseal(k.Content, poolKeyAt(k.PoolID, k.Fingerprint))
		if err != nil {
			return nil, err
		}
		codes = append(codes, keyturn.Secret(plain))
	}
	return codes, nil
}

func (out *Deliverables) add(kind string, plain []byte) error {
	switch kind {
	case "code":
		out.Codes = append(out.Codes, keyturn.Secret(plain))
	case "link":
		out.Link = string(plain)
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
