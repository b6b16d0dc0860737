package db

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// lastingCauses are the causes whose alerts outlive their line, as an SQL list.
var lastingCauses = pg.TextList(keyturn.LastingAlerts()...)

const maxCloseReason = 500

// MaxAlerts is the most alerts that one answer shows.
const MaxAlerts = 200

var alertsSQL = `
	SELECT id, cause, coalesce(pool_id, '') AS pool, coalesce(subject, '') AS subject, detail, opened_at, mailed_at,
		closed_at,
		coalesce(closed_by, '') AS closed_by, coalesce(close_reason, '') AS close_reason,
		closed_at IS NULL AND cause IN (` + lastingCauses + `) AS closable
	FROM alerts `

type alertRow struct {
	ID          int64              `db:"id"`
	Cause       keyturn.AlertCause `db:"cause"`
	Pool        string             `db:"pool"`
	Subject     string             `db:"subject"`
	Detail      string             `db:"detail"`
	OpenedAt    time.Time          `db:"opened_at"`
	MailedAt    *time.Time         `db:"mailed_at"`
	ClosedAt    *time.Time         `db:"closed_at"`
	ClosedBy    string             `db:"closed_by"`
	CloseReason string             `db:"close_reason"`
	Closable    bool               `db:"closable"`
}

func (r alertRow) view() (keyturn.AlertView, error) {
	var d AlertDetail
	err := json.Unmarshal([]byte(r.Detail), &d)
	about := Alert{ID: r.ID, Cause: r.Cause, PoolID: &r.Pool, Subject: &r.Subject}
	return keyturn.AlertView{
		ID: r.ID, Cause: r.Cause, Severity: r.Cause.Info().Severity, Happened: d.Happened, ToDo: about.ToDo(d),
		OrderID: d.OrderID, FulfillmentID: d.FulfillmentID, ProductID: d.ProductID, Source: d.Source,
		Pool: r.Pool, Subject: r.Subject, OpenedAt: r.OpenedAt.UTC(), ToldAt: utc(r.MailedAt), ClosedAt: utc(r.ClosedAt),
		ClosedBy:    r.ClosedBy,
		CloseReason: r.CloseReason, Closable: r.Closable,
	}, err
}

