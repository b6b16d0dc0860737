package db

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// theShop is the ID of the only row of the table shop.
const theShop = "shop"

// PutShop stores checked settings of the shop and says whether they differ from what was there. They are never created:
// a shop without any has those of the zero value.
func (d *DB) PutShop(ctx context.Context, s keyturn.Shop) (created, changed bool, err error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return false, false, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		isNew, differs, err := upsert(ctx, tx, "shop", theShop, string(spec))
		changed = differs && !(isNew && string(spec) == "{}")
		return err
	})
	return false, changed, err
}

// Shop gives the shop's settings as they were stored; the zero value where there are none.
func (d *DB) Shop(ctx context.Context) (keyturn.Shop, error) {
	s, err := specOf[keyturn.Shop](ctx, d.pg, "shop", "entry", theShop)
	if keyturn.KindOf(err) == keyturn.KindNotFound {
		return s, nil
	}
	return s, err
}
