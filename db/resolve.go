package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Resolve carries out a person's decision on a line and records who decided and why. Repeating a decision with the same
// ID changes nothing. KindConflict where the line's status does not allow it, KindInvalid for a malformed one.
func (d *DB) Resolve(ctx context.Context, fulfillmentID string, r keyturn.Resolution) (keyturn.Next, error) {
	stored := r.ID
	return d.codeStep(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if err := r.Check(); err != nil {
			return err
		}
		if err := r.CheckUntil(l.Now); err != nil {
			return err
		}
		if r.ID == "" {
			r.ID = newID()
		}
		r.Reason = l.words(r.Reason)
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM resolutions WHERE line_id = $1 AND id = $2)`, l.ID,
			r.ID); err != nil || known {
			return err
		}
		if !r.Action.Allows(l.Status) {
			return keyturn.Errorf(keyturn.KindConflict, "a line that is %s does not take %s", l.Status, r.Action)
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO resolutions (line_id, id, action, until, reason, by) VALUES ($1, $2, $3, $4, $5, $6)`,
			l.ID, r.ID, r.Action, r.Until, r.Reason, r.By); err != nil {
			return err
		}
		return d.apply(ctx, tx, l, r, stored)
	})
}

// apply carries out a decision; stored is the one that the keys of a supply were stored for.
func (d *DB) apply(ctx context.Context, tx *sqlx.Tx, l *line, r keyturn.Resolution, stored string) error {
	by := r.By
	if by == "" {
		by = "operator"
	}
	reason := string(r.Action)
	if r.Reason != "" {
		reason += ": " + r.Reason
	}
	l.WakeAt = nil
	if r.Until != nil && l.PaymentCaptureBy != nil && !l.charged() && r.Until.After(*l.PaymentCaptureBy) {
		return keyturn.Errorf(keyturn.KindConflict,
			"the line's payment is only authorized, until %s: nothing can wait for longer", l.PaymentCaptureBy.UTC().
				Format("2006-01-02 15:04 UTC"))
	}
	switch r.Action {
	case keyturn.ActionRefund:
		return d.giveUp(ctx, tx, l, by, reason, "")
	case keyturn.ActionSupply:
		return d.supply(ctx, tx, l, stored, by, reason)
	case keyturn.ActionRetry, keyturn.ActionRelease:
		l.NextAttemptAt, l.HeldUntil = nil, nil
		if l.Status == keyturn.LineHeld {
			if err := releaseHeld(ctx, tx, l); err != nil {
				return err
			}
			l.Status = keyturn.LineRetrying
		}
		if l.next().Do == keyturn.DoCall && l.source().Type.HasIntegration() { // whatever the queue and the breaker say
			if err := queue(ctx, tx, l, l.Now, true); err != nil {
				return err
			}
		}
	case keyturn.ActionHold:
		l.Status, l.HeldUntil, l.WaitingPool = keyturn.LineHeld, r.Until, nil
	case keyturn.ActionExtend:
		l.ExtendedUntil, l.GiveUpAt = r.Until, *r.Until
		if l.NextAttemptAt != nil && l.NextAttemptAt.After(*r.Until) {
			l.NextAttemptAt = r.Until
		}
	}
	return l.save(ctx, tx, by, reason)
}
