package db

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// merchantSQL is the condition that an ID has the prefix whose merchant is the argument: as the indexes …_by_merchant
// have it, which hold the IDs that have a merchant at all.
func merchantSQL(id, argument string) string {
	return `strpos(` + id + `, ':') > 0 AND split_part(` + id + `, ':', 1) = ` + argument
}

// prefixed adds the prefix's merchant to the arguments of a statement that has merchantSQL; of none, nothing.
func prefixed(prefix keyturn.Prefix, args ...any) []any {
	if prefix == "" {
		return args
	}
	return append(args, prefix.Merchant())
}

// OrderOf gives the ID of the order that a fulfillment belongs to, or a licence, which has the ID of its create.
// KindNotFound.
func (d *DB) OrderOf(ctx context.Context, fulfillmentID string) (string, error) {
	id, ok := canonicalID(fulfillmentID)
	if !ok {
		return "", keyturn.Errorf(keyturn.KindNotFound, "there is no such fulfillment: its ID is a UUID")
	}
	var order string
	err := d.pg.GetContext(ctx, &order, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, id)
	return order, pg.NotFound(err, "there is no fulfillment %s", id)
}
