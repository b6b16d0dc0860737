package audit

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/workflows"
)

// suspect is a violation by a list that may be behind; it is confirmed once the snapshot is closed.
type suspect struct {
	id        string
	workflows []string // any of them running clears a suspect of A5, none clears one of F6
	todo      todo     // of A5
	v         Violation
}

// maxConfirmed bounds how many suspects are looked at one by one. Beyond that something is wrong at large.
const maxConfirmed = 1000

// todoSQL is what a workflow has to do: undecided lines, revocations, e-mails that are not a line's first. What the
// relay is about to start or wake may be without one (relayed), and so may an e-mail that a person has seen to by
// closing its alert.
var todoSQL = `
	SELECT 'line' AS kind, CAST(l.fulfillment_id AS text) AS id, '' AS source, l.order_id, CAST(l.id AS text) AS line_id,
		l.status AS what,
		l.wake_at IS NOT NULL OR EXISTS (SELECT FROM outbox b WHERE b.workflow = 'CancelLineItem'
			AND b.subject = CAST(l.fulfillment_id AS text)) AS relayed
	FROM line_items l
	WHERE l.status NOT IN ('DELIVERED', 'CANCELED')
	UNION ALL
	SELECT 'revocation', CAST(l.fulfillment_id AS text), v.source, l.order_id, CAST(l.id AS text), 'owed a revocation at ' || v.source,
		EXISTS (SELECT FROM outbox b WHERE b.workflow = 'CancelAtPartner' AND b.subject = l.fulfillment_id || '/' || v.source)
	FROM revocations v JOIN line_items l ON l.id = v.line_id
	WHERE v.status = 'OWED'
	UNION ALL
	SELECT 'letter', CAST(d.id AS text), '', l.order_id, CAST(l.id AS text), 'owed an e-mail',
		EXISTS (SELECT FROM outbox b WHERE b.workflow = 'SendFollowUpEmail' AND b.subject = CAST(d.id AS text))
			OR EXISTS (SELECT FROM alerts a WHERE a.line_id = d.line_id AND a.cause = '` + string(keyturn.AlertUndelivered) + `'
				AND a.closed_by IS NOT NULL AND a.closed_at > d.created_at)
	FROM deliveries d JOIN line_items l ON l.id = d.line_id
	WHERE d.status <> 'SENT' AND d.message <> '' AND (d.kind = 'canceled' OR l.status = 'DELIVERED')
		AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = d.line_id AND n.kind = d.kind AND n.number > d.number)
	UNION ALL
	SELECT 'payment', CAST(p.id AS text), '', coalesce(p.order_id, ''), '', 'a payment that is ' || p.status,
		p.ended_at IS NOT NULL AND NOT EXISTS (
				SELECT FROM payment_mails m WHERE m.payment_id = p.id AND m.due_at IS NOT NULL)
				AND NOT EXISTS (SELECT FROM payment_refunds r WHERE r.payment_id = p.id AND r.status = 'PENDING')
			OR EXISTS (SELECT FROM outbox b WHERE b.workflow = 'SettlePayment' AND b.subject = CAST(p.id AS text))
	FROM payments p
	WHERE p.ended_at IS NULL OR p.ended_at > now() - make_interval(secs => ` + // its workflow's last timer has yet to fire
	strconv.Itoa(int((db.LooksWithin+3*time.Minute)/time.Second)) + `)
		OR EXISTS (SELECT FROM payment_refunds r WHERE r.payment_id = p.id AND r.status = 'PENDING')
		OR EXISTS (SELECT FROM payment_mails m WHERE m.payment_id = p.id AND m.due_at IS NOT NULL)`

type todo struct {
	Kind    string `db:"kind"`
	ID      string `db:"id"`
	Source  string `db:"source"`
	OrderID string `db:"order_id"`
	LineID  string `db:"line_id"` // empty of a payment
	What    string `db:"what"`
	Relayed bool   `db:"relayed"`
}

func (t todo) workflows() []string {
	switch t.Kind {
	case "line":
		return []string{workflows.LineWorkflowID(t.ID), workflows.CancelWorkflowID(t.ID)}
	case "revocation":
		return []string{workflows.RevokeWorkflowID(t.ID + "/" + t.Source)}
	case "payment":
		return []string{workflows.PaymentWorkflowID(t.ID)}
	}
	return []string{workflows.SendWorkflowID(t.ID)}
}

