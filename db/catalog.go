package db

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// PutProduct stores a checked product. Its pools and integrations must exist. created says that it is new; changed that
// it differs from what was there (the same product again is a no-op).
func (d *DB) PutProduct(ctx context.Context, p keyturn.Product) (created, changed bool, err error) {
	picture := p.Image
	p.Image = picture.Described()
	spec, err := json.Marshal(p)
	if err != nil {
		return false, false, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := putImage(ctx, tx, "product/"+p.ID, "image", picture); err != nil {
			return err
		}
		var bad keyturn.Problems
		for i, s := range p.Sources {
			at := "sources[" + itoa(i) + "]."
			if err := mustExist(ctx, tx, &bad, "pools", at+"pool", s.Pool); err != nil {
				return err
			}
			if err := mustExist(ctx, tx, &bad, "integrations", at+"integration", s.Integration); err != nil {
				return err
			}
		}
		if err := bad.Err("the product is not valid"); err != nil {
			return err
		}
		if created, changed, err = upsert(ctx, tx, "products", p.ID, string(spec)); err != nil || !changed {
			return err
		}
		return noteCurrencies(ctx, tx, p.ID, "")
	})
	return created, changed, err
}

func mustExist(ctx context.Context, tx *sqlx.Tx, bad *keyturn.Problems, table, at, id string) error {
	if id == "" {
		return nil
	}
	var found []string
	err := tx.SelectContext(ctx, &found, `SELECT id FROM `+table+` WHERE id = $1 FOR KEY SHARE`, id)
	bad.Check(len(found) == 1, at, "names %s, which is not in the catalog", id)
	return err
}

// upsert stores a catalog entry's spec and counts its version up if it changed.
func upsert(ctx context.Context, tx *sqlx.Tx, table, id, spec string) (created, changed bool, err error) {
	var version []int64
	err = tx.SelectContext(ctx, &version, `
		INSERT INTO `+table+` AS t (id, spec) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, version = t.version + 1, updated_at = now()
			WHERE t.spec <> excluded.spec
		RETURNING version`, id, spec)
	changed = len(version) == 1
	return changed && version[0] == 1, changed, err
}

// Product gives a product as it was stored.
func (d *DB) Product(ctx context.Context, id string) (keyturn.Product, error) {
	return specOf[keyturn.Product](ctx, d.pg, "products", "product", id)
}

// Products gives all products of the prefix by ID.
func (d *DB) Products(ctx context.Context, prefix keyturn.Prefix) ([]keyturn.Product, error) {
	return specsOf[keyturn.Product](ctx, d.pg, "products", prefix)
}

// DeleteProduct removes a product. KindConflict while orders of it are undecided.
func (d *DB) DeleteProduct(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "products", id); err != nil {
			return err
		}
		var sold bool
		if err := tx.GetContext(ctx, &sold, `SELECT EXISTS (SELECT FROM line_items WHERE product_id = $1)`, id); err != nil {
			return err
		}
		if sold {
			return keyturn.Errorf(keyturn.KindConflict,
				"product %s has been sold: orders, purchase histories and refunds refer to it", id)
		}
		if err := putImage(ctx, tx, "product/"+id, "image", keyturn.Image{}); err != nil {
			return err
		}
		return deleted(tx.ExecContext(ctx, `DELETE FROM products WHERE id = $1`, id))
	})
}

// lockEntry keeps others from beginning to use a catalog entry while it is looked whether somebody does.
func lockEntry(ctx context.Context, tx *sqlx.Tx, table, id string) error {
	return tx.SelectContext(ctx, &[]string{}, `SELECT id FROM `+table+` WHERE id = $1 FOR UPDATE`, id)
}

func deleted(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return keyturn.Errorf(keyturn.KindNotFound, "it is not in the catalog")
	}
	return nil
}

func usedBy(ctx context.Context, tx *sqlx.Tx, field, id string) error {
	var users []string
	if err := tx.SelectContext(ctx, &users, `
		SELECT id FROM products WHERE EXISTS (SELECT FROM json_array_elements(CAST(spec AS json) -> 'sources') s
			WHERE s ->> $1 = $2) ORDER BY id LIMIT 3`, field, id); err != nil {
		return err
	}
	if len(users) > 0 {
		return keyturn.Errorf(keyturn.KindConflict, "product %s delivers from it: change the product first", users[0])
	}
	return nil
}

func specOf[T any](ctx context.Context, q sqlx.QueryerContext, table, what, id string) (T, error) {
	var out T
	var spec string
	if err := sqlx.GetContext(ctx, q, &spec, `SELECT spec FROM `+table+` WHERE id = $1`, id); err != nil {
		return out, pg.NotFound(err, "there is no %s %s in the catalog", what, id)
	}
	return specFrom[T](spec)
}

func specFrom[T any](spec string) (out T, err error) {
	err = json.Unmarshal([]byte(spec), &out)
	return out, err
}

func specsOf[T any](ctx context.Context, q sqlx.QueryerContext, table string, prefix keyturn.Prefix) ([]T, error) {
	var specs []string
	which := ""
	if prefix != "" {
		which = ` WHERE ` + merchantSQL("id", "$1")
	}
	if err := sqlx.SelectContext(ctx, q, &specs, `SELECT spec FROM `+table+which+` ORDER BY id`,
		prefixed(prefix)...); err != nil {
		return nil, pg.AsKind(err)
	}
	out := make([]T, len(specs))
	for i, s := range specs {
		if err := json.Unmarshal([]byte(s), &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
