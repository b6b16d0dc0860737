package audit

// aftermathSQL is what came of payments after they were taken, as it was noted and as it was told. A payment that
// orders came in paid with is told of by each of them, without its ID. A dispute is told by its ID; of the others there
// is only their number.
const aftermathSQL = `noted AS MATERIALIZED (
		SELECT x.about, x.payment, a.status, coalesce(a.closed_at, a.noted_at) AS at,
			CASE a.kind WHEN 'warning' THEN 'payment.fraud_warning' WHEN 'refund' THEN 'refund.external'
				ELSE CASE a.status WHEN 'open' THEN 'payment.disputed' ELSE 'payment.dispute_closed' END END AS type,
			CASE a.kind WHEN 'dispute' THEN a.id ELSE '' END AS dispute
		FROM payment_aftermath a, LATERAL (
			SELECT coalesce(p.link_order_id, '') AS about, CAST(p.id AS text) AS payment
			FROM payments p WHERE p.id = a.payment_id
			UNION ALL SELECT o.id, '' FROM orders o
			WHERE a.payment_id IS NULL AND o.payment_id IS NULL AND o.payment_provider = a.provider
				AND o.payment_reference = a.reference AND o.created_at <= a.noted_at
		) x
	), told AS MATERIALIZED (
		SELECT e.id, e.type, e.about, coalesce(e.facts ->> 'payment', '') AS payment,
			coalesce(e.facts #>> '{dispute,id}', '') AS dispute
		FROM (
			SELECT id, type, about, CAST(facts AS json) AS facts FROM events WHERE type IN (
				'payment.disputed', 'payment.dispute_closed', 'payment.fraud_warning', 'refund.external')
		) e
	)`

// aftermathNotToldSQL: of a dispute its status of now was told, as that of an order is.
const aftermathNotToldSQL = wantsSQL + `, ` + aftermathSQL + `, due AS (
		SELECT n.type, n.about, n.payment, n.dispute, count(*) AS n FROM noted n
		WHERE n.status <> 'failed' AND EXISTS (SELECT FROM wants w WHERE n.at >= w.since
			AND w.pattern IN (n.type, split_part(n.type, '.', 1) || '.*', '*') AND starts_with(n.about, w.prefix))
		GROUP BY n.type, n.about, n.payment, n.dispute
	)
	SELECT d.about AS order_id, NULL AS line_id, d.type AS subject,
		'of ' || d.n || ' that were noted ' || t.n || ' were told' AS what
	FROM due d, LATERAL (SELECT count(*) AS n FROM told t WHERE t.type = d.type AND t.about = d.about
		AND t.payment = d.payment AND t.dispute = d.dispute) t
	WHERE t.n < d.n`

// aftermathMadeUpSQL: a dispute goes on after it was told, and a refund may fail.
const aftermathMadeUpSQL = `WITH ` + aftermathSQL + `
	SELECT t.about AS order_id, NULL AS line_id, 'event ' || t.id AS subject,
		'it tells ' || t.type || ', and nothing like that was noted' AS what
	FROM told t
	WHERE NOT EXISTS (SELECT FROM noted n WHERE n.about = t.about AND n.payment = t.payment AND n.dispute = t.dispute
		AND (n.type = t.type OR n.dispute <> ''))`
