package db

import (
	"context"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// CheckProduct says whether the pools and integrations of a product exist, and the image that it keeps, as PutProduct
// would, and stores nothing.
func (d *DB) CheckProduct(ctx context.Context, p keyturn.Product) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := keepsImage(ctx, tx, "product/"+p.ID, "image", p.Image); err != nil {
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
		return bad.Err("the product is not valid")
	})
}

// CheckSecrets says which secrets of an integration PutIntegration would change, by name, and refuses, as it would, one
// that has no value, neither sent nor stored.
func (d *DB) CheckSecrets(ctx context.Context, in keyturn.Integration) ([]string, error) {
	was := map[string]string{}
	old, _, err := d.integration(ctx, d.pg, in.ID)
	if err == nil {
		was = secretsOf(&old)
	} else if keyturn.KindOf(err) != keyturn.KindConfiguration {
		return nil, pg.AsKind(err)
	}
	becomes := maps.Clone(was)
	if _, _, err := withoutSecrets(in, old, becomes); err != nil {
		return nil, err
	}
	var changed []string
	for name, v := range becomes {
		if was[name] != v {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed, nil
}
