package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// markTried notes that a step of the line is tried.
func (l *line) markTried() {
	l.Attempts++
	l.WakeAt = nil
}

// markObtained notes that the line's keys are ours. A line in trouble stays RETRYING until its e-mail is out.
func (l *line) markObtained() {
	l.ObtainedAt = &l.Now
	l.NextAttemptAt, l.WaitingPool, l.HeldUntil = nil, nil, nil
	l.Failures, l.Attempts = 0, 0
	l.WakeAt = nil
	if l.Status == keyturn.LinePending {
		l.Status = keyturn.LineObtained
	} else {
		l.Status = keyturn.LineRetrying
	}
}

// saveObtained saves a line that just got its keys, with the e-mail that render makes of them. have is what it got, nil
// if it is to be read. Without render, or with an e-mail that cannot be made, only the line is saved: BeginDelivery
// makes the e-mail then, or finds out why not.
func (d *DB) saveObtained(ctx context.Context, tx *sqlx.Tx, l *line, have *Deliverables, render RenderMail) error {
	if l.isNotice() && render != nil && l.Status != keyturn.LineHeld {
		return d.finishNotice(ctx, tx, l, have, render)
	}
	mail := newMail{kind: keyturn.DeliveryKeys, have: have, render: render}
	if render != nil {
		if err := d.completeMail(ctx, tx, l, &mail); cannotBeMade(err) {
			mail.render = nil
		} else if err != nil {
			return err
		}
	}
	var w pg.StmtBuilder
	if err := d.appendObtained(&w, l, mail, ""); err != nil {
		return err
	}
	return l.runUpdate(ctx, tx, &w)
}

// appendObtained appends that a line which just got its keys is saved, and its complete e-mail if one can be made. when
// is as in appendLineUpdate.
func (d *DB) appendObtained(w *pg.StmtBuilder, l *line, m newMail, when string) error {
	if err := l.appendLineUpdate(w, byWorkflow, "", when); err != nil {
		return err
	}
	if m.render != nil {
		if _, err := d.appendDelivery(w, l, m); err != nil && !cannotBeMade(err) {
			return err
		}
	}
	l.appendOrderCounts(w, "moved")
	return nil
}
