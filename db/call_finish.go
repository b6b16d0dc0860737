package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// FinishCall stores what became of a call, and returns what the line needs next. Idempotent: an attempt is finished
// once. When the line has all its keys, the e-mail that render makes of them is stored with them, ready to be sent;
// without render, BeginDelivery makes it. A success that comes after the source was abandoned is not delivered: the
// partner is told to cancel it.
func (d *DB) FinishCall(
	ctx context.Context, fulfillmentID string, r CallResult, render RenderMail,
) (keyturn.Next, error) {
	if next, ok := d.answerFast(ctx, r, render); ok {
		return next, nil
	}
	return d.codeStep(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		r, err := d.hideKeys(ctx, tx, l, r)
		if err != nil {
			return err
		}
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
			return d.scheduleLateRevocation(ctx, tx, l, source)
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
			if err := d.fail(ctx, tx, l, *r.Failed); err != nil || !partnerDown || l.next().Do != keyturn.DoCall ||
				l.source().Name() != source {
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
		done, refused, err := d.storeDeliverable(ctx, tx, l, r)
		if err != nil {
			return err
		}
		if len(refused) > 0 {
			return d.refuseCode(ctx, tx, l, source, r, refused[0])
		}
		l.Failures = 0
		wakes := l.WakeAt != nil // whoever waits for the line does not wait for this answer
		switch {
		case !done:
			l.NextAttemptAt = nil
		case l.Status == keyturn.LineHeld: // ours, but a person said to wait
			l.ObtainedAt = &l.Now
		default:
			l.markObtained()
		}
		if wakes {
			l.WakeAt = &l.Now
		}
		if done && l.Status != keyturn.LineHeld {
			return d.saveObtained(ctx, tx, l, r.whole(l), render)
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
}

// answerFast is FinishCall on the fast path, for a first attempt that brought all the line needs.
func (d *DB) answerFast(ctx context.Context, r CallResult, render RenderMail) (keyturn.Next, bool) {
	none := keyturn.Next{}
	if r.line == nil || render == nil || r.Failed != nil || r.NotIssued || r.PartnerSays != "" ||
		len(r.Additional[nameExpiry]) > 0 {
		return none, false
	}
	l := *r.line
	have := r.whole(&l)
	if have == nil {
		return none, false
	}
	parts, err := d.brought(r)
	if err != nil {
		return none, false
	}
	l.Now = l.now()
	l.markObtained()
	ok := d.runFast(ctx, &l, func(w *pg.StmtBuilder) error {
		mail := newMail{kind: keyturn.DeliveryKeys, have: have, render: render}
		allowed := l.appendKnown(w, parts)
		if err := d.appendObtained(w, &l, mail, undisturbed+allowed); err != nil {
			return err
		}
		if err := d.appendAttemptEnd(w, &l, r, keyturn.AttemptSuccess); err != nil {
			return err
		}
		return d.appendParts(w, &l, parts)
	})
	return l.next(), ok
}

// whole is what the line delivers if this one call brought it, nil if there were others, or a licence that kept some.
func (r CallResult) whole(l *line) *Deliverables {
	if l.product.QuantityMode == keyturn.OnePerUnit && l.units() > 1 || l.LicenseID != nil {
		return nil
	}
	return &Deliverables{
		Codes: r.Codes, Links: r.Links, Files: uniqueNames(r.Files), Additional: r.Additional,
		Tracked: l.source().Type.Info().Tracked,
	}
}

// finishAttempt closes the attempt's row and says whether its source is still wanted. An empty outcome: it was closed
// before.
func (d *DB) finishAttempt(
	ctx context.Context, tx *sqlx.Tx, l *line, r CallResult,
) (source string, outcome keyturn.AttemptOutcome, err error) {
	var row struct {
		Source  string                 `db:"source"`
		Outcome keyturn.AttemptOutcome `db:"outcome"`
	}
	if err := tx.GetContext(ctx, &row, `SELECT source, outcome FROM attempts WHERE line_id = $1 AND no = $2`, l.ID,
		r.Attempt); err != nil {
		return "", "", err
	}
	wanted := l.ObtainedAt == nil && l.Status.Open() && l.Status != keyturn.LineCanceling &&
		l.source().Name() == row.Source
	switch {
	case row.Outcome.Ended(), r.Failed != nil && row.Outcome != keyturn.AttemptRunning:
		return row.Source, "", nil // another try has taken its place: a failure is the line's only from the one that runs
	case r.Sent && !wanted:
		outcome = keyturn.AttemptLate
	case r.Failed == nil:
		outcome = keyturn.AttemptSuccess
	case r.Unknown:
		outcome = keyturn.AttemptUnknown
	default:
		outcome = keyturn.AttemptFailed
	}
	var w pg.StmtBuilder
	w.With("moved", `SELECT id FROM line_items WHERE id = ?`, l.ID)
	if err := d.appendAttemptEnd(&w, l, r, outcome); err != nil {
		return "", "", err
	}
	var ended []int
	if err := w.Select(ctx, tx, &ended, `SELECT no FROM ended`); err != nil {
		return "", "", err
	}
	if len(ended) != 1 {
		return "", "", keyturn.Errorf(keyturn.KindInternal, "attempt %d was not there to be ended", r.Attempt)
	}
	return row.Source, outcome, nil
}

// appendAttemptEnd appends how the line's attempt ended, with the partner's answer. The fast path need not check that
// the attempt is still running: whoever ends one saves its line, which gets another version.
func (d *DB) appendAttemptEnd(w *pg.StmtBuilder, l *line, r CallResult, outcome keyturn.AttemptOutcome) error {
	var kind, code string
	message := r.PartnerSays
	if r.Failed != nil {
		kind, code = string(r.Failed.Failure.Kind), r.Failed.Failure.Code
		if message == "" {
			message = r.Failed.Failure.Message
		}
	}
	var reply []byte
	customer, dk, err := d.customer(l)
	switch {
	case l.erased(): // whom a partner may quote
		code, message, r.Reply = "", "", nil
	case err != nil:
		return err
	case message != "": // a partner may quote whom it was asked for
		message = personalData(customer).text(message)
	}
	if len(r.Reply) > 0 {
		if reply, err = dk.Seal(r.Reply, replyAt(l.ID, r.Attempt)); err != nil {
			return err
		}
	}
	w.With("ended", `
		UPDATE attempts SET outcome = ?, sent = ?, duration_ms = ?, http_status = nullif(CAST(? AS int), 0),
			error_kind = nullif(CAST(? AS text), ''), error_code = nullif(CAST(? AS text), ''),
			message = nullif(CAST(? AS text), ''), reply = ?, ended_at = clock_timestamp()
		FROM moved WHERE line_id = moved.id AND no = ?
		RETURNING no`,
		outcome, r.Sent, r.Duration.Milliseconds(), r.HTTPStatus, kind, code, message, reply, r.Attempt)
	return nil
}
