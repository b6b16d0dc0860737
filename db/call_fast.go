package db

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// beginFast is the first try of a line with which nothing has happened yet, at a partner that does well and has room: a
// look, and one statement that finds out whether the partner has and books the call. ok is false when a precondition
// failed or the outcome is unknown; the caller falls back to BeginCall.
func (d *DB) beginFast(ctx context.Context, fulfillmentID string, timeout func(keyturn.Integration) time.Duration, render func(CallFacts) ([]byte, error)) (*Call, keyturn.Next, bool) {
	none := keyturn.Next{}
	l, err := d.look(ctx, fulfillmentID)
	if err != nil || l.Status != keyturn.LinePending || l.Version != 1 || l.CancelReason != nil || l.LicenseID != nil || l.next().Do != keyturn.DoCall {
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
	sealed, err := dk.Seal(call.Request, requestAt(l.ID, facts.Source.Name(), string(facts.Operation), facts.UnitNo))
	if err != nil {
		return nil, none, false
	}
	var w pg.StmtBuilder
	when := ""
	if facts.Source.Type.HasIntegration() {
		l.hasRoom(&w, facts)
		when = ` AND EXISTS (SELECT FROM room)`
	}
	l.Attempts++
	l.WakeAt = nil
	if l.moves(&w, byWorkflow, "", when) != nil {
		return nil, none, false
	}
	w.With("requested", `
		INSERT INTO partner_requests (line_id, source, operation, unit_no, request) SELECT id, ?, ?, ?, ? FROM moved`,
		facts.Source.Name(), facts.Operation, facts.UnitNo, sealed)
	w.With("tried", `
		INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, started_at, deadline_at)
		SELECT id, ?, ?, ?, ?, 'running', ?, ? FROM moved`,
		call.Attempt, facts.Source.Name(), facts.Operation, facts.UnitNo, l.Now, call.deadline)
	if l.savedBy(ctx, d.pg.Implicit(), &w) != nil {
		if facts.Source.Type.HasIntegration() { // it may have changed since it was read
			d.integrations.remove(facts.Integration.ID)
		}
		return nil, none, false
	}
	call.line = l
	return call, l.next(), true
}

// hasRoom adds to a statement whether the line may call its partner at once, under the lock that gate takes: the partner
// does well, nobody waits for it, and its limits leave room. The request must have been made of the integration as it is
// now.
func (l *line) hasRoom(w *pg.StmtBuilder, f CallFacts) {
	limits := f.Integration.Limits.WithDefaults()
	calls, hold := limits.Rate()
	w.With("room", `
		SELECT 1 FROM partner_gate(?, ?, ?, ?, ?, ?)
		WHERE NOT troubled AND NOT queued AND older = 0 AND running < ? AND recent < ?
			AND EXISTS (SELECT FROM integrations WHERE id = ? AND version = ?)`,
		f.Integration.ID, f.Source.Name(), l.ID, l.CreatedAt, 1, hold.Seconds(), limits.MaxConcurrent, calls,
		f.Integration.ID, f.IntegrationVersion)
}

// answerFast is FinishCall of a first try that brought all the line needs, while the line is as it was when the call
// began, which one statement checks and books. ok is false when a precondition failed or the outcome is unknown; the
// caller falls back to the general step.
func (d *DB) answerFast(ctx context.Context, r CallResult, render func(MailFacts) ([]byte, error)) (keyturn.Next, bool) {
	none := keyturn.Next{}
	if r.line == nil || render == nil || r.Failed != nil || r.NotIssued || r.PartnerSays != "" || len(r.Additional[nameExpiry]) > 0 {
		return none, false
	}
	l := *r.line
	have := r.whole(&l)
	if have == nil {
		return none, false
	}
	l.Now = l.now()
	l.markObtained()
	var w pg.StmtBuilder
	if l.moves(&w, byWorkflow, "", undisturbed) != nil || d.answers(&w, &l, r) != nil {
		return none, false
	}
	_, err := d.delivers(&w, &l, newMail{kind: keyturn.DeliveryKeys, have: have, render: render})
	if err != nil || l.savedBy(ctx, d.pg.Implicit(), &w) != nil {
		return none, false
	}
	return l.next(), true
}

// answers adds to a statement that the line's call was answered, and what it brought. The attempt is still running:
// whoever ends one changes its line.
func (d *DB) answers(w *pg.StmtBuilder, l *line, r CallResult) error {
	_, dk, err := d.customer(l)
	if err != nil {
		return err
	}
	var reply []byte
	if len(r.Reply) > 0 {
		if reply, err = dk.Seal(r.Reply, replyAt(l.ID, r.Attempt)); err != nil {
			return err
		}
	}
	w.With("answered", `
		UPDATE attempts SET outcome = 'success', sent = ?, duration_ms = ?, http_status = nullif(CAST(? AS int), 0), reply = ?, ended_at = clock_timestamp()
		FROM moved WHERE line_id = moved.id AND no = ?`, r.Sent, r.Duration.Milliseconds(), r.HTTPStatus, reply, r.Attempt)
	parts, err := d.brought(r)
	for i, p := range parts {
		sealed, err := dk.Seal(p.plain, partOf(l.ID, p.unit, p.kind))
		if err != nil {
			return err
		}
		w.With("part"+itoa(i), `
			INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source) SELECT id, ?, ?, ?, ?, ? FROM moved`,
			p.unit, p.kind, sealed, p.fingerprint, l.source().Name())
	}
	return err
}
