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
	logo := s.Logo
	s.Logo = logo.Described()
	spec, err := json.Marshal(s)
	if err != nil {
		return false, false, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := putImage(ctx, tx, theShop, "logo", logo); err != nil {
			return err
		}
		isNew, differs, err := upsert(ctx, tx, "shop", theShop, string(spec))
		changed = differs && !(isNew && string(spec) == "{}")
		return err
	})
	return false, changed, err
}

// cachedShop is the shop as it was read last, with the text that it was read from.
var cachedShop cache[readShop]

type readShop struct {
	spec string
	shop keyturn.Shop
}

// shopFrom gives the shop from its stored text; the zero value without any.
func shopFrom(spec *string) (keyturn.Shop, error) {
	if spec == nil {
		return keyturn.Shop{}, nil
	}
	if r, ok := cachedShop.get(theShop); ok && r.spec == *spec {
		return r.shop, nil
	}
	shop, err := specFrom[keyturn.Shop](*spec)
	if err != nil {
		return shop, keyturn.Errorf(keyturn.KindInternal, "the shop's stored settings cannot be read: %w", err)
	}
	cachedShop.put(theShop, readShop{*spec, shop})
	return shop, nil
}

// CheckShop says whether the logo exists that settings keep, as PutShop would, and stores nothing.
func (d *DB) CheckShop(ctx context.Context, s keyturn.Shop) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error { return keepsImage(ctx, tx, theShop, "logo", s.Logo) })
}

// shopIn gives the shop's settings inside of a transaction.
func shopIn(ctx context.Context, tx *sqlx.Tx) (keyturn.Shop, error) {
	var spec []string
	if err := tx.SelectContext(ctx, &spec, `SELECT spec FROM shop`); err != nil || len(spec) == 0 {
		return keyturn.Shop{}, err
	}
	return shopFrom(&spec[0])
}

// Shop gives the shop's settings as they were stored; the zero value where there are none.
func (d *DB) Shop(ctx context.Context) (keyturn.Shop, error) {
	s, err := specOf[keyturn.Shop](ctx, d.pg, "shop", "entry", theShop)
	if keyturn.KindOf(err) == keyturn.KindNotFound {
		return s, nil
	}
	return s, err
}
