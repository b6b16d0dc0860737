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

// StepFailure is one failed try of a step.
type StepFailure struct {
	Failure    keyturn.Failure
	Permanent  bool          // trying the same source again is of no use
	RetryAfter time.Duration // the partner's wish; it can lengthen the policy's delay, not shorten it
}

// maxRetryAfter caps a partner's Retry-After: a wrong header must not park a line for a year.
const maxRetryAfter = 24 * time.Hour

// fail books a failed try: the line is in trouble, operations are alerted once per cause, and the policy of today says
// whether it is tried again and when, whether the next source starts, or whether the line is given up.
func (d *DB) fail(ctx context.Context, tx *sqlx.Tx, l *line, s StepFailure) error {
	s.Failure.At = l.Now
	s.Failure.Kind = keyturn.Kind(keyturn.AlertOf(s.Failure.Kind)) // what a line says of its trouble is what operations were told
	l.setFailure(s.Failure)
	l.Failures++
	if err := openLineAlert(ctx, tx, l, keyturn.AlertOf(s.Failure.Kind), s.Failure.Message); err != nil {
		return err
	}
	l.Status, l.WaitingPool = keyturn.LineRetrying, nil
	if s.Failure.Kind == keyturn.KindOutOfStock && l.ObtainedAt == nil {
		l.Status, l.WaitingPool = keyturn.LineWaitingForStock, ptr(l.source().Pool)
	}
	obtaining := l.ObtainedAt == nil
	end := l.GiveUpAt
	if obtaining {
		end = l.sourceDeadline()
	}
	if !s.Permanent && l.Now.Before(end) {
		delay := max(l.product.Retry.Delay(l.Failures), min(s.RetryAfter, maxRetryAfter))
		l.NextAttemptAt = ptr(minTime(l.Now.Add(delay), end))
		return l.save(ctx, tx, byWorkflow, string(s.Failure.Kind))
	}
	if obtaining && l.Now.Before(l.GiveUpAt) && l.sourceFrom(l.SourceNo+1) >= 0 {
		return d.nextSource(ctx, tx, l, string(s.Failure.Kind))
	}
	l.Status, l.WaitingPool = keyturn.LineRetrying, nil
	if err := l.save(ctx, tx, byWorkflow, string(s.Failure.Kind)); err != nil { // the order shows PARTIAL_COMPLETED before it is cancelled
		return err
	}
	reason := whyDeadline
	if s.Permanent {
		reason = whyNever
	}
	return d.giveUp(ctx, tx, l, byWorkflow, reason+": "+string(s.Failure.Kind), s.Failure.Kind)
}

// nextSource abandons the current source and starts the next one at once. What the old one may have issued is taken
// back at the partner.
func (d *DB) nextSource(ctx context.Context, tx *sqlx.Tx, l *line, reason string) error {
	if err := abandonSource(ctx, tx, l); err != nil {
		return err
	}
	l.SourceNo = l.sourceFrom(l.SourceNo + 1)
	l.SourceStartedAt, l.NextAttemptAt = l.Now, nil
	l.Failures, l.Attempts = 0, 0
	l.Status, l.WaitingPool = keyturn.LineRetrying, nil
	return l.save(ctx, tx, byWorkflow, reason+"; next source "+l.source().Name())
}

// abandonSource owes the partner a cancel for what it may have issued and forgets what it gave of the line's units.
func abandonSource(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if err := scheduleRevocation(ctx, tx, l); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM deliverables WHERE line_id = $1`, l.ID)
	return err
}

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

// stop says what interrupts every step before it starts: the whole order is being cancelled, or somebody decided in the
// meantime. It returns true when the step must not go on; the line is saved then.
func (d *DB) stop(ctx context.Context, tx *sqlx.Tx, l *line, wanted keyturn.Do) (bool, error) {
	if l.Status.Open() && l.Status != keyturn.LineCanceling && l.CancelReason != nil {
		return true, d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason, l.CancelFailure)
	}
	return l.next().Do != wanted, nil
}

// Review looks at a line after its workflow was woken or a timer fired, moves on what the clock has decided (a hold that
// ended, a deadline that passed while a person was waited for, an order that is to be cancelled) and says what is next.
func (d *DB) Review(ctx context.Context, fulfillmentID string) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		l.WakeAt = nil
		if l.Status == keyturn.LineDelivered && l.CancelReason != nil {
			return d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason, l.CancelFailure)
		}
		if l.Blocked && l.Status.Open() && l.CancelReason == nil && !l.Now.Before(l.GiveUpAt) {
			return d.fail(ctx, tx, l, StepFailure{Permanent: true, Failure: keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "the operations before it on the same licence were not decided in time"}})
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
			return d.fail(ctx, tx, l, StepFailure{Permanent: true, Failure: keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "nobody supplied keys in time"}})
		}
		if err := openLineAlert(ctx, tx, l, keyturn.AlertManual, "keys are to be supplied by hand"); err != nil {
			return err
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
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
