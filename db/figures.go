package db

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Figure is a number about the database. Labels name statuses, causes, sources and pools.
type Figure struct {
	Name  string  `db:"name"`
	A     string  `db:"a"` // first label, or empty
	B     string  `db:"b"` // second label, or empty
	Value float64 `db:"value"`
}

// figuresSQL asks indexes of what is unfinished, and maintained stock, so that it costs the same however much was sold.
const figuresSQL = `
	WITH trouble AS MATERIALIZED (
		SELECT l.status, l.created_at FROM orders o JOIN line_items l ON l.order_id = o.id
		WHERE o.status IN ('PARTIAL_COMPLETED', 'CANCEL_PENDING') AND l.status IN ('RETRYING', 'WAITING_FOR_STOCK', 'HELD',
			'CANCELING')
	), due AS (
		SELECT wake_at AS at FROM line_items WHERE wake_at <= now() UNION ALL SELECT due_at FROM outbox WHERE due_at <= now()
	)
	SELECT 'lines_in_trouble' AS name, s.status AS a, '' AS b,
		CAST((SELECT count(*) FROM trouble t WHERE t.status = s.status) AS double precision) AS value
		FROM unnest(ARRAY['RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'CANCELING']) AS s (status)
	UNION ALL SELECT 'oldest_trouble_seconds', '', '', coalesce((SELECT extract(epoch FROM now() - min(created_at))
		FROM trouble), 0)
	UNION ALL SELECT 'relay_due', '', '', (SELECT count(*) FROM due)
	UNION ALL SELECT 'relay_oldest_due_seconds', '', '', coalesce((SELECT extract(epoch FROM now() - min(at)) FROM due), 0)
	UNION ALL SELECT 'calls_running', source, '', count(*) FROM attempts WHERE outcome = 'running' GROUP BY source
	UNION ALL SELECT 'lines_waiting_for_partner', integration, '', count(*) FROM partner_queue GROUP BY integration
	UNION ALL SELECT 'partner_down', integration, '', CASE WHEN opened_at IS NULL THEN 0 ELSE 1 END FROM partner_gates
	UNION ALL SELECT 'alerts_open', cause, '', count(*) FROM alerts WHERE closed_at IS NULL GROUP BY cause
	UNION ALL SELECT 'links', s.status, '', (SELECT count(*) FROM (SELECT FROM checkout_links k WHERE k.status = s.status
			LIMIT 100000) AS first)
		FROM unnest(ARRAY['OPEN', 'PAYING']) AS s (status)
	UNION ALL SELECT 'payments', s.status, '', (SELECT count(*) FROM payments p WHERE p.status = s.status)
		FROM unnest(ARRAY['CREATED', 'OPEN', 'PROCESSING', 'MISMATCH', 'AUTHORIZED', 'CAPTURING', 'VOIDING']) AS s (status)
	UNION ALL SELECT 'capture_due_seconds', '', '', extract(epoch FROM due.at - now())
		FROM (SELECT min(capture_by) AS at FROM payments WHERE status IN ('AUTHORIZED', 'CAPTURING')) due
		WHERE due.at IS NOT NULL
	UNION ALL SELECT 'events_due', w.id, '', (SELECT count(*) FROM (SELECT FROM event_deliveries d WHERE d.webhook = w.id
			AND d.next_at <= now() LIMIT 100000) AS first) FROM webhooks w WHERE w.called
	UNION ALL SELECT 'events_oldest_due_seconds', w.id, '', coalesce((SELECT extract(epoch FROM now() - min(next_at))
		FROM event_deliveries d WHERE d.webhook = w.id AND d.next_at <= now()), 0) FROM webhooks w WHERE w.called
	UNION ALL SELECT 'refunds_pending', '', '', count(*) FROM refunds WHERE status = 'PENDING'
	UNION ALL SELECT 'refund_oldest_seconds', '', '', coalesce((SELECT extract(epoch FROM now() - min(created_at))
		FROM refunds WHERE status = 'PENDING' AND provider <> 'manual'), 0)
	UNION ALL SELECT 'revocations_owed', '', '', count(*) FROM revocations WHERE status = 'OWED'
	UNION ALL SELECT 'pool_keys', p.pool_id, s.state, sum(CASE s.state WHEN 'available' THEN p.available
		WHEN 'claimed' THEN p.claimed WHEN 'delivered' THEN p.delivered ELSE p.quarantined END)
		FROM pool_stock p, unnest(ARRAY['available', 'claimed', 'delivered', 'quarantined']) AS s (state)
			GROUP BY p.pool_id, s.state`

// Figures gives the numbers that operations watch, the last audit's among them.
func (d *DB) Figures(ctx context.Context) ([]Figure, error) {
	var out []Figure
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = nil
		if err := tx.SelectContext(ctx, &out, figuresSQL); err != nil {
			return err
		}
		for i := range out {
			if f := &out[i]; f.Name == "alerts_open" {
				f.B = string(keyturn.AlertCause(f.A).Info().Severity)
			}
		}
		var last struct {
			StartedAt  time.Time `db:"started_at"`
			FinishedAt time.Time `db:"finished_at"`
			OK         bool      `db:"ok"`
			Violations float64   `db:"violations"`
			Age        float64   `db:"age"`
		}
		err := tx.GetContext(ctx, &last, `
			SELECT started_at, finished_at, ok, CAST(CAST(report AS json) ->> 'violations' AS double precision) AS violations,
				CAST(extract(epoch FROM now() - started_at) AS double precision) AS age
			FROM audits ORDER BY started_at DESC, id DESC LIMIT 1`)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok := 0.0
		if last.OK {
			ok = 1
		}
		out = append(out, Figure{Name: "audit_ok", Value: ok}, Figure{Name: "audit_violations", Value: last.Violations},
			Figure{Name: "audit_age_seconds", Value: last.Age},
			Figure{Name: "audit_seconds", Value: last.FinishedAt.Sub(last.StartedAt).Seconds()})
		return err
	})
	return out, err
}
