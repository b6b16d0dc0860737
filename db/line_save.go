package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// appendLineUpdate appends what saving a line consists of: the row always, an entry of the log when its status changed.
// Whatever else the statement writes reads FROM moved, so that it writes nothing if the line has another version by
// now, or when, a further condition, does not hold. A wake-up that the relay or a cancelled order put there meanwhile
// stays: it is no step of the line, so the version does not tell.
func (l *line) appendLineUpdate(w *pg.StmtBuilder, by, reason, when string) error {
	if l.saved != l.Status && !l.saved.CanBecome(l.Status) {
		return keyturn.Errorf(keyturn.KindConflict, "a line that is %s cannot become %s", l.saved, l.Status)
	}
	w.With("moved", `
		UPDATE line_items SET
			status = ?, version = version + 1, source_no = ?, source_started_at = ?, attempts = ?, failures = ?,
			failure = ?, next_attempt_at = ?, give_up_at = ?, extended_until = ?, held_until = ?, waiting_pool = ?,
			obtained_at = ?, delivered_at = ?, canceled_at = ?,
			wake_at = CASE WHEN wake_at IS NOT DISTINCT FROM ? THEN ? ELSE wake_at END
		WHERE id = ? AND version = ?`+when+`
		RETURNING id, order_id, version`,
		l.Status, l.SourceNo, l.SourceStartedAt, l.Attempts, l.Failures, l.FailureJSON, l.NextAttemptAt, l.GiveUpAt,
		l.ExtendedUntil,
		l.HeldUntil, l.WaitingPool, l.ObtainedAt, l.DeliveredAt, l.CanceledAt, l.savedWakeAt, l.WakeAt, l.ID, l.Version)
	if l.PaymentID != nil && l.saved == keyturn.LinePending && l.Status != keyturn.LinePending {
		w.With("tried", `UPDATE payments SET first_tries = first_tries - 1 FROM moved WHERE payments.id = ?`, *l.PaymentID)
	}
	if l.saved != l.Status {
		w.With("logged", `
			INSERT INTO line_log (line_id, version, from_status, to_status, by, reason)
			SELECT id, version, ?, ?, ?, ? FROM moved`, l.saved, l.Status, by, reason)
	}
	return nil
}

// appendOrderCounts appends the change of the order's counts, if the change of the line matters to them. It comes last,
// because it locks the order's row, which all lines of the order share: after names an expression that must be through
// before.
func (l *line) appendOrderCounts(w *pg.StmtBuilder, after string) {
	var d keyturn.LineCounts
	d.Move(l.saved, l.Status)
	if d == (keyturn.LineCounts{}) {
		return
	}
	w.With("counted", `
		UPDATE orders o SET
			lines_trouble = lines_trouble + n.trouble, lines_delivered = lines_delivered + n.delivered,
			lines_canceling = lines_canceling + n.canceling, lines_canceled = lines_canceled + n.canceled,
			status = order_status(lines_total, lines_trouble + n.trouble, lines_delivered + n.delivered,
				lines_canceling + n.canceling, lines_canceled + n.canceled)
		FROM moved, (
			SELECT CAST(? AS int) AS trouble, CAST(? AS int) AS delivered,
				CAST(? AS int) AS canceling, CAST(? AS int) AS canceled
		) n
		WHERE o.id = moved.order_id AND (SELECT count(*) FROM `+after+`) >= 0`,
		d.Trouble, d.Delivered, d.Canceling, d.Canceled)
}

// runUpdate runs a statement that has appendLineUpdate. KindConflict when the line has another version by now.
func (l *line) runUpdate(ctx context.Context, s pg.Queryer, w *pg.StmtBuilder) error {
	var versions []int
	if err := w.Select(ctx, s, &versions, `SELECT version FROM moved`); err != nil {
		return err
	}
	if len(versions) != 1 {
		return errLineChanged()
	}
	l.markSaved()
	return nil
}

func errLineChanged() error {
	return keyturn.Errorf(keyturn.KindConflict, "somebody else changed the line at the same time")
}

// markSaved notes that a statement has saved the line.
func (l *line) markSaved() {
	l.saved, l.savedWakeAt = l.Status, l.WakeAt
	l.Version++
}

// save writes the line, its step in the log and its order's counts in one statement. by says who made the step. It is
// the last statement of a transaction.
func (l *line) save(ctx context.Context, tx *sqlx.Tx, by, reason string) error {
	if err := l.wakeNext(ctx, tx); err != nil {
		return err
	}
	var w pg.StmtBuilder
	if err := l.appendLineUpdate(&w, by, reason, ""); err != nil {
		return err
	}
	l.appendOrderCounts(&w, "moved")
	return l.runUpdate(ctx, tx, &w)
}
