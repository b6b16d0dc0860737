package db

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// RetryEvent has an event sent to a webhook now, once more if it was given up. Idempotent. KindNotFound; KindConflict
// for one that the receiver has taken.
func (d *DB) RetryEvent(ctx context.Context, webhook string, delivery int64) error {
	v, err := d.EventDelivery(ctx, webhook, delivery)
	if err != nil {
		return err
	}
	if v.Status == keyturn.EventDelivered {
		return keyturn.Errorf(keyturn.KindConflict,
			"the receiver has taken event %s: `keyturn webhook replay` sends it once more", v.EventID)
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE event_deliveries SET status = 'PENDING', next_at = clock_timestamp(), done_at = NULL
			WHERE id = $1 AND webhook = $2 AND status <> 'DELIVERED' AND lease_until IS NULL`, delivery, webhook)
		return err
	})
}

// A replay takes so many events, and sends so many a second, so that it leaves room for what happens meanwhile.
const (
	replayMost      = 100_000
	replayPerSecond = 10
)

// ReplayEvents has events sent to a webhook once more, the oldest first, so many a second, marked as a replay. A
// repetition under the same key changes nothing. KindNotFound; KindConflict for a webhook without an address.
func (d *DB) ReplayEvents(ctx context.Context, webhook, key string, r keyturn.ReplayEvents) (
	out keyturn.ReplayedEvents, err error,
) {
	w, err := d.Webhook(ctx, webhook)
	if err != nil {
		return out, err
	}
	if w.URL == "" {
		return out, errNoReceiver(webhook)
	}
	sum := sha256.Sum256([]byte(key))
	no := int64(binary.BigEndian.Uint64(sum[:8])>>2) + 1
	if r.To.IsZero() {
		r.To = time.Now().Add(time.Hour)
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var rows []struct {
			Events int        `db:"events"`
			Until  *time.Time `db:"until"`
			Last   *time.Time `db:"last"`
		}
		// numbers are given after the commit, in microseconds: none below belongs to the time
		if err := tx.SelectContext(ctx, &rows, `
			WITH chosen AS MATERIALIZED (
				SELECT e.id, e.created_at, row_number() OVER (ORDER BY e.number) AS place FROM events e
				WHERE e.number >= CAST(extract(epoch FROM CAST($2 AS timestamptz)) * 1000000 AS bigint)
					AND e.created_at >= $2 AND e.created_at < $3 AND e.type = ANY($4) AND e.type <> 'webhook.test'
					AND `+wantedByWebhookSQL+`
					AND (NOT $5 OR NOT EXISTS (SELECT FROM event_deliveries d
						WHERE d.webhook = $1 AND d.event_id = e.id AND d.status = 'DELIVERED'))
				ORDER BY e.number LIMIT $6
			), made AS (
				INSERT INTO event_deliveries (event_id, webhook, replay, next_at)
				SELECT id, $1, $7, clock_timestamp() + make_interval(secs => place / CAST($8 AS double precision))
				FROM chosen ORDER BY place
				ON CONFLICT ON CONSTRAINT event_deliveries_once DO NOTHING
			)
			SELECT count(*) AS events, max(created_at) AS last,
				clock_timestamp() + make_interval(secs => count(*) / CAST($8 AS double precision)) AS until FROM chosen`,
			webhook, r.From, r.To, pq.Array(keyturn.EventTypesOf(r.Types)), r.FailedOnly, replayMost, no,
			replayPerSecond); err != nil {
			return err
		}
		out = keyturn.ReplayedEvents{Events: rows[0].Events}
		if out.Events > 0 {
			out.Until = rows[0].Until
		}
		if out.Events == replayMost {
			out.More, out.Next = true, rows[0].Last
		}
		return nil
	})
	return out, err
}

func errNoReceiver(webhook string) error {
	return keyturn.Errorf(keyturn.KindConflict,
		"webhook %s has no url: its events are pulled, by GET /v1/webhooks/%s/events", webhook, webhook)
}
