package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Due is something that the relay has to start or wake.
type Due struct {
	// of the outbox: WorkflowRevoke, WorkflowSend, WorkflowCancel, WorkflowLicense and such; "" for a line's own workflow
	Workflow string
	Subject  string // of the outbox
	Start    Start  // of a line
	Status   keyturn.LineStatus
	Called   bool // its turn at its partner has come: it sleeps between two attempts of its call

	lease    time.Time // until when it is the relay's that took it
	position int       // of the outbox: of the last line of the order that had its turn
}

// relayLease is how long a due thing belongs to the relay that took it: if that one dies, another takes it then.
const relayLease = 15 * time.Second

// TakeDue gives the relay what is due, lines and outbox, and keeps others from it for a while. Done ends it. A line
// that cannot be read keeps no other waiting: what is due is there along with the error.
func (d *DB) TakeDue(ctx context.Context, limit int) ([]Due, error) {
	var due []Due
	var unread error
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var err error
		if due, unread, err = selectDue(ctx, tx, `
			WITH due AS MATERIALIZED (
				SELECT id FROM line_items WHERE wake_at <= now() ORDER BY wake_at LIMIT $1 FOR UPDATE SKIP LOCKED
			), taken AS (
				UPDATE line_items l SET wake_at = now() + make_interval(secs => $2) FROM due WHERE l.id = due.id RETURNING l.*
			)
			SELECT`+lineColumns+`, EXISTS (SELECT FROM partner_queue q WHERE q.line_id = l.id) AS called FROM taken l
				JOIN orders o ON o.id = l.order_id JOIN products p ON p.id = l.product_id`+joinPayment,
			limit, relayLease.Seconds()); err != nil {
			return err
		}
		var rows []struct {
			Workflow string    `db:"workflow"`
			Subject  string    `db:"subject"`
			DueAt    time.Time `db:"due_at"`
			Position int       `db:"position"`
		}
		err = tx.SelectContext(ctx, &rows, `
			WITH due AS MATERIALIZED (
				SELECT id FROM outbox WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
			)
			UPDATE outbox o SET due_at = now() + make_interval(secs => $2), tries = tries + 1 FROM due WHERE o.id = due.id
				RETURNING o.workflow, o.subject, o.due_at, o.position`,
			limit, relayLease.Seconds())
		for _, r := range rows {
			due = append(due, Due{Workflow: r.Workflow, Subject: r.Subject, lease: r.DueAt, position: r.Position})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return due, unread
}

// selectDue reads lines that a statement has taken. unread tells of those that cannot be read, and are taken too.
func selectDue(ctx context.Context, tx *sqlx.Tx, query string, args ...any) (due []Due, unread, err error) {
	var lines []struct {
		line
		Called bool `db:"called"`
	}
	if err := tx.SelectContext(ctx, &lines, query, args...); err != nil {
		return nil, nil, err
	}
	due = make([]Due, 0, len(lines))
	for i := range lines {
		l := &lines[i].line
		if err := l.derive(); err != nil {
			unread = errors.Join(unread, fmt.Errorf("fulfillment %s: %w", l.FulfillmentID, err))
			continue
		}
		x := Due{Status: l.Status, Called: lines[i].Called, Start: l.start()}
		if l.WakeAt != nil {
			x.lease = *l.WakeAt
		}
		due = append(due, x)
	}
	return due, unread, nil
}

// RelayDone ends what was started or woken: lines by fulfillment, outbox entries by workflow and subject. What became
// due once more in the meantime stays, and so does what another relay has taken since.
func (d *DB) RelayDone(ctx context.Context, done []Due) error {
	var fulfillments, lineLeases, workflows, subjects, leases []string
	for _, x := range done {
		if x.Workflow == "" {
			fulfillments = append(fulfillments, x.Start.FulfillmentID)
			lineLeases = append(lineLeases, x.lease.Format(time.RFC3339Nano))
		} else {
			workflows, subjects, leases = append(workflows, x.Workflow), append(subjects, x.Subject),
				append(leases, x.lease.Format(time.RFC3339Nano))
		}
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if len(fulfillments) > 0 {
			if _, err := tx.ExecContext(ctx, `
				UPDATE line_items l SET wake_at = NULL
				FROM unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[])) AS t (fulfillment_id, lease)
				WHERE l.fulfillment_id = t.fulfillment_id AND l.wake_at = t.lease`,
				pq.Array(fulfillments), pq.Array(lineLeases)); err != nil {
				return err
			}
		}
		if len(subjects) == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `
			DELETE FROM outbox o USING unnest(CAST($1 AS text[]), CAST($2 AS text[]), CAST($3 AS timestamptz[])) AS t (workflow,
				subject, lease)
			WHERE o.workflow = t.workflow AND o.subject = t.subject
				AND o.due_at = t.lease`, pq.Array(workflows), pq.Array(subjects), pq.Array(leases))
		return err
	})
}

// WakeForgotten has the relay wake the undecided lines of orders in trouble that should have been tried long ago: their
// workflow was terminated, or Temporal lost it. It returns how many there were.
func (d *DB) WakeForgotten(ctx context.Context, overdue time.Duration) (int, error) {
	n := 0
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		err := tx.SelectContext(ctx, &ids, `
			WITH forgotten AS MATERIALIZED (
				SELECT l.id FROM orders o JOIN line_items l ON l.order_id = o.id
				WHERE o.status IN ('PARTIAL_COMPLETED', 'CANCEL_PENDING') AND l.status IN ('RETRYING', 'WAITING_FOR_STOCK', 'HELD',
					'CANCELING')
					AND NOT (l.status = 'CANCELING' AND o.payment_provider = 'manual') AND l.wake_at IS NULL
					AND CASE WHEN l.next_attempt_at > now() AND l.status <> 'CANCELING'
						THEN least(l.next_attempt_at, l.give_up_at)
						ELSE coalesce(l.next_attempt_at, l.give_up_at) END < now() - make_interval(secs => $1)
				LIMIT 200
				FOR UPDATE OF l SKIP LOCKED
			)
			UPDATE line_items l SET wake_at = now(), next_attempt_at = now() FROM forgotten f WHERE l.id = f.id
				RETURNING l.id`, overdue.Seconds())
		n = len(ids)
		return err
	})
	return n, err
}

// enqueue has the relay start a workflow once this transaction is committed. An entry that the relay works on at this
// moment becomes due again: what it started may have looked before this transaction was committed.
func enqueue(ctx context.Context, tx *sqlx.Tx, workflow, subject string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO outbox (workflow, subject) VALUES ($1, $2)
		ON CONFLICT (workflow, subject) DO UPDATE SET due_at = excluded.due_at, tries = 0, position = 0`, workflow, subject)
	return err
}

// StartOfOpen is what it takes to start the workflow of a line that is open. KindNotFound; KindConflict when the line
// is decided.
func (d *DB) StartOfOpen(ctx context.Context, fulfillmentID string) (s Start, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if !l.Status.Open() {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: there is nothing left to decide", l.Status)
		}
		s = l.start()
		return nil
	})
	return s, err
}

// StartOf says what a workflow for this fulfillment needs to know.
func (d *DB) StartOf(ctx context.Context, fulfillmentID string) (Start, error) {
	var s Start
	err := d.pg.GetContext(ctx, &s,
		`SELECT fulfillment_id, id AS line_id, order_id, product_id FROM line_items WHERE fulfillment_id = $1`, fulfillmentID)
	return s, pg.NotFound(err, "there is no fulfillment %s", fulfillmentID)
}
