// Package stock keeps the pools' keys, in PostgreSQL: their states and the log of every change, imports and their
// batches, claims, recalls, maintained figures and the forecast. A pool's entry in the catalog and the lines that keys
// are claimed for belong to db, whose statements put parts of stock's into their own.
package stock

import (
	"strings"

	"github.com/google/uuid"

	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// Stock is the keys of all pools. It is safe for concurrent use.
type Stock struct {
	pg      *pg.DB
	keys    *vault.Keys
	cursors claimCursors
}

// New gives access to the keys in a database. A process has one: it keeps where the next claim of each pool searches.
func New(x *pg.DB, keys *vault.Keys) *Stock { return &Stock{pg: x, keys: keys} }

// Figure is one of a pool's maintained figures, and the SQL expression that is added to it.
type Figure struct{ Name, Add string }

// AddSQL is the statement that adds to the figures of pools. from is what follows the SELECT of the pool's ID and the
// expressions: a FROM or a WHERE clause.
//
// A transaction changes its backend's row of a pool's figures, so that two transactions of the same moment hardly ever
// share one and wait for each other's commit. A pool has as many rows as backends changed it.
func AddSQL(pool, from string, figures ...Figure) string {
	var names, adds, sums []string
	for _, f := range figures {
		names = append(names, f.Name)
		adds = append(adds, f.Add)
		sums = append(sums, f.Name+" = s."+f.Name+" + excluded."+f.Name)
	}
	return `
		INSERT INTO pool_stock AS s (pool_id, slot, ` + strings.Join(names, ", ") + `)
		SELECT ` + pool + `, pg_backend_pid() % 128, ` + strings.Join(adds, ", ") + ` ` + from + `
		ON CONFLICT (pool_id, slot) DO UPDATE SET ` + strings.Join(sums, ", ")
}

// DeliveredSQL adds keys that were shown to the figures: those of an expression `shown` with the column pool_id.
var DeliveredSQL = AddSQL(`pool_id`, `FROM shown GROUP BY pool_id`, Figure{"claimed", `0 - count(*)`},
	Figure{"delivered", `count(*)`})

// newID mints a UUIDv7: in the order of time, so that index pages fill up one after the other.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// isID says whether a text is a UUID. Anything else names nothing, and must not reach PostgreSQL, which answers a
// malformed one with an error.
func isID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }
