package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// finishNotice delivers an operation that brings no key as soon as its source has carried it out: the licence is what
// it is, whether the customer's mail server is up or not. The e-mail that tells of it is stored with it and sent apart.
func (d *DB) finishNotice(ctx context.Context, tx *sqlx.Tx, l *line, have *Deliverables, render RenderMail) error {
	if err := l.save(ctx, tx, byWorkflow, ""); err != nil {
		return err
	}
	notice, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, have: have, render: render})
	if err == nil {
		err = enqueue(ctx, tx, WorkflowSend, notice.ID)
	}
	// an e-mail that cannot be made undoes nothing
	if kind := keyturn.KindOf(err); err != nil && kind != keyturn.KindInvalid && kind != keyturn.KindConfiguration {
		return err
	}
	if l.Status == keyturn.LineRetrying {
		if err := closeLineAlerts(ctx, tx, l); err != nil {
			return err
		}
	}
	if err := d.applyOperation(ctx, tx, l); err != nil {
		return err
	}
	l.Status, l.DeliveredAt, l.FailureJSON = keyturn.LineDelivered, &l.Now, nil
	if l.CancelReason != nil { // its order was cancelled, or its licence, a moment ago
		l.WakeAt = &l.Now
	}
	return l.save(ctx, tx, byWorkflow, "")
}
