package stock

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// BookMovedSQL books what a statement did to keys: it goes on after a common table expression `moved` with the columns
// id, pool_id, was, became, line_id and unit_no (whose the key was). Each step goes into the log, with who ($1) and why
// ($2), and into the stock figures. Selling a key is the exception: the line's log says it.
var BookMovedSQL = `, logged AS (
		INSERT INTO key_log (key_id, pool_id, from_state, to_state, line_id, unit_no, by, reason)
		SELECT id, pool_id, was, became, line_id, unit_no, CAST($1 AS text), CAST($2 AS text) FROM moved
	), stock AS (` + AddSQL(`pool_id`, `FROM moved GROUP BY pool_id`,
	Figure{"available", `count(*) FILTER (WHERE became = 'available') - count(*) FILTER (WHERE was = 'available')`},
	Figure{"claimed", `count(*) FILTER (WHERE became = 'claimed') - count(*) FILTER (WHERE was = 'claimed')`},
	Figure{"delivered", `count(*) FILTER (WHERE became = 'delivered') - count(*) FILTER (WHERE was = 'delivered')`},
	Figure{"quarantined", `count(*) FILTER (WHERE became = 'quarantined')`},
	Figure{"recalled", `count(*) FILTER (WHERE became = 'recalled')`},
	Figure{"expired", `count(*) FILTER (WHERE became = 'expired')`},
	Figure{"withdrawn", `count(*) FILTER (WHERE became = 'withdrawn')`},
	Figure{"taken", `0 - count(*) FILTER (WHERE was = 'claimed' AND became = 'available')`}) + `
	)`

// MoveSomeSQL takes available keys out of the sale: those of the pool $3 with positions or IDs that the condition
// names.
func MoveSomeSQL(where string) string {
	return `
	WITH old AS MATERIALIZED (
		SELECT id, state FROM pool_keys WHERE state = 'available' AND ` + where + ` FOR UPDATE SKIP LOCKED
	), moved AS (
		UPDATE pool_keys k SET state = $3, changed_at = now() FROM old
		WHERE k.id = old.id AND k.state = 'available'
		RETURNING k.id, k.pool_id, old.state AS was, k.state AS became, k.line_id, k.unit_no
	)` + BookMovedSQL + ` SELECT count(*) FROM moved`
}

// expireKeysSQL takes keys that nobody may get any more out of the sale, some at a time.
var expireKeysSQL = MoveSomeSQL(
	`id IN (SELECT id FROM pool_keys WHERE state = 'available' AND give_until <= now() LIMIT $4)`)

// ExpireKeys takes keys of which too little validity is left out of the sale, up to limit, and says how many they were.
// Claims pass over them also before.
func (s *Stock) ExpireKeys(ctx context.Context, limit int) (int, error) {
	n := 0
	err := s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, expireKeysSQL, byHousekeeping, "too little of its validity is left", keyturn.KeyExpired,
			limit)
	})
	return n, err
}

// byHousekeeping is who does what the clock decides.
const byHousekeeping = "housekeeping"
