package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// BeginCall stores an attempt of the line's current source before anything leaves: the attempt, and at the first
// attempt the request that render makes, which every later attempt sends again. timeout is how long a call of the
// integration may take. A nil Call with a Next means that there is nothing to call. A request that cannot be rendered
// is a failed attempt.
//
// KindConflict while another attempt is under way; wait is how long at most. KindRateLimited while the line waits for
// its turn at its partner, or for a partner that is down; wait is how long it sleeps. Not idempotent: a second call
// begins a second attempt, once the first one's deadline has passed.
func (d *DB) BeginCall(
	ctx context.Context, fulfillmentID string, timeout CallTimeout, render RenderCall,
) (call *Call, next keyturn.Next, wait time.Duration, err error) {
	if call, next, ok := d.beginFast(ctx, fulfillmentID, timeout, render); ok {
		return call, next, 0, nil
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		call, wait = nil, 0
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		status, source := l.Status, l.source().Name()
		stopped, err := d.stop(ctx, tx, l, keyturn.DoCall)
		if !stopped && err == nil {
			stopped, err = d.refuse(ctx, tx, l)
		}
		if !stopped && err == nil {
			call, wait, err = d.beginCall(ctx, tx, l, timeout, render)
		}
		if err != nil {
			return err
		}
		next = l.next()
		// the workflow should know
		if wait > 0 && (next.Do != keyturn.DoCall || next.Status != status || next.Source != source) {
			wait = 0
			if next.Do == keyturn.DoCall {
				next.Wait = 0
			}
		}
		return nil
	})
	switch {
	case err == nil && wait > 0:
		err = keyturn.Errorf(keyturn.KindRateLimited, "the line waits for its turn at %s", next.Source)
	case err != nil && keyturn.KindOf(err) != keyturn.KindConflict:
		wait = 0 // its place in the queue was undone with all else, so nobody would call it
	}
	return call, next, wait, err
}

// beginFast is BeginCall on the fast path, for the first attempt of a line that nothing has happened to, at a partner
// that does well and has room, which its statement finds out.
func (d *DB) beginFast(
	ctx context.Context, fulfillmentID string, timeout CallTimeout, render RenderCall,
) (*Call, keyturn.Next, bool) {
	none := keyturn.Next{}
	l, err := d.readLine(ctx, fulfillmentID)
	if err != nil || !l.untouched() || l.Version != 1 || l.next().Do != keyturn.DoCall {
		return nil, none, false
	}
	facts, dk, err := d.facts(ctx, nil, l, 0)
	if err != nil {
		return nil, none, false
	}
	call := l.newCall(facts, 1, timeout(facts.Integration))
	if call.Request, err = render(facts); err != nil {
		return nil, none, false
	}
	sealed, err := dk.Seal(call.Request, call.requestAt(l))
	if err != nil {
		return nil, none, false
	}
	limited := facts.Source.Type.HasIntegration()
	l.markTried()
	ok := d.runFast(ctx, l, func(w *pg.StmtBuilder) error {
		when := ""
		if limited {
			l.appendRoom(w, facts)
			when = ` AND EXISTS (SELECT FROM room)`
		}
		return l.appendCall(w, call, sealed, when)
	})
	if !ok && limited { // the integration may have changed since it was read
		d.integrations.remove(facts.Integration.ID)
	}
	call.line = l
	return call, l.next(), ok
}

// beginCall is BeginCall on a locked line that is to call.
func (d *DB) beginCall(
	ctx context.Context, tx *sqlx.Tx, l *line, timeout CallTimeout, render RenderCall,
) (*Call, time.Duration, error) {
	before, wait, err := endedAttempts(ctx, tx, l)
	if err != nil {
		return nil, wait, err
	}
	if before.Others {
		told, err := leaveOtherSources(ctx, tx, l, l.source().Name())
		if err != nil {
			return nil, 0, err
		}
		if told {
			return nil, 0, d.fail(ctx, tx, l, StepFailure{Permanent: true, Failure: keyturn.Failure{
				Kind:    keyturn.KindRejected,
				Message: l.source().Name() + " was told to cancel when the product was changed, and is not asked again",
			}})
		}
	}
	facts, dk, err := d.facts(ctx, tx, l, before.Units)
	call := l.newCall(facts, before.LastNo+1, timeout(facts.Integration))
	if err == nil {
		if err := lookUpFirst(ctx, tx, l, &call.CallFacts, before.LastNo); err != nil {
			return nil, 0, err
		}
		if ok, wait, err := d.admit(ctx, tx, l, call); !ok || err != nil {
			return nil, wait, err
		}
	}
	l.markTried()
	if call.asleep { // and is to know of the answer, or of its failure to come
		l.WakeAt = &call.deadline
	}
	var sealed []byte
	if err == nil {
		call.Request, sealed, err = d.request(ctx, tx, l, call.CallFacts, dk, render)
	}
	if errors.Is(err, ErrMoved) {
		return nil, 0, holdMoved(ctx, tx, l)
	}
	if kind := keyturn.KindOf(err); kind == keyturn.KindConfiguration || kind == keyturn.KindInvalid {
		return nil, 0, d.fail(ctx, tx, l, StepFailure{
			Permanent: keyturn.IsPermanent(err),
			Failure:   keyturn.Failure{Kind: keyturn.KindConfiguration, Message: err.Error()},
		})
	}
	if err != nil {
		return nil, 0, err
	}
	var w pg.StmtBuilder
	if err := l.appendCall(&w, call, sealed, ""); err != nil {
		return nil, 0, err
	}
	return call, 0, l.runUpdate(ctx, tx, &w)
}

