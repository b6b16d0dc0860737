package db

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Audit is one run of the audit as it is kept. Report is JSON.
type Audit struct {
	ID         string    `db:"id" json:"id"`
	StartedAt  time.Time `db:"started_at" json:"startedAt"`
	FinishedAt time.Time `db:"finished_at" json:"finishedAt"`
	OK         bool      `db:"ok" json:"ok"`
	Report     string    `db:"report" json:"-"`
}

// subjectBooks is what the alert of an audit is about.
const subjectBooks = "books"

// AuditFindings is what operations are told of an audit.
type AuditFindings struct {
	Text     string   // what is violated, in one sentence; empty: nothing
	Evidence []string // what was read besides the database
}

// SaveAudit keeps a run and settles the alert that goes with it. An ID is made for one that has none; saving the same
// ID again changes nothing. Another text of the findings is another alert; the alert of earlier findings is closed by a
// run that had all of their evidence and found something else, or nothing.
func (d *DB) SaveAudit(ctx context.Context, a Audit, f AuditFindings) (id string, err error) {
	if a.ID == "" {
		a.ID = newID()
	}
	return a.ID, d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `
			INSERT INTO audits (id, started_at, finished_at, ok, report) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO NOTHING`, a.ID, a.StartedAt, a.FinishedAt, a.OK, a.Report)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return alertAudit(ctx, tx, f)
	})
}

// alertAudit closes the alert of an earlier audit that found something else, and opens this one's.
func alertAudit(ctx context.Context, tx *sqlx.Tx, f AuditFindings) error {
	var open []struct {
		ID     int64  `db:"id"`
		Detail string `db:"detail"`
	}
	if err := tx.SelectContext(ctx, &open, `
		SELECT id, detail FROM alerts WHERE subject = $1 AND cause = $2
			AND closed_at IS NULL FOR UPDATE`, subjectBooks, keyturn.AlertAudit); err != nil {
		return err
	}
	for _, a := range open {
		var before AlertDetail
		if err := json.Unmarshal([]byte(a.Detail), &before); err != nil {
			return err
		}
		weaker := slices.ContainsFunc(before.Evidence, func(e string) bool { return !slices.Contains(f.Evidence, e) })
		if before.Happened == f.Text || f.Text == "" && weaker {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE alerts SET closed_at = now() WHERE id = $1`, a.ID); err != nil {
			return err
		}
	}
	if f.Text == "" {
		return nil
	}
	return openAlertOf(ctx, tx, subjectBooks, keyturn.AlertAudit, AlertDetail{Happened: f.Text, Evidence: f.Evidence})
}

// openAlertOf opens the alert of something that is neither a line nor a pool, unless it is open.
func openAlertOf(ctx context.Context, tx *sqlx.Tx, subject string, cause keyturn.AlertCause, about AlertDetail) error {
	detail, err := json.Marshal(about)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO alerts (cause, subject, detail) VALUES ($1, $2, $3)
		ON CONFLICT (subject, cause) WHERE subject IS NOT NULL
			AND closed_at IS NULL DO NOTHING`, cause, subject, string(detail))
	return err
}

// closeAlertOf closes the alert of something that is neither a line nor a pool, if it is open.
func closeAlertOf(ctx context.Context, tx *sqlx.Tx, subject string, cause keyturn.AlertCause) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE alerts SET closed_at = now() WHERE subject = $1 AND cause = $2 AND closed_at IS NULL`, subject, cause)
	return err
}

// Audits gives the latest runs, newest first.
func (d *DB) Audits(ctx context.Context, limit int) ([]Audit, error) {
	out := []Audit{}
	err := d.pg.SelectContext(ctx, &out, `
		SELECT id, started_at, finished_at, ok, report FROM audits ORDER BY started_at DESC, id DESC LIMIT $1`, limit)
	return out, pg.AsKind(err)
}

// AuditByID gives one run. KindNotFound.
func (d *DB) AuditByID(ctx context.Context, id string) (Audit, error) {
	var a Audit
	canonical, ok := canonicalID(id)
	if !ok {
		return a, keyturn.Errorf(keyturn.KindNotFound, "there is no such audit: its ID is a UUID")
	}
	err := d.pg.GetContext(ctx, &a, `SELECT id, started_at, finished_at, ok, report FROM audits WHERE id = $1`, canonical)
	return a, pg.NotFound(err, "there is no audit %s", id)
}

// WakeUnattended has the relay see to what an audit found without a workflow, if it still needs one: open lines by
// their ID, and errands by the workflow's name and subject as the outbox has them. It returns the lines and errands
// that it gave to the relay. A line or an outbox entry that runs after all is only looked at once more.
func (d *DB) WakeUnattended(ctx context.Context, lines []string, errands []Errand) (woken []string, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		woken = nil
		if err := tx.SelectContext(ctx, &woken, `
			WITH forgotten AS MATERIALIZED (
				SELECT id FROM line_items
				WHERE CAST(id AS text) = ANY($1) AND status NOT IN ('DELIVERED', 'CANCELED') AND wake_at IS NULL
				FOR UPDATE SKIP LOCKED
			)
			UPDATE line_items l SET wake_at = now() FROM forgotten f WHERE l.id = f.id
			RETURNING 'line ' || l.id`, pq.Array(lines)); err != nil {
			return err
		}
		for _, e := range errands {
			if err := enqueue(ctx, tx, e.Workflow, e.Subject); err != nil {
				return err
			}
			woken = append(woken, e.Workflow+" "+e.Subject)
		}
		return nil
	})
	return woken, err
}

// Errand names a workflow that the relay starts.
type Errand struct{ Workflow, Subject string }
