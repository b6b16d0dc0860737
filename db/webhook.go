package db

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// rotationTime is how long requests are signed with the secret before the last one, too.
const rotationTime = 24 * time.Hour

// webhookSecrets are a webhook's secrets by the names under which they are kept.
type webhookSecrets struct {
	Values map[string]string `json:"values"`
	// Previous is the signing secret that the current one replaced; requests are signed with both until Until.
	Previous string    `json:"previous,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

const signingSecret = "secret"

// Webhook is what the catalog says of a webhook, and how its receiver does.
func (d *DB) Webhook(ctx context.Context, id string) (keyturn.Webhook, error) {
	return specOf[keyturn.Webhook](ctx, d.pg, "webhooks", "webhook", id)
}

// Webhooks gives all webhooks of the prefix by ID, without their secrets.
func (d *DB) Webhooks(ctx context.Context, prefix keyturn.Prefix) ([]keyturn.Webhook, error) {
	return specsOf[keyturn.Webhook](ctx, d.pg, "webhooks", prefix)
}

// PrepareWebhook gives a webhook that is to be stored a signing secret if it needs one and has none, which NewSecret
// shows, and refuses what cannot be stored. KindInvalid.
func (d *DB) PrepareWebhook(ctx context.Context, w keyturn.Webhook) (keyturn.Webhook, error) {
	old, secrets, err := d.webhookSecrets(ctx, d.pg, w.ID)
	if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
		return w, err
	}
	if w.URL != "" && w.Secret == nil {
		w.Secret = &keyturn.SecretRef{Set: true}
	}
	if w.URL != "" && w.Secret.Value == "" && secrets.Values[signingSecret] == "" {
		w.NewSecret = keyturn.NewWebhookSecret()
		w.Secret = &keyturn.SecretRef{Value: w.NewSecret}
	}
	_, _, err = storedWebhook(w, old, &secrets, time.Time{})
	return w, err
}

// PutWebhook stores a checked and prepared webhook. Secrets are kept apart, encrypted; one that is sent without a value
// keeps the value it had, as long as the webhook stays with the server that it was given for. A signing secret that
// replaces another one is a rotation: requests are signed with both for a day.
func (d *DB) PutWebhook(ctx context.Context, w keyturn.Webhook) (created, changed bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "webhooks", w.ID); err != nil {
			return err
		}
		old, secrets, err := d.webhookSecrets(ctx, tx, w.ID)
		if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
			return err
		}
		now, err := clockIn(ctx, tx)
		if err != nil {
			return err
		}
		stored, fresh, err := storedWebhook(w, old, &secrets, now)
		if err != nil {
			return err
		}
		spec, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		sealed, err := d.sealWebhook(w.ID, secrets)
		if err != nil {
			return err
		}
		var made []bool
		err = tx.SelectContext(ctx, &made, `
			INSERT INTO webhooks (id, spec, secrets, max_concurrent, called) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, secrets = excluded.secrets,
				max_concurrent = excluded.max_concurrent, called = excluded.called, next_try_at = NULL,
				version = nextval('integration_versions'), updated_at = now()
			WHERE webhooks.spec <> excluded.spec OR $6
			RETURNING xmax = 0 AS created`, w.ID, string(spec), sealed, w.Rate.MaxConcurrent, w.On() && w.URL != "", fresh)
		created, changed = len(made) == 1 && made[0], len(made) == 1
		if err != nil || !changed {
			return err
		}
		return wantTypes(ctx, tx, w)
	})
	return created, changed, err
}

// wantTypes notes what a webhook wants: nothing if it is switched off.
func wantTypes(ctx context.Context, tx *sqlx.Tx, w keyturn.Webhook) error {
	patterns := []string{} // nil would be NULL, which deletes nothing
	if w.On() {
		patterns = w.Events
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM webhook_types WHERE webhook = $1 AND NOT pattern = ANY($2)`,
		w.ID, pq.Array(patterns)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO webhook_types (webhook, pattern, prefix) SELECT $1, p, $3 FROM unnest(CAST($2 AS text[])) p
		ON CONFLICT (pattern, webhook) DO UPDATE SET prefix = excluded.prefix`, w.ID, pq.Array(patterns), string(w.Prefix))
	return err
}

// storedWebhook copies a webhook with every secret reduced to the mark that it is set, and puts the values that were
// sent into secrets. old is the webhook as it was, if it was. fresh: a value is new or different.
func storedWebhook(w, old keyturn.Webhook, secrets *webhookSecrets, now time.Time) (out keyturn.Webhook, fresh bool,
	err error,
) {
	text, err := json.Marshal(w)
	if err != nil {
		return out, false, err
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, false, err
	}
	out.NewSecret = ""
	values := maps.Clone(secrets.Values)
	moved := movedSince(old.Endpoint(), w.Endpoint())
	var bad keyturn.Problems
	given := map[string]string{}
	out.Secrets(func(at string, ref *keyturn.SecretRef) {
		was := values[at]
		switch {
		case ref.Value != "" && ref.Value != was:
			fresh = true
			if at == signingSecret && was != "" {
				secrets.Previous, secrets.Until = was, now.Add(rotationTime).UTC()
			}
			given[at] = ref.Value
		case was == "":
			bad.Addf(at, "has no value: give {env: NAME} or {file: PATH} in the catalog")
		case ref.Value == "" && moved != "" && at != signingSecret:
			bad.Addf(at, "must be given again, because %s: a stored secret is for the server that it was given for", moved)
		default:
			given[at] = was
		}
		*ref = keyturn.SecretRef{Set: true}
	})
	secrets.Values = given
	return out, fresh, bad.Err("the webhook is not valid")
}

// clockIn is the database's clock, by which a rotation ends.
func clockIn(ctx context.Context, tx *sqlx.Tx) (now time.Time, err error) {
	return now, tx.GetContext(ctx, &now, `SELECT clock_timestamp()`)
}

func (d *DB) sealWebhook(id string, s webhookSecrets) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return d.keys.Wrap(text, "webhooks/"+id)
}

// webhookSecrets reads a webhook and its secrets, apart. KindNotFound; KindConfiguration when the secrets do not open.
func (d *DB) webhookSecrets(ctx context.Context, q sqlx.QueryerContext, id string) (w keyturn.Webhook,
	s webhookSecrets, err error,
) {
	var row struct {
		Spec    string `db:"spec"`
		Secrets []byte `db:"secrets"`
	}
	if err := sqlx.GetContext(ctx, q, &row, `SELECT spec, secrets FROM webhooks WHERE id = $1`, id); err != nil {
		return w, s, pg.NotFound(err, "there is no webhook %s in the catalog", id)
	}
	if err := json.Unmarshal([]byte(row.Spec), &w); err != nil {
		return w, s, err
	}
	s, err = d.openWebhook(id, row.Secrets)
	return w, s, err
}

func (d *DB) openWebhook(id string, sealed []byte) (s webhookSecrets, err error) {
	text, err := d.keys.Unwrap(sealed, "webhooks/"+id)
	if err != nil {
		return s, keyturn.Errorf(keyturn.KindConfiguration,
			"the secrets of webhook %s do not open: the key file is not the one they were stored with", id)
	}
	return s, json.Unmarshal(text, &s)
}

// CheckWebhookSecrets names the secrets that a webhook would change.
func (d *DB) CheckWebhookSecrets(ctx context.Context, w keyturn.Webhook) (fresh []string, err error) {
	old, secrets, err := d.webhookSecrets(ctx, d.pg, w.ID)
	if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
		return nil, err
	}
	w.Secrets(func(at string, ref *keyturn.SecretRef) {
		if ref.Value != "" && ref.Value != secrets.Values[at] {
			fresh = append(fresh, at)
		}
	})
	_, _, err = storedWebhook(w, old, &secrets, time.Time{})
	return fresh, err
}

// forgetChunk bounds one transaction of what removes many deliveries.
const forgetChunk = 5000

// DeleteWebhook removes a webhook, and its deliveries. KindNotFound.
func (d *DB) DeleteWebhook(ctx context.Context, id string) error {
	for n := int64(forgetChunk); n == forgetChunk; { // most of them, in transactions that nobody waits for
		if err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			res, err := tx.ExecContext(ctx, `DELETE FROM event_deliveries WHERE id = ANY(ARRAY(
				SELECT id FROM event_deliveries WHERE webhook = $1 LIMIT $2))`, id, forgetChunk)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		}); err != nil {
			return err
		}
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "webhooks", id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM event_deliveries WHERE webhook = $1`, id); err != nil {
			return err
		}
		if err := closeAlertOf(ctx, tx, webhookSubject(id), keyturn.AlertWebhookFailing); err != nil {
			return err
		}
		return deleted(tx.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, id))
	})
}

// webhookSubject is what alerts about a webhook name.
func webhookSubject(id string) string { return "webhook/" + id }
