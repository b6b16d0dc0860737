package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// ClockSkew is how far the database's clock is ahead of this process's, and by how much that may be wrong: half of the
// time that it took to ask.
func (d *DB) ClockSkew(ctx context.Context) (skew, uncertain time.Duration, err error) {
	asked := time.Now()
	var now time.Time
	if err := d.pg.GetContext(ctx, &now, `SELECT clock_timestamp()`); err != nil {
		return 0, 0, pg.AsKind(err)
	}
	uncertain = time.Since(asked) / 2
	return now.Sub(asked.Add(uncertain)), uncertain, nil
}

// hostGone is after which time without a word of a host its alert is over: nobody else could close it.
const hostGone = 24 * time.Hour

// WatchClock opens the alert that a host's clock differs from the database's by skew, once, or closes it if wrong is
// false. It also closes the alerts of hosts of which nothing was heard for a day.
func (d *DB) WatchClock(ctx context.Context, host string, skew time.Duration, wrong bool) error {
	subject := "clock/" + host
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			UPDATE alerts SET closed_at = now() WHERE cause = $1 AND closed_at IS NULL AND subject <> $2
				AND coalesce(heard_at, opened_at) < now() - make_interval(secs => $3)`,
			keyturn.AlertClockSkew, subject, hostGone.Seconds()); err != nil {
			return err
		}
		if !wrong {
			return closeAlertOf(ctx, tx, subject, keyturn.AlertClockSkew)
		}
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		if err := openAlertOf(ctx, tx, subject, keyturn.AlertClockSkew, AlertDetail{
			Happened: fmt.Sprintf("the clock of %s is %s %s the database's", host, keyturn.Duration(skew.Abs()).Rounded(), side),
		}); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE alerts SET heard_at = now() WHERE subject = $1 AND cause = $2 AND closed_at IS NULL`, subject,
			keyturn.AlertClockSkew)
		return err
	})
}
