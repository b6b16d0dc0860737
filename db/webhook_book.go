package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// SendSchedule are the times that pass before each try to send an event, each 10 % shorter or longer; after the last
// try it is given up.
var SendSchedule = []time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
	20 * time.Hour, 24 * time.Hour,
}

// A webhook is switched off when tries were made on so many days without a success, the first of them so long ago.
const (
	offAfterDays = 5
	offAfter     = offAfterDays * day
)

// SendResult is what became of a try to send an event.
type SendResult struct {
	Webhook  string
	Event    SendingEvent
	Status   int          // of HTTP; 0: there was no answer
	Failed   keyturn.Kind // empty: the receiver took it
	Gone     bool         // the receiver wants nothing any more
	Reply    string       // redacted and cut
	Duration time.Duration
	// RetryAfter is what the receiver asked for; it can lengthen the schedule, not shorten it.
	RetryAfter time.Duration
}

// BookSent books a try to send an event, and what it says about the receiver. A try that is no longer the process's
// own, because its lease ended and another one was made, changes nothing.
func (d *DB) BookSent(ctx context.Context, r SendResult) error {
	status, next := string(keyturn.EventDelivered), sql.NullFloat64{}
	if r.Failed != "" {
		status = string(keyturn.EventFailed)
		if r.Event.Try < len(SendSchedule) {
			status = string(keyturn.EventPending)
			wait := max(jitter(SendSchedule[r.Event.Try]), min(r.RetryAfter, maxRetryAfter))
			next = sql.NullFloat64{Float64: wait.Seconds(), Valid: true}
		}
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		reply, err := replyKept(ctx, tx, r)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			UPDATE event_deliveries SET status = $3, lease_until = NULL,
				next_at = clock_timestamp() + make_interval(secs => $4),
				done_at = CASE WHEN $3 <> 'PENDING' THEN clock_timestamp() END,
				http_status = nullif($5, 0), error_kind = nullif($6, ''), reply = nullif($7, ''), duration_ms = $8
			WHERE id = $1 AND attempts = $2 AND status = 'PENDING' AND lease_until IS NOT NULL`,
			r.Event.ID, r.Event.Try, status, next, r.Status, string(r.Failed), reply, r.Duration.Milliseconds())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return bookReceiver(ctx, tx, r)
	})
}

// buyerErasedSQL says of whoever an event is about whether they were erased. It waits for an erasure that is under way,
// and an erasure waits for it.
const buyerErasedSQL = `
	SELECT coalesce(b.since <= c.erased_at, false) FROM (
		SELECT o.customer_id, o.created_at AS since FROM events e JOIN orders o ON o.id = e.about WHERE e.id = $1
		UNION ALL
		SELECT k.customer_id, k.created_at FROM events e JOIN checkout_links k ON k.id = coalesce(
			CAST(e.facts AS json) ->> 'link',
			(SELECT p.link_id FROM payments p WHERE p.id = CAST(CAST(e.facts AS json) ->> 'payment' AS uuid)))
		WHERE e.id = $1
	) b JOIN customers c ON c.id = b.customer_id FOR KEY SHARE OF c`

// replyKept is what is kept of a receiver's answer: nothing once the buyer is erased, of whom it may tell.
func replyKept(ctx context.Context, tx *sqlx.Tx, r SendResult) (string, error) {
	if r.Reply == "" {
		return "", nil
	}
	var erased []bool
	if err := tx.SelectContext(ctx, &erased, buyerErasedSQL, r.Event.Event); err != nil {
		return "", err
	}
	if slices.Contains(erased, true) {
		return "", nil
	}
	return r.Reply, nil
}

// jitter makes a time up to 10 % shorter or longer, so that what failed together is not tried together.
func jitter(d time.Duration) time.Duration {
	const spread = 0.1
	return time.Duration(float64(d) * (1 - spread + 2*spread*rand.Float64())) //nolint:gosec // spreads tries, keeps no secret
}

// receiverRow is what is remembered of a receiver that does not do well.
type receiverRow struct {
	Failing      pq.Int64Array `db:"failing"`
	OpenedAt     *time.Time    `db:"opened_at"`
	Probes       int           `db:"probes"`
	NextTryAt    *time.Time    `db:"next_try_at"`
	FailingSince *time.Time    `db:"failing_since"`
	FailingDays  int           `db:"failing_days"`
	FailedToday  bool          `db:"failed_today"`
	Now          time.Time     `db:"now"`
}

// bookReceiver books what a try says about its receiver. A success costs one update, of no row while it does well.
func bookReceiver(ctx context.Context, tx *sqlx.Tx, r SendResult) error {
	if r.Failed == "" {
		_, err := tx.ExecContext(ctx, `
			UPDATE webhooks SET failing = '{}', opened_at = NULL, probes = 0, probe_until = NULL, next_try_at = NULL,
				failing_since = NULL, failing_days = 0, failed_on = NULL
			WHERE id = $1 AND failing_since IS NOT NULL`, r.Webhook)
		return err
	}
	var w receiverRow
	err := tx.GetContext(ctx, &w, `
		SELECT failing, opened_at, probes, next_try_at, failing_since, failing_days,
			coalesce(failed_on = CAST(now() AS date), false) AS failed_today, clock_timestamp() AS now
		FROM webhooks WHERE id = $1 AND off_at IS NULL FOR NO KEY UPDATE`, r.Webhook)
	if errors.Is(err, sql.ErrNoRows) { // it was deleted or switched off
		return nil
	}
	if err != nil {
		return err
	}
	w.fail(r)
	if _, err := tx.ExecContext(ctx, `
		UPDATE webhooks SET failing = $2, opened_at = $3, probes = $4, next_try_at = $5, probe_until = NULL,
			failing_since = $6, failing_days = $7, failed_on = CAST(now() AS date)
		WHERE id = $1`, r.Webhook, w.Failing, w.OpenedAt, w.Probes, w.NextTryAt, w.FailingSince, w.FailingDays); err != nil {
		return err
	}
	switch {
	case r.Gone:
		return switchOff(ctx, tx, r.Webhook, "gone", "its receiver answered HTTP 410")
	case w.FailingDays >= offAfterDays && w.Now.Sub(*w.FailingSince) >= offAfter:
		return switchOff(ctx, tx, r.Webhook, "failing", fmt.Sprintf("its receiver has taken nothing since %s",
			w.FailingSince.UTC().Format("2006-01-02 15:04 MST")))
	}
	return nil
}

// fail counts a failed try. The breaker is a partner's: it opens when the tries of so many different events failed in a
// row.
func (w *receiverRow) fail(r SendResult) {
	if w.FailingSince == nil {
		w.FailingSince = &w.Now
	}
	if !w.FailedToday {
		w.FailingDays++
	}
	if !slices.Contains(w.Failing, r.Event.Event) && len(w.Failing) < breakerLines {
		w.Failing = append(w.Failing, r.Event.Event)
	}
	pause := time.Duration(0)
	if r.Status == statusTooMany || r.Status == statusUnavailable {
		pause = min(r.RetryAfter, maxPause)
	}
	switch {
	case w.OpenedAt == nil && len(w.Failing) == breakerLines:
		w.OpenedAt, w.Probes = &w.Now, 0
		pause = max(pause, probeFirst)
	case w.OpenedAt != nil:
		w.Probes++
		pause = max(pause, min(probeFirst<<min(w.Probes, 10), probeMost))
	}
	if until := w.Now.Add(pause); pause > 0 && !after(w.NextTryAt, until) {
		w.NextTryAt = &until
	}
}

// The answers of a receiver that asks for a pause, not for one event alone.
const (
	statusTooMany     = 429
	statusUnavailable = 503
)

// switchOff ends what is sent to a webhook until a test succeeds.
func switchOff(ctx context.Context, tx *sqlx.Tx, id, why, happened string) error {
	if _, err := tx.ExecContext(ctx, `UPDATE webhooks SET off_at = clock_timestamp(), off_why = $2 WHERE id = $1`, id,
		why); err != nil {
		return err
	}
	return openAlertOf(ctx, tx, webhookSubject(id), keyturn.AlertWebhookFailing, AlertDetail{
		Happened: fmt.Sprintf("webhook %s is switched off: %s", id, happened),
	})
}
