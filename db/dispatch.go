package db

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// waitInQueue puts the line into its partner's queue, ordered by the time of its order, and has it ask again after
// wait, or when its source's time ends, if that comes first. A line that waits for its turn is not in trouble, and
// nothing else changes. A line whose partner is down is in trouble although it was not called, because its customer
// waits; the alert of the outage stands for all of them. A line whose source has no time left does not wait: it goes on
// to its next source, or is given up.
func (d *DB) waitInQueue(ctx context.Context, tx *sqlx.Tx, l *line, g admission, wait time.Duration) (time.Duration,
	error,
) {
	end := l.sourceDeadline()
	f := keyturn.Failure{Kind: keyturn.KindUnavailable, Message: l.source().Name() +
		" is down: the line waits until it is back"}
	if !g.open() {
		f = keyturn.Failure{Kind: keyturn.KindRateLimited, Message: "its turn at " + l.source().Name() +
			" did not come in time"}
	}
	if !l.Now.Before(end) {
		if err := leaveQueue(ctx, tx, l); err != nil {
			return 0, err
		}
		l.WakeAt = nil
		return 0, d.fail(ctx, tx, l, StepFailure{Failure: f})
	}
	if wait >= sleepWhileDown {
		wait += rand.N(sleepWhileDown) //nolint:gosec // nobody gains by guessing it
	}
	due := minTime(l.Now.Add(wait), end)
	wait = due.Sub(l.Now)
	if err := queue(ctx, tx, l, due, false); err != nil {
		return 0, err
	}
	inTrouble := l.Status.InTrouble()
	if g.open() && !inTrouble {
		f.At = l.Now
		l.setFailure(f)
		l.Failures++
		l.Status = keyturn.LineRetrying
		if err := openLineAlert(ctx, tx, l, keyturn.AlertOf(f.Kind), f.Message); err != nil {
			return 0, err
		}
	}
	if !l.Status.InTrouble() && l.WakeAt == nil {
		return wait, nil
	}
	l.WakeAt = nil
	if l.Status.InTrouble() {
		l.NextAttemptAt = &due
	}
	return wait, l.save(ctx, tx, byWorkflow, string(f.Kind))
}

// queue gives the line its place among those that wait for the same partner: by the time of its order, and of a large
// order by its turn. A line that was dispatched and asks again soon is not dispatched meanwhile.
func queue(ctx context.Context, tx *sqlx.Tx, l *line, due time.Time, atOnce bool) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO partner_queue (line_id, integration, created_at, due_at, at_once)
		SELECT l.id, $2, `+placeSQL+`, $3, $4 FROM line_items l WHERE l.id = $1
		ON CONFLICT (line_id) DO UPDATE SET integration = excluded.integration, due_at = excluded.due_at,
			at_once = partner_queue.at_once OR excluded.at_once,
			called_at = CASE WHEN excluded.due_at < now() + make_interval(secs => $5) THEN partner_queue.called_at END`,
		l.ID, l.source().Integration, due, atOnce, redispatchAfter.Seconds())
	return err
}

// placeSQL is by what lines wait in the order in which they are to call. A line of a later turn waits as if it had been
// ordered a second later for each line before it: a small order that comes after a large one does not wait for all of
// it, and the large one's last lines do not wait for all small ones.
var placeSQL = `l.created_at + ` + unlessTurnSQL("l.position")

func leaveQueue(ctx context.Context, tx *sqlx.Tx, l *line) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM partner_queue WHERE line_id = $1`, l.ID)
	return err
}

// takePlace has the line leave the queue because it calls. asleep: another run of its activity has this place and has
// not been dispatched; its worker froze, or was cut off, and this is the run before, which nobody waits for any more.
func takePlace(ctx context.Context, tx *sqlx.Tx, l *line) (asleep bool, err error) {
	var left []bool
	err = tx.SelectContext(ctx, &left, `
		DELETE FROM partner_queue WHERE line_id = $1
		RETURNING called_at IS NULL AND due_at > now() + make_interval(secs => $2)`, l.ID, arrivesWithin.Seconds())
	return len(left) > 0 && left[0], err
}

// dispatchHorizon is about how long a line takes to reach its partner once it is dispatched: Temporal looks that far
// ahead for what it wakes. As many lines are dispatched as can call within it.
const dispatchHorizon = 1200 * time.Millisecond

// slowStart is the dispatch window for a partner with no recent calls.
const slowStart = 4

// dispatchSlice is the time over which lines are dispatched evenly: no more than the partner takes in it. Lines that
// are dispatched at once arrive at once, and the machine does nothing else at that moment.
const dispatchSlice = 100 * time.Millisecond

// A dispatched line that has not arrived after arrivesWithin is not waited for any more, and is dispatched again after
// redispatchAfter. headSpare such lines at the head of a queue keep none behind them from being dispatched.
const (
	arrivesWithin   = 3 * time.Second
	redispatchAfter = 10 * time.Second
	headSpare       = 50
)

