package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// RelayTries is how often the relay takes an entry of the outbox before it counts as stuck: some five minutes.
const RelayTries = 20

// owedSubject is what the alerts are about that tell of something owed for too long.
const owedSubject = "owed/"

// owedTexts say what of each kind is owed, after its number.
var owedTexts = map[string]string{
	"replacements": "recalled keys whose customers were promised other ones",
	"recalls":      "recalls that do not come to their end",
	"outbox":       "workflows that the relay cannot start",
	"lines":        "lines that the relay does not start or wake",
	"refunds":      "refunds that nobody has asked the provider for",
	"alerts":       "alerts that were not mailed",
	"audits":       "nightly audits that failed or did not run",
}

// owedSQL finds what is owed for too long, by kind, with the oldest of it. Replacements that wait for keys are given a
// day, and those that fail an hour, like recalls; all else a quarter of an hour.
var owedSQL = `
	SELECT what, count(*) AS n, min(since) AS since, min(about) AS about FROM (
		SELECT 'replacements' AS what, r.created_at AS since, 'order ' || l.order_id AS about
		FROM replacements r JOIN line_items l ON l.id = r.line_id
		WHERE r.status = 'OWED' AND l.status = 'DELIVERED' AND (r.created_at < now() - interval '1 day'
			OR r.failed_at IS NOT NULL AND r.created_at < now() - interval '1 hour')
		UNION ALL
		SELECT 'recalls', recalled_at, 'pool ' || pool_id FROM batches
		WHERE recalled_to IS NOT NULL AND recalled_at < now() - interval '1 hour'
		UNION ALL
		SELECT 'outbox', due_at, workflow || ' ' || subject FROM outbox
		WHERE due_at < now() - interval '15 minutes' OR tries > ` + itoa(RelayTries) + ` AND due_at < now() + interval '1 minute'
		UNION ALL
		SELECT 'lines', created_at, 'order ' || order_id FROM line_items
		WHERE wake_at IS NOT NULL AND (wake_at < now() - interval '15 minutes'
			OR version = 1 AND NOT blocked AND created_at < now() - interval '15 minutes'
				AND wake_at < now() + interval '1 minute') -- not yet the turn of one further ahead
		UNION ALL
		SELECT 'refunds', created_at, 'order ' || order_id FROM refunds
		WHERE status = 'PENDING' AND attempts = 0 AND created_at < now() - interval '15 minutes'
		UNION ALL
		SELECT 'alerts', opened_at, cause FROM alerts
		WHERE mailed_at IS NULL AND opened_at < now() - interval '15 minutes' AND cause <> '` +
	string(keyturn.AlertOwed) + `'
		UNION ALL
		SELECT 'audits', a.started_at, 'the last one began then' FROM (
			SELECT started_at FROM audits ORDER BY started_at DESC, id DESC LIMIT 1) a
		WHERE a.started_at < now() - interval '50 hours'
	) owed GROUP BY what ORDER BY what`

// WatchOwed opens the alert of each kind of thing that is owed for too long, once, and closes those of kinds of which
// nothing is.
func (d *DB) WatchOwed(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var rows []struct {
			What  string    `db:"what"`
			N     int       `db:"n"`
			Since time.Time `db:"since"`
			About string    `db:"about"`
		}
		if err := tx.SelectContext(ctx, &rows, owedSQL); err != nil {
			return err
		}
		subjects := pq.StringArray{}
		for _, r := range rows {
			subjects = append(subjects, owedSubject+r.What)
			if err := openAlertOf(ctx, tx, owedSubject+r.What, keyturn.AlertOwed, AlertDetail{
				Happened: fmt.Sprintf("%d %s, the oldest since %s; one of them: %s", r.N, owedTexts[r.What],
					r.Since.UTC().Format("2006-01-02 15:04 MST"), r.About),
			}); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx,
			`UPDATE alerts SET closed_at = now() WHERE cause = $1 AND closed_at IS NULL AND NOT subject = ANY($2)`,
			keyturn.AlertOwed, subjects)
		return err
	})
}
