package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// webhookDueSeen is how many due events are counted.
const webhookDueSeen = 10_000

// WebhookView gives a webhook without its secrets, and how its receiver does. KindNotFound.
func (d *DB) WebhookView(ctx context.Context, id string) (v keyturn.WebhookView, err error) {
	var row struct {
		Spec         string     `db:"spec"`
		OffWhy       *string    `db:"off_why"`
		OffAt        *time.Time `db:"off_at"`
		Opened       bool       `db:"opened"`
		Probing      bool       `db:"probing"`
		Failing      int        `db:"failing"`
		FailingSince *time.Time `db:"failing_since"`
		NextTryAt    *time.Time `db:"next_try_at"`
		Due          int        `db:"due"`
		OldestDueAt  *time.Time `db:"oldest"`
	}
	//keyturn:autocommit it reads
	if err := d.pg.GetContext(ctx, &row, `
		SELECT spec, off_why, off_at, opened_at IS NOT NULL AS opened,
			coalesce(probe_until > clock_timestamp(), false) AS probing, cardinality(failing) AS failing, failing_since,
			CASE WHEN next_try_at > clock_timestamp() THEN next_try_at END AS next_try_at,
			(SELECT count(*) FROM (SELECT FROM event_deliveries d WHERE d.webhook = w.id AND d.next_at <= now()
				LIMIT $2) seen) AS due,
			(SELECT min(next_at) FROM event_deliveries d WHERE d.webhook = w.id AND d.next_at <= now()) AS oldest
		FROM webhooks w WHERE id = $1`, id, webhookDueSeen); err != nil {
		return v, pg.NotFound(err, "there is no webhook %s in the catalog", id)
	}
	if err := json.Unmarshal([]byte(row.Spec), &v.Webhook); err != nil {
		return v, err
	}
	v.State = keyturn.WebhookState{
		SwitchedOff: value(row.OffWhy), SwitchedOffAt: row.OffAt, Breaker: keyturn.BreakerClosed, Failing: row.Failing,
		FailingSince: row.FailingSince, NextTryAt: row.NextTryAt, Due: row.Due, OldestDueAt: row.OldestDueAt,
	}
	switch {
	case row.Opened && row.Probing:
		v.State.Breaker = keyturn.BreakerProbing
	case row.Opened:
		v.State.Breaker = keyturn.BreakerOpen
	}
	return v, nil
}

// sentRow is an event on its way, as it is listed.
type sentRow struct {
	ID         int64               `db:"id"`
	PublicID   string              `db:"public_id"`
	Number     int64               `db:"number"`
	Type       keyturn.EventType   `db:"type"`
	Status     keyturn.EventStatus `db:"status"`
	Replay     bool                `db:"replay"`
	Attempts   int                 `db:"attempts"`
	NextAt     *time.Time          `db:"next_at"`
	TriedAt    *time.Time          `db:"tried_at"`
	DoneAt     *time.Time          `db:"done_at"`
	HTTPStatus int                 `db:"http_status"`
	ErrorKind  *string             `db:"error_kind"`
	DurationMS int                 `db:"duration_ms"`
	Reply      *string             `db:"reply"`
	Body       string              `db:"sent"`
}

const sentEventColumns = `
	SELECT d.id, e.public_id, e.number, e.type, d.status, d.replay > 0 AS replay, d.attempts, d.next_at, d.tried_at,
		d.done_at, coalesce(d.http_status, 0) AS http_status, d.error_kind, coalesce(d.duration_ms, 0) AS duration_ms,
		d.reply, ` + eventBodySQL + ` AS sent
	FROM `

// sentEventsSQL reads the newest of each status. Compared as a whole, the columns are those of the one index in this
// order: by equal ones alone, PostgreSQL reads all events of a shop with one webhook.
const sentEventsSQL = sentEventColumns + `unnest(CAST($4 AS text[])) AS s (status) CROSS JOIN LATERAL (
		SELECT * FROM event_deliveries d
		WHERE (d.webhook, d.status, d.id) >= ($1, s.status, 0) AND (d.webhook, d.status, d.id) < ($1, s.status, $2)
		ORDER BY d.webhook DESC, d.status DESC, d.id DESC LIMIT $3
	) d JOIN events e ON e.id = d.event_id
	ORDER BY d.id DESC LIMIT $3`

// EventDeliveries lists what is sent and was sent to a webhook, the newest first: those with an ID below before, 0 for
// all, and with a status unless it is empty. KindNotFound.
func (d *DB) EventDeliveries(ctx context.Context, webhook string, status keyturn.EventStatus, before int64, limit int,
) (page keyturn.EventDeliveryPage, err error) {
	if _, err := d.Webhook(ctx, webhook); err != nil {
		return page, err
	}
	if before <= 0 {
		before = 1 << 62
	}
	statuses := keyturn.EventStatuses
	if status != "" {
		statuses = []keyturn.EventStatus{status}
	}
	var rows []sentRow
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, sentEventsSQL, webhook, before, limit+1, pq.Array(statuses)); err != nil {
		return page, pg.AsKind(err)
	}
	page.Deliveries = []keyturn.EventDelivery{}
	for i, row := range rows {
		if i == limit {
			page.NextBefore = rows[i-1].ID
			break
		}
		page.Deliveries = append(page.Deliveries, row.view())
	}
	return page, nil
}

// EventDelivery shows one. KindNotFound.
func (d *DB) EventDelivery(ctx context.Context, webhook string, id int64) (v keyturn.EventDelivery, err error) {
	var row sentRow
	//keyturn:autocommit it reads
	err = d.pg.GetContext(ctx, &row, sentEventColumns+`event_deliveries d JOIN events e ON e.id = d.event_id
		WHERE d.webhook = $1 AND d.id = $2`, webhook, id)
	return row.view(), pg.NotFound(err, "webhook %s has no delivery %d", webhook, id)
}

func (row sentRow) view() keyturn.EventDelivery {
	if row.Type == keyturn.EventWebhookTest {
		row.Attempts -= len(SendSchedule) - 1 // a test begins with its last try, so that it is not repeated by itself
	}
	return keyturn.EventDelivery{
		ID: row.ID, EventID: eventIDPrefix + row.PublicID, Number: row.Number, Type: row.Type, Status: row.Status,
		Replay: row.Replay, Attempts: row.Attempts, NextAt: row.NextAt, TriedAt: row.TriedAt, DoneAt: row.DoneAt,
		HTTPStatus: row.HTTPStatus, Error: keyturn.Kind(value(row.ErrorKind)), DurationMS: row.DurationMS,
		Answer: value(row.Reply), Request: json.RawMessage(row.Body),
	}
}

// eventIDPrefix is what receivers know events by, before the UUID.
const eventIDPrefix = "evt_"