// processStopped is what is known of a call whose process died.
const processStopped = "the process that waited for the answer stopped"

// attemptsBefore is what a line's earlier attempts came to.
type attemptsBefore struct {
	No         *int       `db:"no"` // of one that is under way
	DeadlineAt *time.Time `db:"deadline_at"`
	LastNo     int        `db:"last_no"`
	Units      int        `db:"units"`  // that have what the customer gets
	Others     bool       `db:"others"` // another source was asked, or this one told to cancel
}

// endedAttempts reads a line's earlier attempts. KindConflict while one is under way: wait says for how long at most.
func endedAttempts(ctx context.Context, tx *sqlx.Tx, l *line) (before attemptsBefore, wait time.Duration, err error) {
	if l.Version == 1 { // nothing was tried before a line's first step
		return before, 0, nil
	}
	const running = `outcome = 'running' AND (operation <> 'cancel' OR $2 = 'cancel')`
	if err := tx.GetContext(ctx, &before, `
		SELECT max(no) FILTER (WHERE `+running+`) AS no, max(deadline_at) FILTER (WHERE `+running+`) AS deadline_at,
			coalesce(max(no), 0) AS last_no,
			(SELECT `+answeredUnitsSQL+` AND source = $3) AS units,
			coalesce(bool_or(source <> $3), false)
				OR EXISTS (SELECT FROM revocations WHERE line_id = $1 AND source = $3) AS others
		FROM attempts WHERE line_id = $1`, l.ID, l.Operation, l.source().Name()); err != nil || before.No == nil {
		return before, 0, err
	}
	if wait := before.DeadlineAt.Sub(l.Now); wait > 0 {
		return before, wait, keyturn.Errorf(keyturn.KindConflict, "another attempt of this call is under way, for %s at most",
			keyturn.Duration(wait.Round(time.Millisecond)))
	}
	// Its process died before the answer came: the partner may have carried it out.
	_, err = tx.ExecContext(ctx, `
		UPDATE attempts SET outcome = 'unknown', sent = true, ended_at = deadline_at,
			message = $3
		WHERE line_id = $1 AND `+running, l.ID, l.Operation, processStopped)
	return before, 0, err
}

// request gives the stored request of this source and unit, or makes it. sealed is what is to be stored of one that is
// new.
func (d *DB) request(
	ctx context.Context, tx *sqlx.Tx, l *line, f CallFacts, dk vault.DataKey, render RenderCall,
) (plain, sealed []byte, err error) {
	where := requestAt(l.ID, f.Source.Name(), string(f.Operation), f.UnitNo)
	var stored []byte
	if l.erased() { // nothing personal is in it, and there is no key to seal it with
		plain, err = render(f)
		return plain, nil, err
	}
	err = sql.ErrNoRows
	if l.Version > 1 {
		err = tx.GetContext(ctx, &stored, `
			SELECT request FROM partner_requests WHERE line_id = $1 AND source = $2 AND operation = $3 AND unit_no = $4`,
			l.ID, f.Source.Name(), f.Operation, f.UnitNo)
	}
	if err == nil {
		if f.Stored, err = dk.Open(stored, where); err != nil {
			return nil, nil, err
		}
		if plain, err = render(f); !errors.Is(err, ErrMoved) {
			return plain, nil, err
		}
		if open, err := isOpenCall(ctx, tx, l, f); err != nil || open {
			return nil, nil, cmp.Or(err, error(ErrMoved))
		}
		f.Stored = nil // the old address has seen nothing of it that may count: the new one gets a request of its own
		if plain, err = render(f); err != nil {
			return nil, nil, err
		}
		if sealed, err = dk.Seal(plain, where); err != nil {
			return nil, nil, err
		}
		return plain, nil, pg.ExpectOne(tx.ExecContext(ctx, `
			UPDATE partner_requests SET request = $5 WHERE line_id = $1 AND source = $2 AND operation = $3 AND unit_no = $4`,
			l.ID, f.Source.Name(), f.Operation, f.UnitNo, sealed))
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, err
	}
	if plain, err = render(f); err != nil {
		return nil, nil, err
	}
	sealed, err = dk.Seal(plain, where)
	return plain, sealed, err
}

