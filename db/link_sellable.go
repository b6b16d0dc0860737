package db

import (
	"context"
	"slices"

	"keyturn.dev/keyturn"
)

// shownLeft is how few units of a product are left when a page says so.
const shownLeft = 5

// linkSellability says of each line whether it can be delivered at the moment, at its quantity, and how many units of
// which pools the lines would take: of each line the first source that can deliver, where that is a pool.
func (d *DB) linkSellability(ctx context.Context, lines []keyturn.LinkLine, currency string,
	products map[string]keyturn.Product, known acceptContext,
) (out []keyturn.LineSellability, takes map[string]int, err error) {
	only, have := known.currencies(), known.shortages()
	needed := map[string]int{}
	takes = map[string]int{}
	out = make([]keyturn.LineSellability, len(lines))
	for i, l := range lines {
		p := products[l.ProductID]
		out[i] = keyturn.LineSellability{LineItem: i, Code: keyturn.SellableOK}
		if l.Operation != keyturn.OpCreate && l.Operation != keyturn.OpUpgrade {
			continue
		}
		short, left, units := map[string]keyturn.Shortage{}, -1, p.Units(l.Quantity.Value)
		sources := sourcesFor(p, only[l.ProductID], currency)
		for _, s := range sources {
			switch {
			case s.Type.HasIntegration() && have.down[s.Integration]:
				short[s.Name()] = keyturn.ShortagePartner
			case s.Type.HasPool():
				needed[s.Pool] += units
				n, err := d.stockLeft(ctx, s.Pool, needed[s.Pool]+shownLeft)
				if err != nil {
					return nil, nil, err
				}
				if n < needed[s.Pool] {
					short[s.Name()] = keyturn.ShortageStock
				}
				left = max(left, n-needed[s.Pool]+units)
			default:
				left = -1
			}
		}
		first := slices.IndexFunc(sources, func(s keyturn.Source) bool { return short[s.Name()] == "" })
		if first >= 0 && sources[first].Type.HasPool() {
			takes[sources[first].Pool] += units
		}
		rule, why := p.Sell.Sellable(sources, func(s keyturn.Source) keyturn.Shortage { return short[s.Name()] })
		switch {
		case why == keyturn.ShortageStock:
			out[i].Code = keyturn.SellableOutOfStock
		case why == keyturn.ShortagePartner && rule != keyturn.SellAllow:
			out[i].Code = keyturn.SellablePartnerDown
		case left >= 0 && left <= shownLeft && len(sources) == 1 && p.Sell.ShowStock == keyturn.ShowStockLow:
			out[i].Code, out[i].Left = keyturn.SellableLow, left
		}
		out[i].Refused = why != "" && rule == keyturn.SellRefuse
	}
	return out, takes, nil
}