// DispatchWaiting takes the oldest lines of every partner's queue that may call now, for the caller to wake: as many as
// the partner takes at this moment, a few at a time, or one as a probe when a partner that is down is due for it. They
// are the caller's as those of TakeDue are, and RelayDone ends that. over is the time between the caller's calls. soon
// says that others may follow at once. Any number of processes may call; each partner is served by one at a time.
func (d *DB) DispatchWaiting(ctx context.Context, over time.Duration) (due []Due, soon bool, err error) {
	var partners []struct {
		ID   string `db:"id"`
		Spec string `db:"spec"`
	}
	if err := d.pg.SelectContext(ctx, &partners, `
		WITH RECURSIVE waiting AS (
			(SELECT integration FROM partner_queue ORDER BY integration LIMIT 1)
			UNION ALL
			SELECT (SELECT q.integration FROM partner_queue q WHERE q.integration > w.integration ORDER BY q.integration LIMIT 1)
			FROM waiting w WHERE w.integration IS NOT NULL
		)
		SELECT id, spec FROM integrations WHERE id IN (
			SELECT integration FROM waiting UNION SELECT integration FROM partner_gates WHERE opened_at IS NOT NULL
				AND NOT gathered)`); err != nil {
		return nil, false, pg.AsKind(err)
	}
	for _, p := range partners { // what is wrong with one holds up no other
		called, coming, wrong := d.dispatchPartner(ctx, p.ID, p.Spec, max(over, dispatchSlice))
		if pg.IsRetryable(wrong) { // its lines are at work, and nothing was dispatched: the next look is soon
			coming, wrong = true, nil
		}
		due, soon, err = append(due, called...), soon || coming, errors.Join(err, wrong)
	}
	return due, soon, err
}

func (d *DB) dispatchPartner(ctx context.Context, integration, spec string, over time.Duration) (due []Due, soon bool,
	err error,
) {
	var in keyturn.Integration
	if err := json.Unmarshal([]byte(spec), &in); err != nil {
		return nil, false, err
	}
	var unread error
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
		due, unread, soon, err = takeDispatchable(ctx, tx, integration, in.Limits.WithDefaults(), over)
		return err
	})
	if err != nil { // nothing was dispatched
		return nil, false, err
	}
	return due, soon, unread
}

// partnerLoad is what a partner is doing now, for the dispatch window.
type partnerLoad struct {
	Mine     bool `db:"mine"` // no other process dispatches its lines
	Open     bool `db:"open"`
	Quiet    bool `db:"quiet"` // nobody calls now
	Gathered bool `db:"gathered"`
	Recent   int  `db:"recent"` // as in admission
	Begun    int  `db:"begun"`  // calls that began within dispatchHorizon
}

// within is how many calls begin in a time.
func within(limits keyturn.Limits, d time.Duration) int {
	calls, in := limits.Rate()
	return int(math.Ceil(float64(calls) * float64(d) / float64(in)))
}

// window is how many lines may be on their way: what the rate allows, and no more than twice of what went lately,
// however much the rate allows. So a partner that has just come back is not run over, one that takes few at once has
// few come, and a machine that is slower than the partner has its own speed.
func (r partnerLoad) window(limits keyturn.Limits) int {
	calls, in := limits.Rate()
	switch {
	case r.Open:
		return 1
	case in > time.Second && r.Recent >= calls:
		return 0
	}
	return min(within(limits, dispatchHorizon), 2*r.Begun+slowStart)
}

func takeDispatchable(ctx context.Context, tx *sqlx.Tx, integration string, limits keyturn.Limits,
	over time.Duration,
) (due []Due, unread error, soon bool, err error) {
	var r partnerLoad
	_, hold := limits.Rate()
	if err := tx.GetContext(ctx, &r, `
		SELECT pg_try_advisory_xact_lock(hashtextextended('dispatch/' || $1, 0)) AS mine,
			coalesce(g.opened_at IS NOT NULL, false) AS open,
			coalesce(g.next_try_at > t.now OR g.probe_until > t.now, false) AS quiet, coalesce(g.gathered, true) AS gathered,
				c.recent, c.begun
		FROM (SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => $3) AS held,
			clock_timestamp() - make_interval(secs => $4) AS lately) t
		CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE a.ended_at IS NULL OR a.ended_at > t.held) AS recent,
				count(*) FILTER (WHERE a.started_at > t.lately) AS begun FROM (
				SELECT started_at, ended_at FROM attempts WHERE source = $2 AND outcome = 'running' AND deadline_at > t.held
				UNION ALL
				SELECT started_at, ended_at FROM attempts WHERE source = $2 AND ended_at > least(t.held, t.lately)) a) c
		LEFT JOIN partner_gates g ON g.integration = $1`,
		integration, partnerSource(integration), hold.Seconds(), dispatchHorizon.Seconds()); err != nil || !r.Mine {
		return nil, nil, false, err
	}
	if r.Open && !r.Gathered {
		if err := enqueueFailed(ctx, tx, integration); err != nil {
			return nil, nil, false, err
		}
	}
	if r.Quiet {
		return nil, nil, false, nil
	}
	ids, coming, err := dispatchable(ctx, tx, integration, r.window(limits), within(limits, over))
	if err != nil || len(ids) == 0 {
		return nil, nil, coming > 0, err
	}
	due, unread, err = takeDispatched(ctx, tx, ids)
	return due, unread, true, err
}

