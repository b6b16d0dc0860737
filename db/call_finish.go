package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// FinishCall books what became of a call. A success that comes after the source was abandoned is not delivered: it is
// owed back to the partner. Idempotent: an attempt is finished once. When the line has all its keys, the e-mail that
// render makes of them is stored with them, ready to be sent; without render, BeginDelivery makes it.
func (d *DB) FinishCall(ctx context.Context, fulfillmentID string, r CallResult, render func(MailFacts) ([]byte, error)) (keyturn.Next, error) {
	if next, ok := d.answerFast(ctx, r, render); ok {
		return next, nil
	}
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		source, outcome, err := d.finishAttempt(ctx, tx, l, r)
		if err != nil || outcome == "" {
			return err
		}
		partnerDown, err := d.bookPartner(ctx, tx, l.ID, source, r)
		if err != nil {
			return err
		}
		if outcome == keyturn.AttemptLate {
			if _, err := d.answeredBefore(ctx, tx, l, source, r); err != nil {
				return err
			}
			return d.oweLate(ctx, tx, l, source)
		}
		if l.ObtainedAt != nil || !l.Status.Open() || l.Status == keyturn.LineCanceling || l.source().Name() != source {
			return nil // it never left, and nobody waits for it any more
		}
		if l.CancelReason != nil {
			return d.giveUp(ctx, tx, l, byWorkflow, *l.CancelReason, l.CancelFailure)
		}
		if r.Failed != nil {
			if l.Status == keyturn.LineHeld {
				return nil
			}
			if err := d.fail(ctx, tx, l, *r.Failed); err != nil || !partnerDown || l.next().Do != keyturn.DoCall || l.source().Name() != source {
				return err
			}
			return queue(ctx, tx, l, *l.NextAttemptAt, false)
		}
		if known, err := d.answeredBefore(ctx, tx, l, source, r); err != nil || known || r.NotIssued {
			if err == nil {
				l.NextAttemptAt = nil
				err = l.save(ctx, tx, byWorkflow, "")
			}
			return err
		}
		done, err := d.storeDeliverable(ctx, tx, l, r)
		if err != nil {
			return err
		}
		l.Failures = 0
		switch {
		case !done:
			l.NextAttemptAt = nil
		case l.Status == keyturn.LineHeld: // ours, but a person said to wait
			l.ObtainedAt = &l.Now
		default:
			l.markObtained()
			return d.saveObtained(ctx, tx, l, r.whole(l), render)
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
}

// whole is what the line delivers if this one call brought it, nil if there were others, or a licence that kept some.
func (r CallResult) whole(l *line) *Deliverables {
	if l.product.QuantityMode == keyturn.OnePerUnit && l.units() > 1 || l.LicenseID != nil {
		return nil
	}
	all := &Deliverables{Codes: r.Codes, Link: r.Link, Additional: r.Additional}
	if r.File != nil {
		all.Files = []File{*r.File}
	}
	return all
}

// finishAttempt closes the attempt's row and says whether its source is still wanted. An empty outcome: it was closed
// before.
func (d *DB) finishAttempt(ctx context.Context, tx *sqlx.Tx, l *line, r CallResult) (source string, outcome keyturn.AttemptOutcome, err error) {
	var row struct {
		Source  string                 `db:"source"`
		Outcome keyturn.AttemptOutcome `db:"outcome"`
	}
	if err := tx.GetContext(ctx, &row, `SELECT source, outcome FROM attempts WHERE line_id = $1 AND no = $2`, l.ID, r.Attempt); err != nil {
		return "", "", err
	}
	wanted := l.ObtainedAt == nil && l.Status.Open() && l.Status != keyturn.LineCanceling && l.source().Name() == row.Source
	switch {
	case row.Outcome.Ended():
		return row.Source, "", nil
	case r.Sent && !wanted:
		outcome = keyturn.AttemptLate
	case r.Failed == nil:
		outcome = keyturn.AttemptSuccess
	case r.Unknown:
		outcome = keyturn.AttemptUnknown
	default:
		outcome = keyturn.AttemptFailed
	}
	var kind, code *string
	message := r.PartnerSays
	if r.Failed != nil {
		kind, code = ptr(string(r.Failed.Failure.Kind)), ptr(r.Failed.Failure.Code)
		if message == "" {
			message = r.Failed.Failure.Message
		}
	}
	customer, dk, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return "", "", err
	}
	message = personalData(customer).text(message) // a partner may quote whom it was asked for
	var sealed []byte
	if len(r.Reply) > 0 {
		if sealed, err = dk.Seal(r.Reply, replyAt(l.ID, r.Attempt)); err != nil {
			return "", "", err
		}
	}
	return row.Source, outcome, pg.ExpectOne(tx.ExecContext(ctx, `
		UPDATE attempts SET outcome = $3, sent = $4, duration_ms = $5, http_status = nullif($6, 0), error_kind = $7, error_code = nullif($8, ''),
			message = nullif($9, ''), reply = $10, ended_at = clock_timestamp()
		WHERE line_id = $1 AND no = $2`,
		l.ID, r.Attempt, outcome, r.Sent, r.Duration.Milliseconds(), r.HTTPStatus, kind, code, message, sealed))
}