// findWorkflowSuspects compares what is to be done with the workflows that run.
func (r *run) findWorkflowSuspects(ctx context.Context) error {
	if r.Temporal == nil {
		return nil
	}
	todos, err := r.todos(ctx, r.s)
	if err != nil {
		return err
	}
	running := make(map[string]bool, len(r.open))
	for _, w := range r.open {
		running[w.ID] = true
	}
	wanted := map[string]bool{}
	for _, t := range todos {
		ids, runs := t.workflows(), false
		for _, id := range ids {
			wanted[id] = true
			runs = runs || running[id]
		}
		if !runs && !t.Relayed {
			r.suspects = append(r.suspects, suspect{id: "A5", workflows: ids, todo: t, v: Violation{
				OrderID: t.OrderID, LineID: t.LineID, Subject: ids[0], What: "it is " + t.What +
					", and neither a workflow nor the relay sees to it",
			}})
		}
	}
	for _, w := range r.open {
		if why := r.idle(w, wanted); why != "" {
			r.suspects = append(r.suspects, suspect{id: "F6", workflows: []string{w.ID}, v: Violation{Subject: w.ID, What: why}})
		}
	}
	return nil
}

func (r *run) todos(ctx context.Context, s *pg.Snapshot) (todos []todo, err error) {
	err = s.Select(ctx, &todos, todoSQL, nil)
	return todos, err
}

// idle says why a running workflow should not run. One that has just been started, or whose last step has just been
// made, is given time.
func (r *run) idle(w OpenWorkflow, wanted map[string]bool) string {
	_, id, ours := cutPrefixes(w.ID, "fulfillment-", "cancel-", "revoke-", "delivery-",
		"payment-")
	if !ours {
		return "" // a schedule's, or another program's
	}
	if len(id) >= 36 {
		id = id[:36]
	}
	if _, err := uuid.Parse(id); err != nil {
		return "its ID is none of ours"
	}
	if wanted[w.ID] || r.seen.Sub(w.Started) < r.Slack {
		return ""
	}
	return "it runs, and there is nothing left to do"
}

func cutPrefixes(text string, prefixes ...string) (prefix, rest string, found bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return p, rest, true
		}
	}
	return "", text, false
}

// confirmWorkflowSuspects asks Temporal about each suspect, and then the database again: what was done in between is no
// violation, because a line's last step is committed before its workflow ends, and a workflow's start before its line's
// first step.
func (r *run) confirmWorkflowSuspects(ctx context.Context) error {
	if len(r.suspects) == 0 {
		return nil
	}
	var confirmed []suspect
	deadline := time.Now().Add(min(r.Slack, endingTime))
	for i, s := range r.suspects {
		if i >= maxConfirmed {
			confirmed = append(confirmed, r.suspects[i:]...)
			break
		}
		runs, err := r.anyRuns(ctx, s.workflows)
		for runs && s.id == "F6" && err == nil && time.Now().Before(deadline) {
			time.Sleep(endingTime / 20)
			runs, err = r.anyRuns(ctx, s.workflows)
		}
		if err != nil {
			return err
		}
		if runs == (s.id == "F6") {
			confirmed = append(confirmed, s)
		}
	}
	if len(confirmed) == 0 {
		return nil
	}
	return r.DB.Snapshot(ctx, func(snap *pg.Snapshot) error {
		todos, err := r.todos(ctx, snap)
		if err != nil {
			return err
		}
		wanted, unseen := map[string]bool{}, map[string]bool{}
		for _, t := range todos {
			for _, id := range t.workflows() {
				wanted[id], unseen[id] = true, !t.Relayed
			}
		}
		for _, s := range confirmed {
			if s.id == "A5" && unseen[s.workflows[0]] || s.id == "F6" && !wanted[s.workflows[0]] {
				r.found(s.id, s.v)
				r.report.unattended(s)
			}
		}
		return nil
	})
}

// unattended notes what Repair can set going.
func (r *Report) unattended(s suspect) {
	switch s.todo.Kind {
	case "line":
		r.unattendedLines = append(r.unattendedLines, s.todo.LineID)
	case "revocation":
		r.unattendedErrands = append(r.unattendedErrands, db.Errand{Workflow: db.WorkflowRevoke, Subject: s.todo.ID + "/" +
			s.todo.Source})
	case "letter":
		r.unattendedErrands = append(r.unattendedErrands, db.Errand{Workflow: db.WorkflowSend, Subject: s.todo.ID})
	case "payment":
		r.unattendedErrands = append(r.unattendedErrands, db.Errand{Workflow: db.WorkflowPayment, Subject: s.todo.ID})
	}
}

// endingTime is how long a workflow may take to end after its last step was committed.
const endingTime = 10 * time.Second

func (r *run) anyRuns(ctx context.Context, ids []string) (bool, error) {
	for _, id := range ids {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		runs, err := r.Temporal.Running(ctx, id)
		cancel()
		if runs || err != nil {
			return runs, err
		}
	}
	return false, nil
}
