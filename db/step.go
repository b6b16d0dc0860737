package db

import (
	"context"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// byWorkflow is who made a step that no person asked for.
const byWorkflow = "workflow"

func itoa(i int) string { return strconv.Itoa(i) }

// stop says what interrupts every step before it starts: the whole order is being cancelled, or somebody decided in the
// meantime. It returns true when the step must not go on; the line is saved then.
func (d *DB) stop(ctx context.Context, tx *sqlx.Tx, l *line, wanted keyturn.Do) (bool, error) {
	if l.Status.Open() && l.Status != keyturn.LineCanceling && l.CancelReason != nil {
		return true, d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason, l.CancelFailure)
	}
	if l.GiveUpFailed && l.ObtainedAt == nil && l.Status.InTrouble() && !l.charged() {
		return true, d.giveUp(ctx, tx, l, byWorkflow, whyNotReady, "")
	}
	return l.next().Do != wanted, nil
}

// whyNotReady is why a line ends that has failed while others of its order are ready to be charged.
const whyNotReady = "nothing was charged for it: the order's other lines were ready first"

// Review looks at a line after its workflow was woken or a timer fired, moves on what the clock has decided (a hold
// that ended, a deadline that passed while a person was waited for, an order that is to be cancelled) and says what is
// next.
func (d *DB) Review(ctx context.Context, fulfillmentID string) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		l.WakeAt = nil
		if l.awaitsRefund() {
			if err := askForRefund(ctx, tx, l); err != nil {
				return err
			}
			return l.save(ctx, tx, byWorkflow, "")
		}
		if l.Status == keyturn.LineDelivered && l.CancelReason != nil {
			return d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason, l.CancelFailure)
		}
		if l.Blocked && l.Status.Open() && l.CancelReason == nil && !l.Now.Before(l.GiveUpAt) {
			return d.fail(ctx, tx, l, StepFailure{
				Permanent: true,
				Failure: keyturn.Failure{
					Kind:    keyturn.KindUnavailable,
					Message: "the operations before it on the same licence were not decided in time",
				},
			})
		}
		if err := lookAfterCall(ctx, tx, l); err != nil {
			return err
		}
		if stopped, err := d.stop(ctx, tx, l, keyturn.DoAwait); stopped || err != nil {
			if err == nil && l.saved == l.Status {
				return l.save(ctx, tx, byWorkflow, "")
			}
			return err
		}
		if l.Status == keyturn.LineHeld {
			if l.HeldUntil != nil && !l.Now.Before(*l.HeldUntil) || !l.Now.Before(l.GiveUpAt) {
				l.Status, l.HeldUntil, l.NextAttemptAt = keyturn.LineRetrying, nil, nil
				return l.save(ctx, tx, byWorkflow, "the hold ended")
			}
			return l.save(ctx, tx, byWorkflow, "")
		}
		if !l.Now.Before(l.sourceDeadline()) { // nobody supplied keys in time
			return d.fail(ctx, tx, l, StepFailure{
				Permanent: true,
				Failure:   keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "nobody supplied keys in time"},
			})
		}
		if _, err := leaveOtherSources(ctx, tx, l, l.source().Name()); err != nil {
			return err
		}
		if err := openLineAlert(ctx, tx, l, keyturn.AlertManual, "keys are to be supplied by hand"); err != nil {
			return err
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
}

// lookAfterCall has a line that waits for its turn at its partner, and whose call is under way all the same, looked at
// once that call is over: whoever is told to wait here does not hear of its outcome.
func lookAfterCall(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if l.next().Do != keyturn.DoCall || l.NextAttemptAt == nil {
		return nil
	}
	var over *time.Time
	if err := tx.GetContext(ctx, &over,
		`SELECT max(deadline_at) FROM attempts WHERE line_id = $1 AND outcome = 'running'`, l.ID); err != nil || over == nil {
		return err
	}
	l.NextAttemptAt = ptr(minTime(*l.NextAttemptAt, *over))
	return nil
}

// step runs fn on a locked line and says what the line needs afterwards.
func (d *DB) step(ctx context.Context, fulfillmentID string, fn func(*sqlx.Tx, *line) error) (keyturn.Next, error) {
	var next keyturn.Next
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if err := fn(tx, l); err != nil {
			return err
		}
		next = l.next()
		return nil
	})
	return next, err
}
