package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// quietAfter is how long an e-mail must not have come back to count as arrived.
const quietAfter = 24 * time.Hour

// CloseBounced closes the alerts of lines whose newest e-mail with the keys was made after the alert was opened, went
// out a day ago, and has not come back; and those of payments none of whose newest e-mails came back, once one that was
// made since went out a day ago.
func (d *DB) CloseBounced(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		for _, query := range []string{closeBouncedSQL, closePaymentBouncedSQL} {
			if _, err := tx.ExecContext(ctx, query, quietAfter.Seconds(), pq.Array(keyturn.BouncedKinds)); err != nil {
				return err
			}
		}
		return nil
	})
}

const closeBouncedSQL = `
	UPDATE alerts a SET closed_at = now()
	WHERE a.cause = '` + string(keyturn.AlertBounced) + `' AND a.closed_at IS NULL AND EXISTS (
		SELECT FROM deliveries y WHERE y.line_id = a.line_id AND y.kind = 'keys' AND y.created_at > a.opened_at
			AND y.status = 'SENT' AND y.sent_at < now() - make_interval(secs => $1)
			AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = y.kind AND n.number > y.number)
			AND NOT EXISTS (SELECT FROM bounces b WHERE b.delivery_id = y.id AND b.kind = ANY(CAST($2 AS text[]))))`

// closePaymentBouncedSQL: of an alert whose payment has several e-mails that came back, each is made anew.
const closePaymentBouncedSQL = `
	UPDATE alerts a SET closed_at = now()
	FROM payments p
	WHERE a.cause = '` + string(keyturn.AlertBounced) + `' AND a.closed_at IS NULL AND a.subject = 'payment/' || p.id
		AND EXISTS (SELECT FROM payment_mails m WHERE m.payment_id = p.id AND m.kind <> 'addressChanged'
			AND m.created_at > a.opened_at AND m.sent_at < now() - make_interval(secs => $1))
		AND NOT EXISTS (SELECT FROM payment_mails y JOIN bounces b ON b.payment_mail_id = y.id
			WHERE y.payment_id = p.id AND y.kind <> 'addressChanged' AND b.kind = ANY(CAST($2 AS text[]))
				AND ` + newestMailSQL + `)`
