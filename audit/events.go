package audit

import (
	"strconv"
	"time"

	"keyturn.dev/keyturn/db"
)

// eventProbes look at what webhooks are told. A webhook is told from its last change on: what it wanted before is not
// known. Events are kept for a month.
var eventProbes = []probe{
	{"N1", stepNotToldSQL},
	{"N1", toldWithoutStepSQL},
	{"N1", orderNotToldSQL},
	{"N1", aftermathNotToldSQL},
	{"N1", aftermathMadeUpSQL},
	{"N1", eventNotGivenSQL},
	{"N2", otherBytesSQL},
	{"N2", otherBodySQL},
	{"N4", notNumberedSQL},
	{"N4", notSentSQL},
	{"N4", putOffSQL},
}

// wantsSQL is what webhooks want, and since when they are told of it.
const wantsSQL = `
	WITH wants AS MATERIALIZED (
		SELECT w.id, w.called AND w.off_at IS NULL AS called, t.pattern, t.prefix, greatest(now() - interval '29 days',
			w.updated_at + make_interval(secs => CAST(:slack AS double precision))) AS since
		FROM webhook_types t JOIN webhooks w ON w.id = t.webhook
	)`

// stepNotToldSQL: the line's version tells its steps apart.
const stepNotToldSQL = wantsSQL + `, told AS MATERIALIZED (
		SELECT e.type, e.line, e.version, count(*) AS n FROM (
			SELECT type, CAST(facts AS json) ->> 'line' AS line, CAST(facts AS json) ->> 'version' AS version FROM events
			WHERE type LIKE 'line.%'
		) e GROUP BY e.type, e.line, e.version
	), steps AS MATERIALIZED (
		SELECT l.order_id, g.line_id, g.version, g.at, 'line.' || lower(g.to_status) AS type
		FROM line_log g JOIN line_items l ON l.id = g.line_id
		WHERE g.to_status IN ('OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELED')
			AND g.at >= (SELECT min(since) FROM wants)
	)
	SELECT s.order_id, s.line_id, s.type AS subject,
		'of its step ' || s.version || ' there are ' || coalesce(t.n, 0) || ' events in place of one' AS what
	FROM steps s LEFT JOIN told t ON t.type = s.type AND t.line = CAST(s.line_id AS text)
		AND t.version = CAST(s.version AS text)
	WHERE coalesce(t.n, 0) <> 1 AND (t.n > 1 OR EXISTS (SELECT FROM wants w WHERE s.at >= w.since
		AND w.pattern IN (s.type, 'line.*', '*') AND starts_with(s.order_id, w.prefix)))`

const toldWithoutStepSQL = `
	SELECT e.about AS order_id, e.line AS line_id, 'event ' || e.id AS subject,
		'it tells ' || e.type || ', and the line has no such step' AS what
	FROM (
		SELECT id, type, about, CAST(facts AS json) ->> 'line' AS line, CAST(facts AS json) ->> 'version' AS version
		FROM events WHERE type LIKE 'line.%'
	) e LEFT JOIN line_log g ON CAST(g.line_id AS text) = e.line AND CAST(g.version AS text) = e.version
		AND 'line.' || lower(g.to_status) = e.type
	WHERE g.line_id IS NULL`

// orderNotToldSQL: an order's statuses are not written down one by one. It was told that it is there, once, and its
// status of now.
const orderNotToldSQL = wantsSQL + `, told AS MATERIALIZED (
		SELECT type, about, count(*) AS n FROM events WHERE type LIKE 'order.%' GROUP BY type, about
	), due AS MATERIALIZED (
		SELECT o.id, o.created_at, v.type FROM orders o, LATERAL (VALUES ('order.created'), (
			'order.' || CASE o.status WHEN 'PARTIAL_COMPLETED' THEN 'partially_completed'
				WHEN 'PARTIAL_CANCELED' THEN 'partially_canceled' WHEN 'PENDING' THEN 'created' ELSE lower(o.status) END
		)) AS v (type)
		WHERE o.created_at >= (SELECT min(since) FROM wants)
	)
	SELECT DISTINCT d.id AS order_id, CAST(NULL AS uuid) AS line_id, d.type AS subject,
		'of it there are ' || coalesce(t.n, 0) || ' events' AS what
	FROM due d LEFT JOIN told t ON t.type = d.type AND t.about = d.id
	WHERE (t.n IS NULL OR t.n > 1 AND d.type = 'order.created') AND (t.n > 1 OR EXISTS (SELECT FROM wants w
		WHERE d.created_at >= w.since AND w.pattern IN (d.type, 'order.*', '*') AND starts_with(d.id, w.prefix)))`

// eventNotGivenSQL: a webhook's own tests are not for the others.
const eventNotGivenSQL = wantsSQL + `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'it tells ' || e.type || ', and is not on its way to webhook ' || w.id AS what
	FROM events e JOIN wants w ON w.called AND e.created_at >= w.since
		AND w.pattern IN (e.type, split_part(e.type, '.', 1) || '.*', '*') AND starts_with(e.about, w.prefix)
	WHERE e.number IS NOT NULL AND e.type <> 'webhook.test'
		AND NOT EXISTS (SELECT FROM event_deliveries d WHERE d.event_id = e.id AND d.webhook = w.id AND d.replay = 0)`

// otherBytesSQL: of the first try there is a hash; each try compares with it. chr(58) is a colon, which would begin the
// name of an argument.
const otherBytesSQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'webhook ' || d.webhook || ' was not sent the bytes of the event' AS what
	FROM event_deliveries d JOIN events e ON e.id = d.event_id
	WHERE d.attempts > 0 AND d.digest IS DISTINCT FROM sha256(convert_to(
		CASE WHEN d.replay > 0 THEN '{"replay"' || chr(58) || 'true,' || substr(e.body, 2) ELSE e.body END, 'UTF8'))`

const otherBodySQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'its body is not that of ' || e.type AS what
	FROM events e
	WHERE e.body IS NOT NULL AND NOT starts_with(e.body, '{"type"' || chr(58) || to_json(e.type) || ',')`

// notNumberedSQL: those of a type that only a newer build knows wait for it.
const notNumberedSQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'it tells ' || e.type || ', and nobody gives it its number' AS what
	FROM events e
	WHERE e.number IS NULL AND e.type = ANY(:known_events) AND e.created_at < now() - make_interval(secs => :slack)`

// notSentSQL: a receiver that is slow or down has a queue, of which now and then one is tried.
const notSentSQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'it is due, and webhook ' || w.id || ' is sent nothing' AS what
	FROM webhooks w JOIN event_deliveries d ON d.webhook = w.id JOIN events e ON e.id = d.event_id
	WHERE w.called AND w.off_at IS NULL AND d.next_at < now() - make_interval(secs => :slack)
		AND (w.next_try_at IS NULL OR w.next_try_at < now() - make_interval(secs => :slack))
		AND NOT EXISTS (SELECT FROM event_deliveries t WHERE t.webhook = w.id
			AND t.tried_at >= now() - make_interval(secs => :slack))`

// putOffSQL: the longest pause of the schedule is that of its last try, or what a receiver may ask for; a replay takes
// hours.
var putOffSQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'webhook ' || d.webhook || ' is to get it at ' || d.next_at || ', later than the schedule has it' AS what
	FROM event_deliveries d JOIN events e ON e.id = d.event_id
	WHERE d.next_at > greatest(d.tried_at, d.created_at) + make_interval(secs => 1.1 * ` +
	strconv.Itoa(int(db.SendSchedule[len(db.SendSchedule)-1]/time.Second)) + ` + CAST(:slack AS double precision))`
