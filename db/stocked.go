package db

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// checkSellable refuses what certainly cannot be delivered now: lines that no source serves in the order's currency, and
// lines of products that refuse orders while their pools are empty and nothing else can deliver. The keys are not
// reserved: of two orders for the last key that come at the same moment, one may still wait. It costs nothing for
// products without either.
func (d *DB) checkSellable(ctx context.Context, o keyturn.Order, products map[string]keyturn.Product, currencies map[string]map[string]string) error {
	var bad keyturn.Problems
	needed := map[string]int{}
	for i, l := range o.LineItems {
		if l.Operation != "" && l.Operation != keyturn.OpCreate && l.Operation != keyturn.OpUpgrade {
			continue // it keeps the keys that its licence has
		}
		p := products[l.ProductID]
		pools, other := poolsFor(p, currencies[l.ProductID], o.Currency)
		bad.Check(len(pools) > 0 || other, lineAt(i)+".productId", "no pool of product %s sells in %s", l.ProductID, o.Currency)
		if !p.RefuseWhenEmpty || other || len(pools) == 0 {
			continue
		}
		units, enough := p.Units(l.Quantity), false
		for _, pool := range pools {
			needed[pool] += units
			n, err := d.stockLeft(ctx, pool, needed[pool])
			if err != nil {
				return err
			}
			enough = enough || n >= needed[pool]
		}
		if !enough {
			return &keyturn.Error{Kind: keyturn.KindConflict, Message: "product " + l.ProductID + " is out of stock: it takes orders again when new keys were imported", Fields: []keyturn.FieldError{
				{Location: lineAt(i) + ".productId", Message: "is out of stock"},
			}}
		}
	}
	return bad.Err("the order is not valid")
}

// stockLeft counts the keys of a pool that no waiting line is ahead of, up to n.
func (d *DB) stockLeft(ctx context.Context, pool string, n int) (int, error) {
	var waits bool
	if err := d.pg.GetContext(ctx, &waits, `SELECT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1)`, pool); err != nil || waits {
		return 0, pg.AsKind(err)
	}
	return stockFor(ctx, d.pg, pool, n)
}

// poolsFor gives the pools that can serve an order in the currency, and whether something else than a pool can.
func poolsFor(p keyturn.Product, only map[string]string, currency string) (pools []string, other bool) {
	for _, source := range p.Sources {
		switch {
		case source.Type != keyturn.SourcePool:
			other = true
		case fits(source, only, currency):
			pools = append(pools, source.Pool)
		}
	}
	return pools, other
}

// currencies gives, by product, what currency each of its pools sells in, of those that sell in one only.
func (f firstLook) currencies() map[string]map[string]string {
	out := map[string]map[string]string{}
	for i, text := range f.Currencies {
		if text != "" && i < len(f.ProductIDs) {
			out[f.ProductIDs[i]] = currencies(&text)
		}
	}
	return out
}
