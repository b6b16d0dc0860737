package audit

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// alertProbes look at what operations were told.
var alertProbes = []probe{
	{"F2", troubleWithoutAlertSQL},
	{"F2", decidedWithAlertSQL},
	{"F2", alertNotMailedSQL},
	{"F2", alertTwiceSQL},
}

// knownAlertSQL is the condition on an alert that somebody knows what it tells of: it is open, or a person saw to it.
const knownAlertSQL = `(closed_at IS NULL OR closed_by IS NOT NULL)`

// troubleWithoutAlertSQL: a line that a person released or sent back to work is in trouble without a failure. One that
// has its key and cannot be charged has an alert of that.
const troubleWithoutAlertSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' for ' || (CAST(l.failure AS json) ->> 'kind') || ' and has no open alert of it' AS what
	FROM line_items l
	WHERE l.status IN ('RETRYING', 'WAITING_FOR_STOCK') AND l.failure IS NOT NULL AND l.failures > 0
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = l.id AND a.closed_at IS NULL
			AND (a.cause = CAST(l.failure AS json) ->> 'kind'
				OR a.cause = '` + string(keyturn.AlertCapture) + `' AND l.obtained_at IS NOT NULL))`

const alertTwiceSQL = `
	SELECT l.order_id, a.line_id, a.cause AS subject,
		'operations were alerted ' || count(*) || ' times for one cause' AS what
	FROM alerts a JOIN line_items l ON l.id = a.line_id
	GROUP BY l.order_id, a.line_id, a.cause HAVING count(*) > 1`

// decidedWithAlertSQL: a revocation is not over with its line; and who may have both key and money stays known.
var decidedWithAlertSQL = `
	SELECT l.order_id, l.id AS line_id, a.cause AS subject, 'it is ' || l.status || ' and its alert is still open' AS what
	FROM alerts a JOIN line_items l ON l.id = a.line_id
	WHERE a.closed_at IS NULL AND a.cause NOT IN (` + pg.TextList(keyturn.LastingAlerts()...) + `)
		AND (l.status = 'DELIVERED'
		OR l.status = 'CANCELED' AND NOT (l.delivered_at IS NULL
			AND EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.kind = 'keys'
				AND (d.exposed OR d.status <> 'READY'))))`

const alertNotMailedSQL = `
	SELECT l.order_id, a.line_id, coalesce('pool ' || a.pool_id, a.cause) AS subject,
		'operations were not told of ' || a.cause AS what
	FROM alerts a LEFT JOIN line_items l ON l.id = a.line_id
	WHERE a.mailed_at IS NULL AND a.opened_at < now() - make_interval(secs => :slack)`
