package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// StepFailure is one failed attempt of a step.
type StepFailure struct {
	Failure    keyturn.Failure
	Permanent  bool          // trying the same source again is of no use
	RetryAfter time.Duration // the partner's wish; it can lengthen the policy's delay, not shorten it
}

// maxRetryAfter caps a partner's Retry-After: a wrong header must not park a line for a year.
const maxRetryAfter = 24 * time.Hour

// fail books a failed attempt: the line is in trouble, operations are alerted once per cause, and the policy of today
// says whether it is tried again and when, whether the next source starts, or whether the line is given up.
func (d *DB) fail(ctx context.Context, tx *sqlx.Tx, l *line, s StepFailure) error {
	s.Failure.At = l.Now
	// what a line says of its trouble is what operations were told
	s.Failure.Kind = keyturn.Kind(keyturn.AlertOf(s.Failure.Kind))
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
	// the order shows PARTIAL_COMPLETED before it is cancelled
	if err := l.save(ctx, tx, byWorkflow, string(s.Failure.Kind)); err != nil {
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

// abandonSource schedules the cancel of what the partner may have issued, and forgets what it gave of the line's units.
func abandonSource(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if err := scheduleRevocation(ctx, tx, l); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM deliverables WHERE line_id = $1`, l.ID)
	return err
}
