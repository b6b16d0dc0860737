package db

import (
	"context"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// shortages is what is known of sources when an order comes.
type shortages struct {
	// stock is how many keys of a pool a new line may expect: none while lines wait for the pool, else its stock figure,
	// which still counts keys whose batch is being recalled, less what is reserved. It is an estimate, good enough for a
	// warning: the exact count reads the pool's keys, and while an old snapshot is open (an audit, a backup) it passes
	// over all keys sold meanwhile.
	stock map[string]int
	down  map[string]bool // integrations whose breaker is open
}

func (f acceptContext) shortages() shortages {
	s := shortages{stock: map[string]int{}, down: map[string]bool{}}
	for _, text := range f.Stock {
		pool, n, _ := strings.Cut(text, "=")
		s.stock[pool], _ = strconv.Atoi(n)
	}
	for _, id := range f.Down {
		s.down[id] = true
	}
	return s
}

// sellable refuses an order with lines that nothing can deliver now and whose product is not sold then, and lines that
// no source serves in the order's currency; it gives the warnings about the others that nothing can deliver now. Keys
// are not reserved: of two orders for the last key that come at the same moment, one may still wait. paid is of an
// order that a payment makes: what may be sold was decided when the customer began to pay, and what cannot be
// delivered is not charged.
func (d *DB) sellable(
	ctx context.Context, o keyturn.Order, products map[string]keyturn.Product, only map[string]map[string]string,
	known shortages, paid bool,
) ([]keyturn.Warning, error) {
	var bad keyturn.Problems
	var out []keyturn.Warning
	needed := map[string]int{}
	for i, l := range o.LineItems {
		if l.Operation != "" && l.Operation != keyturn.OpCreate && l.Operation != keyturn.OpUpgrade {
			continue // it keeps the keys that its licence has
		}
		p, at := products[l.ProductID], lineAt(i)+".productId"
		sources := sourcesFor(p, only[l.ProductID], o.Currency)
		bad.Check(len(sources) > 0, at, "no pool of product %s sells in %s", l.ProductID, o.Currency)
		if paid {
			continue
		}
		short := map[string]keyturn.Shortage{}
		for _, s := range sources {
			switch {
			case s.Type.HasIntegration() && known.down[s.Integration]:
				short[s.Name()] = keyturn.ShortagePartner
			case s.Type.HasPool():
				needed[s.Pool] += p.Units(l.Quantity)
				n := known.stock[s.Pool]
				if p.Sell.WhenEmpty == keyturn.SellRefuse { // no order is turned away by an estimate
					var err error
					if n, err = d.stockLeft(ctx, s.Pool, needed[s.Pool]); err != nil {
						return nil, err
					}
				}
				if n < needed[s.Pool] {
					short[s.Name()] = keyturn.ShortageStock
				}
			}
		}
		rule, why := p.Sell.Sellable(sources, func(s keyturn.Source) keyturn.Shortage { return short[s.Name()] })
		switch {
		case why == "" || rule == keyturn.SellAllow:
		case rule == keyturn.SellRefuse:
			return nil, &keyturn.Error{
				Kind:    keyturn.KindConflict,
				Message: "product " + l.ProductID + " is not sold now: it " + shortageText[why], Fields: []keyturn.FieldError{
					{Location: at, Message: shortageText[why]},
				},
			}
		default:
			out = append(out, keyturn.Warning{
				Location: at, ProductID: l.ProductID, Shortage: why,
				Message: "product " + l.ProductID + " " + shortageText[why] +
					": the line waits, and is refunded if that does not end in time",
			})
		}
	}
	return out, bad.Err("the order is not valid")
}

var shortageText = map[keyturn.Shortage]string{
	keyturn.ShortageStock:   "is out of stock",
	keyturn.ShortagePartner: "comes from a partner that does not answer",
}

// stockLeft counts the keys of a pool that no waiting line is ahead of and that no customer is paying for, up to n.
func (d *DB) stockLeft(ctx context.Context, pool string, n int) (int, error) {
	var ahead struct {
		Waits    bool `db:"waits"`
		Reserved int  `db:"reserved"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.GetContext(ctx, &ahead, `
		SELECT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1) AS waits, `+reservedSQL(`$1`)+` AS reserved`,
		pool); err != nil || ahead.Waits {
		return 0, pg.AsKind(err)
	}
	left, err := stock.Left(ctx, d.pg, pool, n+ahead.Reserved)
	return max(left-ahead.Reserved, 0), pg.AsKind(err)
}

// reservedSQL is how many units of a pool are set aside for customers who are paying.
func reservedSQL(pool string) string {
	return `coalesce((SELECT sum(units) FROM reservations WHERE pool_id = ` + pool + `), 0)`
}

// sourcesFor gives the sources that can serve an order in the currency.
func sourcesFor(p keyturn.Product, only map[string]string, currency string) []keyturn.Source {
	var out []keyturn.Source
	for _, s := range p.Sources {
		if fits(s, only, currency) {
			out = append(out, s)
		}
	}
	return out
}

// currencies gives, by product, what currency each of its pools sells in, of those that sell in one only.
func (f acceptContext) currencies() map[string]map[string]string {
	out := map[string]map[string]string{}
	for i, text := range f.Currencies {
		if text != "" && i < len(f.ProductIDs) {
			out[f.ProductIDs[i]] = currencies(&text)
		}
	}
	return out
}
