package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
)

// Audit is one run of the audit as it is kept. Report is JSON.
type Audit struct {
	ID         string    `db:"id" json:"id"`
	StartedAt  time.Time `db:"started_at" json:"startedAt"`
	FinishedAt time.Time `db:"finished_at" json:"finishedAt"`
	OK         bool      `db:"ok" json:"ok"`
	Report     string    `db:"report" json:"-"`
}

// SaveAudit keeps a run. An ID is made for one that has none; saving the same ID again changes nothing.
func (d *DB) SaveAudit(ctx context.Context, a Audit) (id string, err error) {
	if a.ID == "" {
		a.ID = newID()
	}
	return a.ID, d.tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO audits (id, started_at, finished_at, ok, report) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO NOTHING`, a.ID, a.StartedAt, a.FinishedAt, a.OK, a.Report)
		return err
	})
}

// Audits gives the latest runs, newest first.
func (d *DB) Audits(ctx context.Context, limit int) ([]Audit, error) {
	out := []Audit{}
	err := d.x.SelectContext(ctx, &out, `
		SELECT id, started_at, finished_at, ok, report FROM audits ORDER BY started_at DESC, id DESC LIMIT $1`, limit)
	return out, asKind(err)
}
