package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// SendLease is how long a process that sends an event has it to itself: longer than a request may take.
const SendLease = 30 * time.Second

// DueWebhooks are the IDs of webhooks that have something to send now. They begin with those whose events are due
// longest.
func (d *DB) DueWebhooks(ctx context.Context) ([]string, error) {
	var ids []string
	//keyturn:autocommit it reads
	err := d.pg.SelectContext(ctx, &ids, `
		SELECT w.id FROM webhooks w, LATERAL (
			SELECT next_at FROM event_deliveries d WHERE d.webhook = w.id AND d.next_at <= now()
			ORDER BY next_at LIMIT 1) due
		WHERE w.called AND w.off_at IS NULL AND (w.next_try_at IS NULL OR w.next_try_at <= now())
			AND (w.probe_until IS NULL OR w.probe_until <= now())
		ORDER BY due.next_at`)
	return ids, pg.AsKind(err)
}

// Sending is what a process has taken to send to one webhook.
type Sending struct {
	Webhook keyturn.Webhook // with its secrets
	Version int64           // stands for this content for ever
	// Keys sign each request, the current one first.
	Keys   []string
	Events []SendingEvent
}

// SendingEvent is an event that a process has taken to send. It is the process's own until its lease ends.
type SendingEvent struct {
	ID       int64  `db:"id"` // of the delivery
	Event    int64  `db:"event_id"`
	PublicID string `db:"public_id"` // a UUID: receivers know the event as evt_ and this
	Body     string `db:"sent"`
	Try      int    `db:"attempts"`
	// Same is false if an earlier try has sent other bytes: then it must not be sent.
	Same bool `db:"same"`
}

// webhookRow is a webhook as it is locked to send to it.
type webhookRow struct {
	Version       int64     `db:"version"`
	Spec          string    `db:"spec"`
	Secrets       []byte    `db:"secrets"`
	MaxConcurrent int       `db:"max_concurrent"`
	Opened        bool      `db:"opened"`
	Blocked       bool      `db:"blocked"`
	Running       int       `db:"running"`
	Now           time.Time `db:"now"`
}

// room is how many requests may go out now.
func (w webhookRow) room() int {
	switch {
	case w.Blocked:
		return 0
	case w.Opened: // a probe
		return 1
	}
	return max(w.MaxConcurrent-w.Running, 0)
}

// TakeEvents takes events that are due to be sent to a webhook, at most limit, and at most as many as the webhook
// allows at the same time over all workers. While its breaker is open, one goes out at a time. Another process that
// asks at the same time gets others. KindConfiguration when the webhook's secrets do not open, which is alerted.
func (d *DB) TakeEvents(ctx context.Context, id string, limit int) (s Sending, err error) {
	s, err = d.takeEvents(ctx, id, limit)
	if keyturn.KindOf(err) == keyturn.KindConfiguration {
		err = errors.Join(err, d.alertSealed(ctx, id))
	}
	return s, err
}

func (d *DB) takeEvents(ctx context.Context, id string, limit int) (s Sending, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		s = Sending{}
		var w webhookRow
		err := tx.GetContext(ctx, &w, `
			SELECT version, spec, secrets, max_concurrent, opened_at IS NOT NULL AS opened,
				coalesce(next_try_at > clock_timestamp(), false) OR coalesce(probe_until > clock_timestamp(), false) AS blocked,
				(SELECT count(*) FROM event_deliveries d WHERE d.webhook = w.id AND d.lease_until > now()) AS running,
				clock_timestamp() AS now
			FROM webhooks w WHERE id = $1 AND called AND off_at IS NULL FOR NO KEY UPDATE`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		room := min(w.room(), limit)
		if room == 0 {
			return nil
		}
		if err := d.readSending(id, w, &s); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &s.Events, takeEventsSQL, id, room, SendLease.Seconds()); err != nil ||
			!w.Opened || len(s.Events) == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE webhooks SET probe_until = clock_timestamp() + make_interval(secs => $2) WHERE id = $1`, id,
			SendLease.Seconds())
		return err
	})
	return s, err
}

// eventBodySQL is the body that a delivery sends.
const eventBodySQL = `CASE WHEN d.replay > 0 THEN '{"replay":true,' || substr(e.body, 2) ELSE e.body END`

// takeEventsSQL names what it takes as an array: a join with a table of unknown length reads all that is due to
// anybody.
const takeEventsSQL = `
	WITH due AS MATERIALIZED (
		SELECT id FROM event_deliveries WHERE webhook = $1 AND next_at <= now()
		ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
	), taken AS (
		UPDATE event_deliveries d SET attempts = attempts + 1, tried_at = clock_timestamp(),
			lease_until = clock_timestamp() + make_interval(secs => $3),
			next_at = clock_timestamp() + make_interval(secs => $3),
			digest = coalesce(d.digest, sha256(convert_to(` + eventBodySQL + `, 'UTF8')))
		FROM events e WHERE d.id = ANY(ARRAY(SELECT id FROM due)) AND e.id = d.event_id
		RETURNING d.id, d.event_id, e.public_id, ` + eventBodySQL + ` AS sent, d.attempts, d.digest
	)
	SELECT id, event_id, public_id, sent, attempts, digest = sha256(convert_to(sent, 'UTF8')) AS same FROM taken
	ORDER BY id`

// readSending reads a locked webhook with its secrets.
func (d *DB) readSending(id string, w webhookRow, s *Sending) error {
	if err := json.Unmarshal([]byte(w.Spec), &s.Webhook); err != nil {
		return err
	}
	secrets, err := d.openWebhook(id, w.Secrets)
	if err != nil {
		return err
	}
	s.Version = w.Version
	s.Webhook.Secrets(func(at string, ref *keyturn.SecretRef) { *ref = keyturn.SecretRef{Value: secrets.Values[at]} })
	s.Keys = secrets.keys(w.Now)
	return nil
}

// alertSealed alerts that a webhook is sent nothing because its secrets do not open.
func (d *DB) alertSealed(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		return openAlertOf(ctx, tx, webhookSubject(id), keyturn.AlertWebhookFailing, AlertDetail{
			Happened: "webhook " + id + " is sent nothing: its secrets do not open with the workers' key file",
		})
	})
}

// keys are the secrets that a request is signed with.
func (s webhookSecrets) keys(now time.Time) []string {
	keys := []string{s.Values[signingSecret]}
	if s.Previous != "" && now.Before(s.Until) {
		keys = append(keys, s.Previous)
	}
	return keys
}