// Alerts lists the alerts about what has the prefix, the newest first: the open ones, or with all those that are over,
// too; of one cause, if it is not empty; older than the one with the ID before, if that is not 0; up to limit (1 to
// MaxAlerts).
func (d *DB) Alerts(ctx context.Context, prefix keyturn.Prefix, all bool, cause keyturn.AlertCause, before int64,
	limit int,
) ([]keyturn.AlertView, error) {
	var bad keyturn.Problems
	bad.Check(limit >= 1 && limit <= MaxAlerts, "limit", "must be between 1 and %d", MaxAlerts)
	bad.Check(before >= 0, "before", "must be the ID of an alert")
	if err := bad.Err("the query is not valid"); err != nil {
		return nil, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	// Written out, also the cause: each filter goes by an index of its own.
	which := `id < $1`
	if prefix != "" {
		which += ` AND ` + merchantSQL(alertSubjectSQL, "$3")
	}
	if !all {
		which += ` AND closed_at IS NULL`
	}
	switch {
	case slices.ContainsFunc(keyturn.AlertCauses, func(i keyturn.AlertInfo) bool { return i.Cause == cause }):
		which += ` AND cause = ` + pq.QuoteLiteral(string(cause))
	case cause != "": // there is no alert of it
		return []keyturn.AlertView{}, nil
	}
	var rows []alertRow
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, alertsSQL+`WHERE `+which+` ORDER BY id DESC LIMIT $2`,
		prefixed(prefix, before, limit)...); err != nil {
		return nil, pg.AsKind(err)
	}
	out := make([]keyturn.AlertView, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.view(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// alertSubjectSQL is the ID that an alert is about: of a pool, an integration, or an order; empty: the installation's.
const alertSubjectSQL = `alert_subject(pool_id, subject, detail)`

// AlertSubject gives the ID that an alert is about: of a pool, an integration, or a line's order; empty if it is about
// the installation. KindNotFound.
func (d *DB) AlertSubject(ctx context.Context, id int64) (string, error) {
	var subject string
	err := d.pg.GetContext(ctx, &subject, `SELECT `+alertSubjectSQL+` FROM alerts WHERE id = $1`, id)
	return subject, pg.NotFound(err, "there is no alert %d", id)
}

// payment is the ID of the payment that the alert is about; empty: it is about something else.
func (r alertRow) payment() string {
	id, _ := strings.CutPrefix(r.Subject, "payment/")
	if !keyturn.ValidPaymentID(id) {
		return ""
	}
	return id
}

// endMails ends the attempts to send e-mails about a payment that do not go out, once a person has reached its customer
// otherwise. One that is on its way at this moment may arrive all the same.
func (r alertRow) endMails(ctx context.Context, tx *sqlx.Tx) error {
	if r.Cause != keyturn.AlertUndelivered || r.payment() == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE payment_mails SET status = 'READY', due_at = NULL, error = NULL
		WHERE payment_id = $1 AND error IS NOT NULL AND status <> 'SENT'`, r.payment())
	return err
}

// refuseUndecided refuses to close the alert of a payment that waits for a decision: the customer's money is blocked,
// or taken, until then.
func (r alertRow) refuseUndecided(ctx context.Context, tx *sqlx.Tx) error {
	if r.Cause != keyturn.AlertMismatch || r.payment() == "" {
		return nil
	}
	p, err := scanPayment(ctx, tx, `p.id = $1`, r.payment()) // whoever decides locks the payment before the alert
	if err != nil || p.Status != keyturn.PaymentMismatch {
		return err
	}
	return keyturn.Errorf(keyturn.KindConflict, "payment %s is MISMATCH: decide on it, which closes the alert: "+
		"keyturn payment resolve %s accept|giveBack --reason REASON", p.ID, p.ID)
}

// forgetTroubles forgets that a payment provider does not answer, of which nobody is to hear any more. If it is in use
// and still down, its next failures are told of anew.
func (r alertRow) forgetTroubles(ctx context.Context, tx *sqlx.Tx) error {
	provider, ok := strings.CutPrefix(r.Subject, processorSubject(""))
	if !ok || r.Cause != keyturn.AlertProcessorDown {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM processor_troubles WHERE provider = $1`, provider)
	return err
}

// CloseAlert books that a person has seen to what an alert is about: one that nothing closes by itself. KindConflict
// for another, which is over when what it tells of is, and for a payment that is to be decided. One that is closed
// stays as it is.
func (d *DB) CloseAlert(ctx context.Context, id int64, by, reason string) (out keyturn.AlertView, err error) {
	reason = strings.TrimSpace(reason)
	var bad keyturn.Problems
	bad.Check(reason != "" && len(reason) <= maxCloseReason, "reason",
		"must say what was done about it, in %d bytes at most", maxCloseReason)
	if err := bad.Err("the alert cannot be closed"); err != nil {
		return out, err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var row alertRow
		if err := tx.GetContext(ctx, &row, alertsSQL+`WHERE id = $1 FOR UPDATE`, id); err != nil {
			return pg.NotFound(err, "there is no alert %d", id)
		}
		if row.ClosedAt == nil && !row.Closable {
			return keyturn.Errorf(keyturn.KindConflict, "an alert of cause %s closes by itself when what it tells of is over",
				row.Cause)
		}
		if row.ClosedAt == nil {
			if err := row.refuseUndecided(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx,
				`UPDATE alerts SET closed_at = clock_timestamp(), closed_by = $2, close_reason = CASE WHEN EXISTS (
					SELECT FROM line_items l JOIN orders o ON o.id = l.order_id WHERE l.id = alerts.line_id AND o.customer = '')
					OR EXISTS (SELECT FROM payments p WHERE p.id = CAST(nullif($5, '') AS uuid) AND p.snapshot = '')
					THEN $4 ELSE $3 END WHERE id = $1`, id, by, reason, erasedText, row.payment()); err != nil {
				return err
			}
			if err := row.endMails(ctx, tx); err != nil {
				return err
			}
			if err := row.forgetTroubles(ctx, tx); err != nil {
				return err
			}
			if err := tx.GetContext(ctx, &row, alertsSQL+`WHERE id = $1`, id); err != nil {
				return err
			}
		}
		out, err = row.view()
		return err
	})
	return out, err
}
