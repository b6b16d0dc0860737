package audit

import "keyturn.dev/keyturn"

// partnerProbes look at calls of partners as they were booked.
var partnerProbes = []probe{
	{"C4", calledAfterDecisionSQL},
	{"C5", notTakenBackSQL},
	{"C5", revocationSQL},
	{"C6", badSourceSQL},
	{"C8", overlappingSQL},
}

// calledAfterDecisionSQL compares times that were both taken under the line's lock.
const calledAfterDecisionSQL = `
	SELECT l.order_id, l.id AS line_id, a.source AS subject,
		'attempt ' || a.no || ' began after the line was decided' AS what
	FROM attempts a JOIN line_items l ON l.id = a.line_id
	LEFT JOIN line_log g ON g.line_id = a.line_id AND g.to_status = 'CANCELING'
	WHERE (a.operation <> 'cancel' OR l.operation = 'cancel') AND (a.started_at > l.delivered_at OR a.started_at > g.at)`

// notTakenBackSQL finds sources that may have issued something for a line that does not have it from there. A second
// answer of the source that the line has its keys from is the same key, and stays; a bare acknowledgement is all that
// some partners give. What an operation may have done to a licence is taken back by a person, or by the cancel that
// overruled it; a delivered pause, resume or cancel stays.
const notTakenBackSQL = `
	WITH called AS (
		SELECT a.line_id, a.source, bool_or(a.outcome = 'success') AS success, bool_or(a.outcome <> 'failed') AS maybe
		FROM attempts a JOIN line_items l ON l.id = a.line_id WHERE (a.operation <> 'cancel' OR l.operation = 'cancel')
			AND (a.sent OR a.outcome IN ('running', 'unknown'))
		GROUP BY a.line_id, a.source
	)
	SELECT l.order_id, l.id AS line_id, c.source AS subject,
		'the line is ' || l.status || ' without it, and nobody is to tell the partner' AS what
	FROM called c JOIN line_items l ON l.id = c.line_id
	WHERE (l.status IN ('CANCELING', 'CANCELED')
			OR l.obtained_at IS NOT NULL
				AND NOT EXISTS (SELECT FROM deliverables y WHERE y.line_id = c.line_id AND y.source = c.source)
				AND NOT (c.success AND NOT EXISTS (SELECT FROM deliverables y WHERE y.line_id = c.line_id)
					AND NOT EXISTS (SELECT FROM pool_keys k WHERE k.line_id = c.line_id)))
		AND NOT EXISTS (SELECT FROM revocations v WHERE v.line_id = c.line_id AND v.source = c.source)
		AND (l.license_id IS NULL OR c.maybe AND l.cancel_reason IS NULL
			AND NOT (l.operation IN ('pause', 'resume', 'cancel') AND l.delivered_at IS NOT NULL)
			AND NOT EXISTS (SELECT FROM alerts t WHERE t.line_id = c.line_id
				AND t.cause = '` + string(keyturn.AlertRevocation) + `' AND ` + knownAlertSQL + `))`

// revocationSQL checks that a revocation is what it says: acknowledged, or known to operations.
const revocationSQL = `
	SELECT l.order_id, l.id AS line_id, v.source AS subject,
		CASE v.status WHEN 'DONE' THEN 'it counts as taken back, and the partner has acknowledged no cancel'
			ELSE 'it cannot be taken back, and there is no open alert' END AS what
	FROM revocations v LEFT JOIN line_items l ON l.id = v.line_id
	WHERE v.status = 'DONE' AND NOT EXISTS (
			SELECT FROM attempts a WHERE a.line_id = v.line_id AND a.source = v.source AND a.operation = 'cancel'
				AND a.outcome = 'success')
		OR v.status = 'IMPOSSIBLE' AND NOT EXISTS (
			SELECT FROM alerts t WHERE t.line_id = v.line_id AND t.cause = '` + string(keyturn.AlertRevocation) + `'
				AND ` + knownAlertSQL + `)`

const badSourceSQL = `
	SELECT l.order_id, y.line_id, y.source AS subject, 'unit ' || y.unit_no || ' comes from no good answer' AS what
	FROM deliverables y JOIN line_items l ON l.id = y.line_id
	WHERE y.source LIKE ANY (:partners) AND NOT EXISTS (
		SELECT FROM attempts a
		WHERE a.line_id = y.line_id AND a.source = y.source AND (a.operation <> 'cancel' OR l.operation = 'cancel')
			AND a.outcome = 'success'
			AND a.sent AND a.http_status BETWEEN 200 AND 299 AND a.error_code IS NULL AND a.unit_no <= y.unit_no)`

// overlappingSQL: an attempt ends with its answer, or at its deadline. A worker that stood still takes longer by its
// own clock, and nothing of its call happened after the deadline.
const overlappingSQL = `
	SELECT l.order_id, a.line_id, a.source AS subject,
		'attempt ' || a.no || ' began before attempt ' || a.before || ' was over' AS what
	FROM (
		SELECT line_id, no, source, started_at, lag(no) OVER w AS before,
			lag(least(deadline_at,
				started_at + make_interval(secs => CAST(duration_ms AS double precision) / 1000))) OVER w AS ended
		FROM attempts WHERE operation <> 'cancel' WINDOW w AS (PARTITION BY line_id ORDER BY no)
	) a JOIN line_items l ON l.id = a.line_id
	WHERE a.started_at < a.ended`
