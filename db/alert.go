package db

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Alert is something that operations should know: opened once per line and cause, or per pool and cause, closed when it
// is over. It holds no personal data and no text of a partner.
type Alert struct {
	ID       int64              `db:"id" json:"id"`
	Cause    keyturn.AlertCause `db:"cause" json:"cause"`
	LineID   *string            `db:"line_id" json:"lineId,omitempty"`
	PoolID   *string            `db:"pool_id" json:"poolId,omitempty"`
	Subject  *string            `db:"subject" json:"subject,omitempty"` // of what is neither a line nor a pool
	Detail   string             `db:"detail" json:"-"`
	OpenedAt time.Time          `db:"opened_at" json:"openedAt"`
	ClosedAt *time.Time         `db:"closed_at" json:"closedAt,omitempty"`
}

// AlertDetail says what happened and what happens next.
type AlertDetail struct {
	OrderID       string    `json:"orderId,omitempty"`
	FulfillmentID string    `json:"fulfillmentId,omitempty"`
	ProductID     string    `json:"productId,omitempty"`
	Source        string    `json:"source,omitempty"`
	Happened      string    `json:"happened"`
	GiveUpAt      time.Time `json:"giveUpAt,omitzero"`
	Uncharged     bool      `json:"uncharged,omitempty"` // nothing was taken for the line: giving it up costs nothing
	Evidence      []string  `json:"evidence,omitempty"`  // of an audit
}

// ToDo says what a person should do about the alert, with the IDs of what it is about.
func (a Alert) ToDo(d AlertDetail) string {
	pool := ""
	if a.PoolID != nil {
		pool = *a.PoolID
	}
	fulfillment := cmp.Or(d.FulfillmentID, "FULFILLMENT") // of an alert that is about none, advice is as in the table
	return strings.NewReplacer("FULFILLMENT", fulfillment, "POOL", pool, "ALERT", strconv.FormatInt(a.ID, 10),
		"INTEGRATION", partnerOf(d.Source), "PAYMENT", a.about("payment/"), "WEBHOOK", a.about("webhook/"),
		"ORDER", cmp.Or(d.OrderID, "ORDER"), "`", "").Replace(a.Cause.Info().ToDo)
}

// openLineAlert opens the alert of this line and cause unless it is open. One that was closed tells operations anew.
func openLineAlert(ctx context.Context, tx *sqlx.Tx, l *line, cause keyturn.AlertCause, happened string) error {
	detail, err := json.Marshal(AlertDetail{
		OrderID: l.OrderID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Source: l.source().Name(),
		Happened: happened, GiveUpAt: l.GiveUpAt, Uncharged: !l.charged(),
	})
	if err != nil {
		return err
	}
	// While its partner is down, the partner's own alert tells of all lines that wait for it: theirs are not mailed, which
	// shows as mailed when opened. One that fails once more when its partner is back is in trouble of its own, and told
	// of.
	_, err = tx.ExecContext(ctx, `
		INSERT INTO alerts AS a (cause, line_id, detail, mailed_at)
		SELECT $1, $2, $3, CASE WHEN $1 IN (`+pg.TextList(keyturn.AlertUnavailable, keyturn.AlertRateLimited)+`) AND EXISTS (
			SELECT FROM partner_gates WHERE integration = $4 AND opened_at IS NOT NULL) THEN now() END
		ON CONFLICT (line_id, cause) WHERE line_id IS NOT NULL DO UPDATE SET
			detail = excluded.detail, opened_at = now(), mailed_at = excluded.mailed_at, closed_at = NULL, closed_by = NULL,
				close_reason = NULL, telling_until = NULL
		WHERE a.closed_at IS NOT NULL OR a.mailed_at = a.opened_at AND excluded.mailed_at IS NULL`,
		cause, l.ID, string(detail), l.source().Integration)
	return err
}

// closeLineAlerts closes the alerts of a decided line, except those that outlive it.
func closeLineAlerts(ctx context.Context, tx *sqlx.Tx, l *line) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE alerts SET closed_at = now()
		WHERE line_id = $1 AND closed_at IS NULL AND cause NOT IN (`+lastingCauses+`)`, l.ID)
	return err
}

// closeLineAlert closes the alert of this line and cause, if it is open.
func closeLineAlert(ctx context.Context, tx *sqlx.Tx, l *line, cause keyturn.AlertCause) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE alerts SET closed_at = now() WHERE line_id = $1 AND cause = $2 AND closed_at IS NULL`, l.ID, cause)
	return err
}

// tellLease is how long a process that mails alerts has them to itself: longer than an e-mail may take.
const tellLease = time.Minute

// UntoldError is what the function that tells operations of alerts returns if it told of some of them only.
type UntoldError struct {
	IDs []int64 // of those that it did not tell of
	Err error
}

func (e *UntoldError) Error() string { return e.Err.Error() }
func (e *UntoldError) Unwrap() error { return e.Err }

// TakeAlerts gives the alerts that nobody was told of yet to send, and books them as told if it returns nil, or those
// that an UntoldError does not name. It holds no lock meanwhile, so that a mail server which takes its time keeps no
// line from opening or closing its alerts. Another process that asks at the same time gets other alerts. An alert that
// was opened anew meanwhile is told of anew.
func (d *DB) TakeAlerts(ctx context.Context, limit int, send func([]Alert) error) (int, error) {
	var alerts []Alert
	if err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		alerts = nil
		return tx.SelectContext(ctx, &alerts, `
			WITH untold AS MATERIALIZED (
				SELECT id FROM alerts WHERE mailed_at IS NULL AND (telling_until IS NULL OR telling_until < now())
				ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
			), taken AS (
				UPDATE alerts a SET telling_until = now() + make_interval(secs => $2) FROM untold u WHERE a.id = u.id RETURNING a.*
			)
			SELECT id, cause, line_id, pool_id, subject, detail, opened_at, closed_at FROM taken ORDER BY id`,
			limit, tellLease.Seconds())
	}); err != nil || len(alerts) == 0 {
		return 0, err
	}
	failed := send(alerts)
	var told, untold []Alert
	some, _ := errors.AsType[*UntoldError](failed)
	for _, a := range alerts {
		if failed == nil || some != nil && !slices.Contains(some.IDs, a.ID) {
			told = append(told, a)
		} else {
			untold = append(untold, a)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return len(told), errors.Join(failed, d.bookTold(ctx, told, untold))
}

// bookTold ends the lease on alerts, and books those that operations were told of.
func (d *DB) bookTold(ctx context.Context, told, untold []Alert) error {
	var ids, opened, done []string
	for _, some := range [][]Alert{told, untold} {
		for _, a := range some {
			ids, opened = append(ids, strconv.FormatInt(a.ID, 10)), append(opened, a.OpenedAt.Format(time.RFC3339Nano))
			done = append(done, strconv.FormatBool(len(done) < len(told)))
		}
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE alerts a SET telling_until = NULL, mailed_at = CASE WHEN t.done THEN now() END
			FROM unnest(CAST($1 AS bigint[]), CAST($2 AS timestamptz[]), CAST($3 AS boolean[])) AS t (id, opened_at, done)
			WHERE a.id = t.id AND a.opened_at = t.opened_at AND a.mailed_at IS NULL`,
			pq.Array(ids), pq.Array(opened), pq.Array(done))
		return err
	})
}

// about is what the alert's subject names after a prefix such as payment/, if it has that.
func (a Alert) about(prefix string) string {
	if a.Subject == nil {
		return ""
	}
	name, _ := strings.CutPrefix(*a.Subject, prefix)
	return name
}
