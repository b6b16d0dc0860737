package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// MailProbe is an e-mail that is sent to an address which does not exist, to find out whether it comes back.
type MailProbe struct {
	ID         string               `db:"id"`
	Ref        string               `db:"-"` // as of MailRef
	ReturnedAt *time.Time           `db:"returned_at"`
	Kind       *keyturn.BounceKind  `db:"kind"`
	Via        *keyturn.BounceInlet `db:"via"`
}

// keepProbes is how long one stays on record.
const keepProbes = 30 * day

// BeginMailProbe books an e-mail that is about to be sent to find out whether it comes back.
func (d *DB) BeginMailProbe(ctx context.Context) (MailProbe, error) {
	p := MailProbe{ID: newID()}
	p.Ref = d.MailRef(p.ID)
	return p, d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			WITH old AS (DELETE FROM mail_probes WHERE sent_at < now() - make_interval(secs => $2))
			INSERT INTO mail_probes (id) VALUES ($1)`, p.ID, keepProbes.Seconds())
		return err
	})
}

// MailProbe says what became of one. KindNotFound.
func (d *DB) MailProbe(ctx context.Context, id string) (MailProbe, error) {
	p := MailProbe{Ref: d.MailRef(id)}
	err := d.pg.GetContext(ctx, &p, `SELECT id, returned_at, kind, via FROM mail_probes WHERE id = $1`, id)
	return p, pg.NotFound(err, "there is no such probe")
}

// probeReturned books that a probe has come back.
func probeReturned(ctx context.Context, tx *sqlx.Tx, id string, r BounceReport) (BounceResult, error) {
	var known []bool
	if err := tx.SelectContext(ctx, &known, `
		WITH p AS (SELECT id, returned_at IS NOT NULL AS returned FROM mail_probes WHERE id = $1 FOR UPDATE), booked AS (
			UPDATE mail_probes m SET returned_at = clock_timestamp(), kind = $2, via = $3 FROM p
			WHERE m.id = p.id AND NOT p.returned)
		SELECT returned FROM p`, id, r.Kind, r.Via); err != nil {
		return "", err
	}
	if len(known) == 0 {
		return BounceForeign, nil
	}
	return BounceProbe, nil
}
