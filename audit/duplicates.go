package audit

// duplicateProbes look for effects that happened twice.
var duplicateProbes = []probe{
	{"A6", mailedTwiceSQL},
	{"A6", calledTwiceSQL},
	{"G4", othersAnswerSQL},
}

// mailedTwiceSQL: keys are mailed once, but for those that somebody had sent again or that replace others. An order
// that is repeated after Temporal has forgotten its workflow must not be carried out a second time.
const mailedTwiceSQL = `
	SELECT l.order_id, d.line_id, NULL AS subject,
		'its keys were mailed ' || d.n || ' times, and asked for ' || d.wanted || ' times' AS what
	FROM (
		SELECT y.line_id, count(*) AS n, 1 + (SELECT count(*) FROM access_log a WHERE a.line_id = y.line_id
			AND a.what = 'resend')
			+ (SELECT count(DISTINCT r.delivery_id) FROM replacements r WHERE r.line_id = y.line_id)
			+ (SELECT count(*) FROM line_items i JOIN address_changes h ON h.order_id = i.order_id
				WHERE i.id = y.line_id AND h.done_at IS NOT NULL) AS wanted
		FROM deliveries y WHERE y.kind = 'keys' AND y.created_at > now() - interval '390 days' AND (y.number > 1
			OR EXISTS (SELECT FROM deliveries z WHERE z.line_id = y.line_id AND z.kind = 'keys' AND z.number > 1))
		GROUP BY y.line_id
	) d JOIN line_items l ON l.id = d.line_id
	WHERE d.n > d.wanted`

// calledTwiceSQL: what a partner has given is not asked for once more, from whichever source.
const calledTwiceSQL = `
	SELECT l.order_id, a.line_id, a.source AS subject,
		'attempt ' || a.no || ' asked for unit ' || a.unit_no || ' again, which attempt ' || a.before || ' had brought' AS what
	FROM (
		SELECT line_id, source, operation, unit_no, no, started_at, outcome,
			min(no) FILTER (WHERE outcome = 'success') OVER w AS before,
			min(coalesce(ended_at, started_at)) FILTER (WHERE outcome = 'success') OVER w AS had
		FROM attempts WHERE operation NOT IN ('cancel', 'lookup') WINDOW w AS (PARTITION BY line_id, source, operation,
			unit_no)
	) a JOIN line_items l ON l.id = a.line_id
	WHERE a.no > a.before AND a.started_at > a.had
		AND EXISTS (SELECT FROM deliverables y WHERE y.line_id = a.line_id AND y.source = a.source AND y.unit_no = a.unit_no
			AND y.created_at < a.started_at)`

// othersAnswerSQL: what is kept to be answered to a client is about that client's own order.
const othersAnswerSQL = `
	SELECT i.order_id, NULL AS line_id, 'request ' || i.key AS subject,
		'client ' || i.client || ' is answered with an order of ' || o.client AS what
	FROM idempotency_keys i JOIN orders o ON o.id = i.order_id
	WHERE o.client <> i.client`