// dispatchable gives the lines to dispatch, and those that no longer belong in the queue; coming is how many of at most
// window have been dispatched and not arrived. At most atOnce are dispatched within a dispatchSlice.
func dispatchable(ctx context.Context, tx *sqlx.Tx, integration string, window, atOnce int) (ids []string, coming int,
	err error,
) {
	var rows []struct {
		ID           string `db:"id"`
		Waits        bool   `db:"waits"`
		Dispatchable bool   `db:"dispatchable"`
		Coming       bool   `db:"coming"`
		Lately       bool   `db:"lately"`
	}
	if err := tx.SelectContext(ctx, &rows, `
		WITH head AS MATERIALIZED (
			SELECT line_id, created_at, due_at, called_at FROM partner_queue WHERE integration = $1 ORDER BY created_at, line_id
				LIMIT $2
		)
		SELECT l.id, `+waitsInQueue+` AS waits,
			h.due_at < now() - make_interval(secs => $3)
				OR h.due_at > now() + interval '1 second' AND coalesce(h.called_at < now() - make_interval(secs => $3),
					true) AS dispatchable,
			coalesce(h.called_at > now() - make_interval(secs => $4), false) AS coming,
				coalesce(h.called_at > now() - make_interval(secs => $5), false) AS lately
		FROM head h JOIN line_items l ON l.id = h.line_id
		ORDER BY h.created_at, h.line_id`, integration, window+headSpare, redispatchAfter.Seconds(), arrivesWithin.Seconds(), dispatchSlice.Seconds()); err != nil {
		return nil, 0, err
	}
	lately := 0
	for _, row := range rows {
		if row.Coming {
			coming++
		}
		if row.Lately {
			lately++
		}
	}
	free := min(window-coming, atOnce-lately)
	for _, row := range rows {
		switch {
		case !row.Waits:
			ids = append(ids, row.ID)
		case row.Dispatchable && !row.Coming && free > 0:
			ids = append(ids, row.ID)
			free--
		}
	}
	return ids, coming, nil
}

const waitsInQueue = `l.status IN ('PENDING', 'RETRYING') AND l.obtained_at IS NULL`

// takeDispatched books that the lines are dispatched. It locks lines before queue entries, as every other transaction
// does, and skips a line that is locked: it is at work and comes by itself. Lines that no longer belong in the queue
// are woken, too: another attempt than the sleeping one has decided them, and their workflow should know.
func takeDispatched(ctx context.Context, tx *sqlx.Tx, ids []string) (due []Due, unread, err error) {
	return selectDue(ctx, tx, `
		WITH locked AS MATERIALIZED (
			SELECT l.id, `+waitsInQueue+` AS waits FROM line_items l WHERE l.id = ANY(CAST($1 AS uuid[])) FOR UPDATE SKIP LOCKED
		), gone AS (
			DELETE FROM partner_queue q USING locked l WHERE q.line_id = l.id AND NOT l.waits RETURNING q.line_id
		), called AS (
			UPDATE partner_queue q SET due_at = now(), called_at = now() FROM locked l WHERE q.line_id = l.id AND l.waits
				RETURNING q.line_id
		), taken AS (
			UPDATE line_items l SET wake_at = now() + make_interval(secs => $2), next_attempt_at = NULL FROM called c
				WHERE l.id = c.line_id RETURNING l.*
		)
		SELECT`+lineColumns+`, true AS called FROM (
			SELECT * FROM taken UNION ALL SELECT l.* FROM line_items l JOIN gone g ON g.line_id = l.id
		) l JOIN orders o ON o.id = l.order_id JOIN products p ON p.id = l.product_id`+joinPayment+`
		ORDER BY l.created_at, l.id`, pq.Array(ids), relayLease.Seconds())
}

// enqueueFailed puts the lines whose failures opened the breaker into the queue: they came first.
func enqueueFailed(ctx context.Context, tx *sqlx.Tx, integration string) error {
	_, err := tx.ExecContext(ctx, `
		WITH gathered AS (
			UPDATE partner_gates SET gathered = true WHERE integration = $1 RETURNING opened_at, failing
		), failed AS MATERIALIZED (
			SELECT DISTINCT a.line_id FROM gathered g JOIN attempts a ON a.source = $2
				AND a.ended_at > g.opened_at - interval '5 minutes'
			WHERE a.outcome IN ('failed', 'unknown') AND a.operation <> 'cancel'
		)
		INSERT INTO partner_queue (line_id, integration, created_at, due_at)
		SELECT l.id, $1, `+placeSQL+`, coalesce(l.next_attempt_at, now() + interval '5 minutes')
		FROM failed f JOIN line_items l ON l.id = f.line_id
		WHERE l.status = 'RETRYING' AND l.obtained_at IS NULL
		ON CONFLICT (line_id) DO NOTHING`, integration, partnerSource(integration))
	return err
}
