package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// abandonedAfter is how long nothing has happened at a checkout link whose payment has expired.
const abandonedAfter = time.Hour

// watchedEvents finds what only the clock decides, between two times.
var watchedEvents = map[keyturn.EventType]string{
	keyturn.EventLicenseExpired: `
		SELECT note_event('license.expired', l.order_id, json_build_object('license', c.id, 'status', 'Expired',
			'product', c.product_id, 'expiresAt', c.expires_at, 'line', c.line_id))
		FROM licenses c JOIN line_items l ON l.id = c.line_id
		WHERE c.expires_at > $1 AND c.expires_at <= $2 AND c.status <> 'Canceled'`,
	keyturn.EventCheckoutAbandoned: `
		SELECT note_event('checkout.abandoned', k.order_id,
			json_build_object('link', k.id, 'status', k.status, 'version', k.version))
		FROM payments p JOIN checkout_links k ON k.id = p.link_id
		WHERE p.status = 'EXPIRED' AND p.ended_at > CAST($1 AS timestamptz) - make_interval(secs => $3)
			AND p.ended_at <= CAST($2 AS timestamptz) - make_interval(secs => $3) AND k.status IN ('OPEN', 'EXPIRED')
			AND NOT EXISTS (SELECT FROM payments n WHERE n.link_id = k.id AND n.number > p.number)`,
}

// WatchEvents writes the events of what only the clock decides: licences that have expired, checkout links whose
// payment has expired and at which nothing has happened for an hour. Each is told once, in any number of processes.
func (d *DB) WatchEvents(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var watches []struct {
			What keyturn.EventType `db:"what"`
			From time.Time         `db:"upto"`
			To   time.Time         `db:"now"`
		}
		if err := tx.SelectContext(ctx, &watches,
			`SELECT what, upto, clock_timestamp() AS now FROM event_watch FOR UPDATE SKIP LOCKED`); err != nil {
			return err
		}
		for _, w := range watches {
			args := []any{w.From, w.To}
			if w.What == keyturn.EventCheckoutAbandoned {
				args = append(args, abandonedAfter.Seconds())
			}
			if _, err := tx.ExecContext(ctx, watchedEvents[w.What], args...); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE event_watch SET upto = $2 WHERE what = $1`, w.What, w.To); err != nil {
				return err
			}
		}
		return nil
	})
}
