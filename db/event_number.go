package db

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// numberAtOnce bounds how many events one transaction numbers.
const numberAtOnce = 150

// eventRow is an event as its step wrote it.
type eventRow struct {
	ID        int64             `db:"id"`
	Type      keyturn.EventType `db:"type"`
	About     string            `db:"about"`
	Facts     string            `db:"facts"`
	CreatedAt time.Time         `db:"created_at"`
}

// NumberEvents gives committed events their numbers and bodies, and each to the webhooks that want it. One process at a
// time does, so that numbers grow in the order of commits: whoever has seen a number has seen all smaller ones,
// whatever transactions are open. more says that there may be more of them now. Idempotent.
func (d *DB) NumberEvents(ctx context.Context) (n int, more bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		n, more = 0, false
		var ours bool
		if err := tx.GetContext(ctx, &ours,
			`SELECT pg_try_advisory_xact_lock(hashtextextended('events', 0))`); err != nil || !ours {
			return err
		}
		var rows []eventRow
		if err := tx.SelectContext(ctx, &rows, `
			SELECT id, type, about, facts, created_at FROM events WHERE number IS NULL AND type = ANY($1)
			ORDER BY id LIMIT $2`, knownTypes(), numberAtOnce); err != nil || len(rows) == 0 {
			return err
		}
		n, more = len(rows), len(rows) == numberAtOnce
		facts, err := readEventFacts(ctx, tx, rows)
		if err != nil {
			return err
		}
		return storeEvents(ctx, tx, rows, facts)
	})
	return n, more, err
}

// knownTypes are the types that this build can make bodies of; those of a newer one wait for it.
func knownTypes() pq.StringArray {
	out := make(pq.StringArray, len(keyturn.EventTypes))
	for i, info := range keyturn.EventTypes {
		out[i] = string(info.Type)
	}
	return out
}

// storeEvents writes bodies and numbers, and who gets what. Numbers are microseconds at least, so that they also grow
// over a restore of an older backup: whoever pulls goes on with the last number that they have seen.
func storeEvents(ctx context.Context, tx *sqlx.Tx, rows []eventRow, facts eventFacts) error {
	var ids, publicIDs, bodies []string
	for _, row := range rows {
		body, err := facts.body(row)
		if err != nil {
			return err
		}
		ids = append(ids, strconv.FormatInt(row.ID, 10))
		publicIDs, bodies = append(publicIDs, newID()), append(bodies, body)
	}
	_, err := tx.ExecContext(ctx, `
		WITH first AS MATERIALIZED (
			SELECT greatest(coalesce(max(number), 0) + 1,
				CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)) AS number FROM events
		), numbered AS (
			UPDATE events e SET number = first.number + t.place - 1, public_id = t.public_id, body = t.body
			FROM first, unnest(CAST($1 AS bigint[]), CAST($2 AS uuid[]), CAST($3 AS text[]))
				WITH ORDINALITY AS t (id, public_id, body, place)
			WHERE e.id = t.id RETURNING e.id, e.type, e.about
		), hooks AS MATERIALIZED (
			SELECT id FROM webhooks WHERE called AND off_at IS NULL FOR KEY SHARE
		)
		INSERT INTO event_deliveries (event_id, webhook)
		SELECT DISTINCT n.id, t.webhook FROM numbered n
		JOIN webhook_types t ON t.pattern IN (n.type, split_part(n.type, '.', 1) || '.*', '*')
			AND starts_with(n.about, t.prefix)
		JOIN hooks ON hooks.id = t.webhook
		ORDER BY n.id, t.webhook`, pq.Array(ids), pq.Array(publicIDs), pq.Array(bodies))
	return err
}

// distinct are the values that are not empty, each once.
func distinct(values []string) []string {
	values = slices.DeleteFunc(slices.Sorted(slices.Values(values)), func(v string) bool { return v == "" })
	return slices.Compact(values)
}
