package db

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// currencies reads products.pool_currencies: pool to currency, of those pools that sell in one only.
func currencies(text *string) map[string]string {
	if text == nil {
		return nil
	}
	var out map[string]string
	if json.Unmarshal([]byte(*text), &out) != nil {
		return nil
	}
	return out
}

// fits says whether a source can serve an order in the currency.
func fits(s keyturn.Source, pools map[string]string, currency string) bool {
	only := pools[s.Pool]
	return only == "" || only == currency
}

// noteCurrencies stores with products what their pools' currencies are, so that no step of a line has to look: of one
// product, or of all that use a pool.
func noteCurrencies(ctx context.Context, tx *sqlx.Tx, product, pool string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE products p SET pool_currencies = c.pools FROM (
			SELECT p.id, CAST(json_object_agg(l.id,
				CAST(l.spec AS json) ->> 'currency') FILTER (WHERE CAST(l.spec AS json) ->> 'currency' <> '') AS text) AS pools
			FROM products p, json_array_elements(CAST(p.spec AS json) -> 'sources') s, pools l
			WHERE l.id = s ->> 'pool' AND (p.id = $1 OR EXISTS (
				SELECT FROM json_array_elements(CAST(p.spec AS json) -> 'sources') o WHERE $2 <> '' AND o ->> 'pool' = $2))
			GROUP BY p.id
		) c WHERE p.id = c.id AND p.pool_currencies IS DISTINCT FROM c.pools`, product, pool)
	return err
}
