package db

import (
	"context"
	"encoding/json"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// pullSeen bounds how many events one request looks through.
const pullSeen = 400

// wantedByWebhookSQL says whether a webhook wants an event.
const wantedByWebhookSQL = `EXISTS (SELECT FROM webhook_types t WHERE t.webhook = $1
	AND t.pattern IN (e.type, split_part(e.type, '.', 1) || '.*', '*') AND starts_with(e.about, t.prefix))`

// PullEvents gives events that a webhook wants with a number above after, the oldest first, of the types that the
// patterns name; without patterns, all. Who asks again with Next misses none, also those whose transaction was open.
// KindNotFound; KindConflict for a webhook that is switched off.
func (d *DB) PullEvents(ctx context.Context, webhook string, after int64, patterns []string, limit int) (
	page keyturn.EventPage, err error,
) {
	w, err := d.Webhook(ctx, webhook)
	if err != nil {
		return page, err
	}
	if !w.On() {
		return page, keyturn.Errorf(keyturn.KindConflict,
			"webhook %s is switched off, and no events are kept for it: set `enabled: true`", webhook)
	}
	var rows []struct {
		Number   int64   `db:"number"`
		PublicID string  `db:"public_id"`
		Body     *string `db:"body"` // nil: it does not want it
	}
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT number, public_id,
			CASE WHEN e.type = ANY($4) AND `+wantedByWebhookSQL+` THEN body END AS body
		FROM events e WHERE number > $2 ORDER BY number LIMIT $3`, webhook, after, pullSeen,
		pq.Array(keyturn.EventTypesOf(patterns))); err != nil {
		return page, pg.AsKind(err)
	}
	page = keyturn.EventPage{Events: []keyturn.PulledEvent{}, Next: after}
	for _, row := range rows {
		if len(page.Events) == limit {
			break
		}
		page.Next = row.Number
		if row.Body != nil {
			page.Events = append(page.Events, keyturn.PulledEvent{
				Number: row.Number, ID: eventIDPrefix + row.PublicID, Event: json.RawMessage(*row.Body),
			})
		}
	}
	return page, nil
}