// ErrMoved is what RenderCall answers for a stored request that was made for another address than its integration has
// now. KindConfiguration.
var ErrMoved = keyturn.Errorf(keyturn.KindConfiguration,
	"the integration has another address than the request was made for")

// isOpenCall says whether nobody knows what became of an earlier attempt of this call since a person last let it go on,
// which closed the alert. A cancel may be said twice, and a look-up asked twice.
func isOpenCall(ctx context.Context, tx *sqlx.Tx, l *line, f CallFacts) (open bool, err error) {
	if f.Operation == keyturn.OpLookUp || f.Operation == keyturn.OpCancel {
		return false, nil
	}
	err = tx.GetContext(ctx, &open, `
		SELECT coalesce(max(no) FILTER (WHERE operation = $4 AND outcome IN ('unknown', 'running')), 0)
			> coalesce(max(no) FILTER (WHERE operation = 'lookup' AND outcome = 'success'), 0)
		FROM attempts WHERE line_id = $1 AND source = $2 AND unit_no = $3 AND started_at >= coalesce((
			SELECT closed_at FROM alerts WHERE line_id = $1 AND cause = $5), '-infinity')`,
		l.ID, f.Source.Name(), f.UnitNo, f.Operation, keyturn.AlertMoved)
	return open, err
}

// movedFor is how long a line whose partner has moved waits for a person: nobody is refunded for that.
const movedFor = 365 * 24 * time.Hour

// holdMoved holds a line of which nobody knows whether its partner carried out a call at the address that it had
// before: asking at the new one may issue twice, and giving up may refund what was issued. A person decides.
func holdMoved(ctx context.Context, tx *sqlx.Tx, l *line) error {
	if err := leaveQueue(ctx, tx, l); err != nil {
		return err
	}
	if err := openLineAlert(ctx, tx, l, keyturn.AlertMoved,
		l.source().Name()+" has another address, and nobody knows what "+
			"became of the call at the old one"); err != nil {
		return err
	}
	l.Status, l.HeldUntil, l.NextAttemptAt, l.WaitingPool, l.WakeAt = keyturn.LineHeld, nil, nil, nil, nil
	l.ExtendedUntil = ptr(l.Now.Add(movedFor))
	l.GiveUpAt = *l.ExtendedUntil
	return l.save(ctx, tx, byWorkflow, string(keyturn.AlertMoved))
}

// appendCall appends that a line whose call begins is saved with it. when is as in appendLineUpdate.
func (l *line) appendCall(w *pg.StmtBuilder, call *Call, sealedRequest []byte, when string) error {
	if err := l.appendLineUpdate(w, byWorkflow, "", when); err != nil {
		return err
	}
	l.appendAttempt(w, call, sealedRequest)
	l.appendOrderCounts(w, "moved")
	return nil
}

// appendAttempt appends the attempt of a call that begins, and its request unless that is stored already.
func (l *line) appendAttempt(w *pg.StmtBuilder, call *Call, sealedRequest []byte) {
	source := call.Source.Name()
	if sealedRequest != nil {
		w.With("requested", `
			INSERT INTO partner_requests (line_id, source, operation, unit_no, request)
			SELECT id, ?, ?, ?, ? FROM moved`, source, call.Operation, call.UnitNo, sealedRequest)
	}
	w.With("tried", `
		INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, started_at, deadline_at)
		SELECT id, ?, ?, ?, ?, 'running', ?, ? FROM moved`,
		call.Attempt, source, call.Operation, call.UnitNo, l.Now, call.deadline)
}

// appendRoom appends whether the line may call its partner at once, under the lock that lockAdmission takes: the
// partner does well, nobody waits for it, and its limits leave room. The request must have been made of the integration
// as it is now.
func (l *line) appendRoom(w *pg.StmtBuilder, f CallFacts) {
	limits := f.Integration.Limits.WithDefaults()
	calls, hold := limits.Rate()
	w.With("room", `
		SELECT 1 FROM partner_gate(?, ?, ?, (SELECT `+placeSQL+` FROM line_items l WHERE l.id = ?), ?, ?)
		WHERE NOT troubled AND NOT queued AND older = 0 AND running < ? AND recent < ?
			AND EXISTS (SELECT FROM integrations WHERE id = ? AND version = ?)`,
		f.Integration.ID, f.Source.Name(), l.ID, l.ID, 1, hold.Seconds(), limits.MaxConcurrent, calls,
		f.Integration.ID, f.IntegrationVersion)
}
