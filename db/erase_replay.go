package db

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Erasures gives the list of all erasures, oldest first, to be kept outside and replayed after a restore.
func (d *DB) Erasures(ctx context.Context) ([]Erasure, error) {
	out := []Erasure{}
	err := d.pg.SelectContext(ctx, &out,
		`SELECT id, customer_hash, erased_at, orders, lines, by FROM erasures ORDER BY erased_at, id`)
	for i := range out {
		out[i].ErasedAt = out[i].ErasedAt.UTC()
	}
	return out, pg.AsKind(err)
}

// Replayed says what became of a list of erasures.
type Replayed struct {
	Erased  int     `json:"erased"`  // customers whose data was there again
	Gone    int     `json:"gone"`    // of whom nothing was there
	Refused []error `json:"-"`       // customers with something open, named by their orders
	Open    int     `json:"refused"` // how many of these
}

// ReplayErasures erases again what a list from outside says was erased: after a restore, before anybody is served. It
// may be repeated. An error means that the database does not answer.
func (d *DB) ReplayErasures(ctx context.Context, list []Erasure, by string) (Replayed, error) {
	var out Replayed
	owed, err := d.unerased(ctx, d.pg, list)
	if err != nil {
		return out, pg.AsKind(err)
	}
	out.Gone = len(latest(list)) - len(owed)
	for _, o := range owed {
		_, err := d.erase(ctx, "", o.CustomerID, by, &o.ErasedAt)
		switch keyturn.KindOf(err) {
		case "":
			out.Erased++
		case keyturn.KindConflict:
			out.Refused = append(out.Refused, err)
			out.Open++
		default:
			return out, err
		}
	}
	return out, nil
}

// owedErasure is a customer of the database who is on the list and whose data is there.
type owedErasure struct {
	CustomerID string
	ErasedAt   time.Time
}

// latest gives the last erasure of each customer, by hash.
func latest(list []Erasure) map[string]time.Time {
	out := map[string]time.Time{}
	for _, e := range list {
		if e.ErasedAt.After(out[string(e.CustomerHash)]) {
			out[string(e.CustomerHash)] = e.ErasedAt
		}
	}
	return out
}

// unerased finds who of a list is in the database and was not erased in it, or less than the list says.
func (d *DB) unerased(ctx context.Context, q sqlx.QueryerContext, list []Erasure) ([]owedErasure, error) {
	wanted := latest(list)
	if len(wanted) == 0 {
		return nil, nil
	}
	var customers []struct {
		ID       string     `db:"id"`
		ErasedAt *time.Time `db:"erased_at"`
	}
	if err := sqlx.SelectContext(ctx, q, &customers, `SELECT id, erased_at FROM customers`); err != nil {
		return nil, err
	}
	var out []owedErasure
	for _, c := range customers {
		at, listed := wanted[string(d.keys.MAC("erased/"+c.ID))]
		if listed && (c.ErasedAt == nil || c.ErasedAt.Before(at.Truncate(time.Microsecond))) {
			out = append(out, owedErasure{c.ID, at})
		}
	}
	slices.SortFunc(out, func(a, b owedErasure) int { return strings.Compare(a.CustomerID, b.CustomerID) })
	return out, nil
}
