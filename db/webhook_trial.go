package db

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// BeginWebhookTest writes a webhook.test event for one webhook alone, and takes it to send. It is sent once.
// KindNotFound; KindConflict for a webhook without an address.
func (d *DB) BeginWebhookTest(ctx context.Context, id string) (s Sending, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		s = Sending{}
		w, _, err := d.webhookSecrets(ctx, tx, id)
		if err != nil {
			return err
		}
		if w.URL == "" {
			return errNoReceiver(id)
		}
		var row webhookRow
		if err := tx.GetContext(ctx, &row,
			`SELECT version, spec, secrets, clock_timestamp() AS now FROM webhooks WHERE id = $1 FOR NO KEY UPDATE`,
			id); err != nil {
			return err
		}
		if err := d.readSending(id, row, &s); err != nil {
			return err
		}
		facts, err := json.Marshal(stepFacts{Webhook: id})
		if err != nil {
			return err
		}
		event := eventRow{Type: keyturn.EventWebhookTest, About: id, Facts: string(facts)}
		// its number comes after all that others have given, and before all that they will give
		if err := tx.GetContext(ctx, &event.CreatedAt, `
			SELECT clock_timestamp() FROM pg_advisory_xact_lock(hashtextextended('events', 0))`); err != nil {
			return err
		}
		body, err := eventFacts{steps: map[int64]stepFacts{0: {Webhook: id}}}.body(event)
		if err != nil {
			return err
		}
		return tx.SelectContext(ctx, &s.Events, `
			WITH event AS (
				INSERT INTO events (type, about, facts, created_at, number, public_id, body)
				SELECT $1, $2, $3, $4, greatest(coalesce(max(number), 0) + 1,
					CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)), CAST($5 AS uuid), $6 FROM events
				RETURNING id, public_id, body
			), taken AS (
				INSERT INTO event_deliveries (event_id, webhook, attempts, tried_at, next_at, lease_until, digest)
				SELECT id, $2, $7, clock_timestamp(), clock_timestamp() + make_interval(secs => $8),
					clock_timestamp() + make_interval(secs => $8), sha256(convert_to(body, 'UTF8')) FROM event
				RETURNING id, event_id, attempts
			)
			SELECT t.id, t.event_id, e.public_id, e.body AS sent, t.attempts, true AS same FROM taken t, event e`,
			event.Type, id, event.Facts, event.CreatedAt, newID(), body, len(SendSchedule), SendLease.Seconds())
	})
	return s, err
}

// SwitchWebhookOn ends that Keyturn sends nothing to a webhook, after a test that succeeded. Idempotent.
func (d *DB) SwitchWebhookOn(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			UPDATE webhooks SET off_at = NULL, off_why = NULL, failing = '{}', opened_at = NULL, probes = 0,
				probe_until = NULL, next_try_at = NULL, failing_since = NULL, failing_days = 0, failed_on = NULL,
				updated_at = now() -- the audit expects events from here on
			WHERE id = $1 AND (off_at IS NOT NULL OR failing_since IS NOT NULL)`, id); err != nil {
			return err
		}
		return closeAlertOf(ctx, tx, webhookSubject(id), keyturn.AlertWebhookFailing)
	})
}

// RotateWebhook gives a webhook a new signing secret. For a day requests are signed with both. KindNotFound;
// KindConflict for a webhook without an address.
func (d *DB) RotateWebhook(ctx context.Context, id string) (out keyturn.WebhookSecret, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "webhooks", id); err != nil {
			return err
		}
		w, secrets, err := d.webhookSecrets(ctx, tx, id)
		if err != nil {
			return err
		}
		if w.URL == "" {
			return errNoReceiver(id)
		}
		now, err := clockIn(ctx, tx)
		if err != nil {
			return err
		}
		out = keyturn.WebhookSecret{Secret: keyturn.NewWebhookSecret(), BothUntil: now.Add(rotationTime).UTC()}
		secrets.Previous, secrets.Until = secrets.Values[signingSecret], out.BothUntil
		secrets.Values[signingSecret] = out.Secret
		sealed, err := d.sealWebhook(id, secrets)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE webhooks SET secrets = $2, version = nextval('integration_versions'),
			updated_at = now() WHERE id = $1`, id, sealed)
		return err
	})
	return out, err
}
