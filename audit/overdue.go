package audit

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// overdueProbes look for work that should be over by now. It is overdue when it was due more than :slack ago.
var overdueProbes = []probe{
	{"F4", refundOverdueSQL},
	{"F5", relayOverdueSQL},
	{"F5", outboxOverdueSQL},
	{"F5", outboxStuckSQL},
	{"F5", sendingOverdueSQL},
	{"F5", runningOverdueSQL},
	{"F5", tryOverdueSQL},
	{"F5", holdOverdueSQL},
	{"F5", untriedSQL},
	{"F5", revocationUntriedSQL},
	{"F5", letterUntriedSQL},
	{"F5", paymentMailOverdueSQL},
	{"F5", libraryMailOverdueSQL},
	{"M2", addressOverdueSQL},
	{"F5", replacementOverdueSQL},
	{"F5", recallOverdueSQL},
}

// deadlineOverdueSQL takes the later one of the deadline that the line saw last and that of its product's policy of
// today: an edited policy takes effect at the line's next step.
const deadlineOverdueSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'it is ' || l.status || ' past its deadline' AS what
	FROM line_items l JOIN unnest(CAST(:products AS text[]), CAST(:seconds AS double precision[])) AS p (id,
		give_up_after) ON p.id = l.product_id
	WHERE l.status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED')
		AND coalesce(l.extended_until, greatest(l.give_up_at,
			l.created_at + make_interval(secs => p.give_up_after))) < now() - make_interval(secs => :slack)`

// refundOverdueSQL: a refund has no last attempt, but after a while operations must know of it. One that the provider
// has taken on may take days.
var refundOverdueSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject, 'its refund is pending and there is no open alert' AS what
	FROM refunds r
	WHERE r.status = 'PENDING' AND (r.under_way_since IS NULL
			OR r.under_way_since < now() - make_interval(secs => CAST(:slack AS double precision) + 1800 + ` +
	strconv.Itoa(int(db.RefundMost/time.Second)) + `)) AND (r.attempts > 0 OR r.provider = 'manual' AND r.amount_minor > 0)
		AND r.created_at < now() - make_interval(secs => CAST(:slack AS double precision) + 1800)
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = r.line_id AND a.cause IN (
			'` + string(keyturn.AlertRefund) + `', '` + string(keyturn.AlertManualRefund) + `')
			AND a.closed_at IS NULL)`

// relayOverdueSQL: the relay moves wake_at whenever it takes a line, so it does not tell of one that is never started.
// One further ahead is that of a line of a large order, whose turn is yet to come.
const relayOverdueSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'the relay should have started or woken its workflow' AS what
	FROM line_items l
	WHERE l.wake_at < now() - make_interval(secs => :slack)
		OR l.wake_at < now() + interval '1 minute' AND l.version = 1 AND NOT l.blocked
			AND l.created_at < now() - make_interval(secs => :slack)`

const outboxOverdueSQL = `
	SELECT NULL AS order_id, NULL AS line_id, b.workflow || ' ' || b.subject AS subject,
		'the relay should have started it' AS what
	FROM outbox b
	WHERE b.due_at < now() - make_interval(secs => :slack)`

// outboxStuckSQL: due_at moves whenever the relay takes the entry, so it does not tell of one that always fails.
var outboxStuckSQL = `
	SELECT NULL AS order_id, NULL AS line_id, b.workflow || ' ' || b.subject AS subject,
		'the relay has tried ' || b.tries || ' times in vain to start it' AS what
	FROM outbox b
	WHERE b.tries > ` + strconv.Itoa(db.RelayTries) + ` AND b.due_at < now() + interval '1 minute'`

const sendingOverdueSQL = `
	SELECT l.order_id, d.line_id, 'e-mail ' || d.id AS subject, 'it is being sent longer than its lease allows' AS what
	FROM deliveries d JOIN line_items l ON l.id = d.line_id
	WHERE d.status = 'SENDING' AND d.lease_until < now() - make_interval(secs => :slack)
		AND (:strict OR l.status IN ('OBTAINED', 'RETRYING', 'DELIVERED'))`

// runningOverdueSQL: a later attempt of the same call, or a decision, takes the place of one whose process died. The
// strict form wants that booked too.
const runningOverdueSQL = `
	SELECT l.order_id, a.line_id, a.source AS subject, 'attempt ' || a.no || ' is under way longer than it can be' AS what
	FROM attempts a JOIN line_items l ON l.id = a.line_id
	WHERE a.outcome = 'running' AND a.deadline_at < now() - make_interval(secs => :slack)
		AND (:strict OR (a.operation <> 'cancel' OR l.operation = 'cancel') AND l.status IN ('PENDING', 'RETRYING')
			AND l.obtained_at IS NULL
			AND coalesce(l.next_attempt_at, now()) < now() - make_interval(secs => :slack)
			AND NOT EXISTS (SELECT FROM attempts b WHERE b.line_id = a.line_id AND b.no > a.no))`

const tryOverdueSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' and its next attempt should have been made' AS what
	FROM line_items l
	WHERE l.status IN ('RETRYING', 'WAITING_FOR_STOCK') AND l.next_attempt_at < now() - make_interval(secs => :slack)
		AND NOT EXISTS (SELECT FROM attempts a WHERE a.line_id = l.id AND a.outcome = 'running'
			AND a.deadline_at >= now() - make_interval(secs => :slack))
		AND NOT EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.status = 'SENDING'
			AND d.lease_until >= now() - make_interval(secs => :slack))`

const holdOverdueSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'its hold should have ended' AS what
	FROM line_items l
	WHERE l.status = 'HELD' AND l.held_until < now() - make_interval(secs => :slack)`

// untriedSQL finds lines that began and then stood still: pool lines that were not served, e-mails that nobody sends,
// refunds that nobody asks for. Partners may have long queues, and people take their time: their lines have deadlines.
const untriedSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'it is ' || l.status || ' and nobody does anything for it' AS what
	FROM line_items l JOIN products p ON p.id = l.product_id
	WHERE l.wake_at IS NULL AND NOT l.blocked AND (
		l.status = 'PENDING' AND l.created_at < now() - make_interval(secs => :slack)
			AND CAST(p.spec AS json) -> 'sources' -> l.source_no ->> 'type' = 'pool'
		OR l.status = 'OBTAINED' AND l.obtained_at < now() - make_interval(secs => :slack)
			AND NOT EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.status = 'SENDING')
		OR l.status = 'CANCELING' AND EXISTS (
			SELECT FROM refunds r WHERE r.line_id = l.id AND r.attempts = 0 AND r.provider <> 'manual'
				AND r.created_at < now() - make_interval(secs => :slack)))`

const revocationUntriedSQL = `
	SELECT l.order_id, v.line_id, v.source AS subject, 'its partner should have been told to cancel' AS what
	FROM revocations v JOIN line_items l ON l.id = v.line_id
	WHERE v.status = 'OWED' AND v.attempts = 0 AND v.not_before < now() - make_interval(secs => :slack)`

// letterUntriedSQL looks at e-mails that are not a line's first: news of a refund, keys once more. They are tried for
// three days.
const letterUntriedSQL = `
	SELECT l.order_id, d.line_id, 'e-mail ' || d.id AS subject, 'nobody sends it' AS what
	FROM deliveries d JOIN line_items l ON l.id = d.line_id
	WHERE d.status = 'READY' AND d.message <> '' AND (d.kind = 'canceled' OR l.status = 'DELIVERED')
		AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = d.line_id AND n.kind = d.kind AND n.number > d.number)
		AND d.created_at < now() - make_interval(secs => CAST(:slack AS double precision) + CASE WHEN d.attempts = 0 THEN 0
			ELSE 73 * 3600 END)`

// paymentMailOverdueSQL: one that is being sent is due when its lease ends.
const paymentMailOverdueSQL = `
	SELECT p.order_id, NULL AS line_id, 'e-mail ' || m.id AS subject, 'nobody sends it' AS what
	FROM payment_mails m JOIN payments p ON p.id = m.payment_id
	WHERE m.due_at < now() - make_interval(secs => :slack)`

const libraryMailOverdueSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'e-mail ' || k.id AS subject, 'nobody sends it' AS what
	FROM library_links k
	WHERE k.due_at < now() - make_interval(secs => :slack)`

// addressOverdueSQL: a change is carried on for a minute after it was made, and after each report.
const addressOverdueSQL = `
	SELECT h.order_id, h.line_id, 'change ' || h.id AS subject,
		'nobody makes its e-mails anew for the address that it has by now' AS what
	FROM address_changes h
	WHERE h.carry_at < now() - make_interval(secs => CAST(:slack AS double precision) + 120)`

// replacementOverdueSQL finds customers who were promised another key that nobody gives them although there are some.
const replacementOverdueSQL = `
	WITH owed AS (
		SELECT r.line_id, r.pool_id, count(*) AS units, min(r.created_at) AS since, bool_or(r.failed_at IS NOT NULL) AS failed
		FROM replacements r WHERE r.status = 'OWED' GROUP BY r.line_id, r.pool_id
	)
	SELECT l.order_id, l.id AS line_id, 'pool ' || w.pool_id AS subject,
		'it is owed ' || w.units || ' keys instead of recalled ones, and '
			|| CASE WHEN w.failed THEN 'giving them fails' ELSE 'the pool has them' END AS what
	FROM owed w JOIN line_items l ON l.id = w.line_id
	WHERE l.status = 'DELIVERED' AND w.since < now() - make_interval(secs => :slack) AND (w.failed
		OR w.units <= (SELECT count(*) FROM (
		SELECT FROM pool_keys k
		WHERE k.pool_id = w.pool_id AND k.state = 'available' AND k.changed_at < now() - make_interval(secs => :slack)
			AND NOT EXISTS (SELECT FROM batches b WHERE b.id = k.batch_id AND b.recalled_to IS NOT NULL)
		LIMIT w.units) enough))`

const recallOverdueSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'import ' || b.id || ' of pool ' || b.pool_id AS subject,
		'its recall does not come to its end' AS what
	FROM batches b
	WHERE b.recalled_to IS NOT NULL AND b.recalled_at < now() - make_interval(secs => CAST(:slack AS double precision) + 3600)`

// checkDeadlines needs the products' policies, which only the code can read.
func (r *run) checkDeadlines(ctx context.Context) error {
	var rows []struct {
		ID   string `db:"id"`
		Spec string `db:"spec"`
	}
	if err := r.s.Select(ctx, &rows, `SELECT id, spec FROM products`, nil); err != nil {
		return err
	}
	products, seconds := make([]string, len(rows)), make([]float64, len(rows))
	for i, row := range rows {
		var p keyturn.Product
		if err := json.Unmarshal([]byte(row.Spec), &p); err != nil {
			return keyturn.Errorf(keyturn.KindInternal, "the stored product %s cannot be read: %w", row.ID, err)
		}
		products[i], seconds[i] = row.ID, time.Duration(p.WithDefaults().Retry.GiveUpAfter).Seconds()
	}
	return r.probe(ctx, probe{"F4", deadlineOverdueSQL},
		map[string]any{"products": pq.Array(products), "seconds": pq.Array(seconds)})
}
