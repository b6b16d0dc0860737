package audit

import "keyturn.dev/keyturn/payment"

// processorLists are the lists of one processor: made, what somebody has begun to pay; unpaid, the sessions that can
// still be paid; given, what went back; after, disputes (with a status) and warnings (without).
const processorLists = `
	WITH made AS MATERIALIZED (
		SELECT * FROM unnest(CAST(:m_ids AS uuid[]), CAST(:m_refs AS text[]), CAST(:m_status AS text[]),
			CAST(:m_currency AS text[]), CAST(:m_blocked AS bigint[]), CAST(:m_taken AS bigint[]))
			AS m (payment_id, reference, status, currency, blocked, taken)
	), unpaid AS MATERIALIZED (
		SELECT * FROM unnest(CAST(:o_ids AS uuid[]), CAST(:o_refs AS text[])) AS o (payment_id, reference)
	), given AS MATERIALIZED (
		SELECT * FROM unnest(CAST(:g_ids AS text[]), CAST(:g_owners AS uuid[]), CAST(:g_refs AS text[]),
			CAST(:g_currency AS text[]), CAST(:g_minor AS bigint[]), CAST(:g_failed AS boolean[]),
			CAST(:g_at AS timestamptz[])) AS g (id, owner, reference, currency, minor, failed, at)
	), after AS MATERIALIZED (
		SELECT * FROM unnest(CAST(:a_ids AS text[]), CAST(:a_refs AS text[]), CAST(:a_status AS text[]),
			CAST(:a_at AS timestamptz[])) AS a (id, reference, status, at)
	) `

// processorProbes are run for each processor: :provider is its name, :from the beginning of the time that is compared.
// The lists were read before the snapshot was taken: what ended or was booked since then is not held against them.
var processorProbes = []probe{
	{"P5", madeUnknownSQL},
	{"P5", madeTwiceSQL},
	{"P5", madeDiffersSQL},
	{"P5", neverMadeSQL},
	{"P5", unpaidUnknownSQL},
	{"P5", givenUnknownSQL},
	{"P5", givenTwiceSQL},
	{"P5", givenTooMuchSQL},
	{"P5", neverGivenSQL},
	{"P8", afterIgnoredSQL},
}

const madeUnknownSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'payment ' || m.reference AS subject,
		:provider || ' has it for this installation as ' || m.status || ' with ' || m.taken
			|| ' minor units taken, and there is no payment ' || coalesce(CAST(m.payment_id AS text), 'that it names') AS what
	FROM made m LEFT JOIN payments p ON p.id = m.payment_id AND p.provider = :provider WHERE p.id IS NULL`

const madeTwiceSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		:provider || ' has it ' || count(*) || ' times (' || string_agg(m.reference, ', ') || ')' AS what
	FROM made m JOIN payments p ON p.id = m.payment_id
	WHERE m.status IN ('authorized', 'captured', 'processing') GROUP BY p.id HAVING count(*) > 1`

// madeDiffersSQL: a payment that goes on is asked for by itself, so only at rest it must stand where its processor has
// it.
const madeDiffersSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		:provider || ' has it as ' || m.status || ' with ' || m.taken || ' minor units of ' || m.currency || ' taken, and it is '
			|| p.status || ' with ' || p.captured_minor AS what
	FROM made m JOIN payments p ON p.id = m.payment_id AND p.provider = :provider
	WHERE m.status <> 'voided' AND p.payment_reference <> m.reference
		OR p.status = 'CAPTURED' AND p.captured_at < CAST(:seen AS timestamptz)
			AND (m.status, m.taken, m.currency) IS DISTINCT FROM ('captured', p.captured_minor, p.currency)
		OR p.status IN ('VOIDED', 'LOST', 'EXPIRED', 'FAILED') AND p.ended_at < CAST(:seen AS timestamptz)
			AND (m.taken > 0 OR m.blocked > 0)
		OR CAST(:strict AS boolean) AND p.status IN ('CREATED', 'OPEN', 'PROCESSING') AND (m.taken > 0 OR m.blocked > 0)
		OR CAST(:strict AS boolean) AND p.status IN ('AUTHORIZED', 'CAPTURING', 'VOIDING') AND m.status <> 'authorized'`

const neverMadeSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'it is ' || p.status || ', and ' || :provider || ' has no payment ' || p.payment_reference AS what
	FROM payments p
	WHERE p.provider = :provider AND p.payment_reference IS NOT NULL
		AND p.created_at >= CAST(:from AS timestamptz) AND p.created_at < CAST(:seen AS timestamptz)
		AND p.asked_at < CAST(:seen AS timestamptz)
		AND NOT EXISTS (SELECT FROM made m WHERE m.reference = p.payment_reference)`

const unpaidUnknownSQL = `
	SELECT p.order_id, NULL AS line_id, 'session ' || o.reference AS subject,
		'it can be paid at ' || :provider || ', and its payment is ' || coalesce(p.status, 'not there') AS what
	FROM unpaid o LEFT JOIN payments p ON p.id = o.payment_id AND p.provider = :provider
	WHERE p.id IS NULL OR p.ended_at < CAST(:seen AS timestamptz)`

// givenUnknownSQL: what others gave back is looked for each night.
const givenUnknownSQL = `
	SELECT coalesce(r.order_id, p.order_id) AS order_id, r.line_id, 'refund ' || g.id AS subject,
		:provider || ' has given ' || g.minor || ' minor units of ' || g.currency || ' back, and here '
			|| CASE WHEN g.owner IS NULL THEN 'nobody knows of it'
				ELSE coalesce(r.amount_minor || ' ' || r.currency || ' are booked', y.amount_minor || ' ' || y.currency || ' are booked',
					'nothing is booked') END AS what
	FROM given g LEFT JOIN refunds r ON r.line_id = g.owner AND r.provider = :provider
		LEFT JOIN payment_refunds y ON y.payment_id = g.owner
		LEFT JOIN payments p ON p.provider = :provider AND p.payment_reference = g.reference
	WHERE NOT g.failed AND CASE
		WHEN g.owner IS NOT NULL THEN (g.minor, g.currency) IS DISTINCT FROM
			(coalesce(r.amount_minor, y.amount_minor), coalesce(r.currency, y.currency))
		ELSE (p.id IS NOT NULL OR EXISTS (SELECT FROM orders o WHERE o.payment_provider = :provider
				AND o.payment_reference = g.reference))
			AND g.at < CAST(:seen AS timestamptz)
				- CASE WHEN :strict THEN make_interval(secs => :slack) ELSE interval '1 day' END
			AND NOT EXISTS (SELECT FROM payment_aftermath a WHERE a.provider = :provider AND a.id = g.id) END`

const givenTwiceSQL = `
	SELECT r.order_id, r.line_id, 'refund ' || g.owner AS subject,
		:provider || ' has given it back ' || count(*) || ' times (' || string_agg(g.id, ', ') || ')' AS what
	FROM given g LEFT JOIN refunds r ON r.line_id = g.owner
	WHERE g.owner IS NOT NULL AND NOT g.failed GROUP BY g.owner, r.order_id, r.line_id HAVING count(*) > 1`

const givenTooMuchSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		m.taken || ' minor units were taken at ' || :provider || ' and ' || sum(g.minor) || ' went back' AS what
	FROM made m JOIN given g ON g.reference = m.reference AND NOT g.failed JOIN payments p ON p.id = m.payment_id
	GROUP BY p.id, m.reference, m.taken HAVING sum(g.minor) > m.taken`

// neverGivenSQL: a dispute that was lost counts as a refund, and so does what was not to be given back any more.
const neverGivenSQL = `
	SELECT r.order_id, r.line_id, 'refund ' || r.owner AS subject,
		'it counts as done, and ' || :provider || ' has no refund ' || r.provider_id AS what
	FROM (
		SELECT order_id, line_id, line_id AS owner, provider_id, created_at, done_at FROM refunds
		WHERE provider = :provider AND status = 'DONE' AND amount_minor > 0
		UNION ALL
		SELECT p.order_id, NULL, p.id, y.provider_id, y.created_at, y.done_at
		FROM payment_refunds y JOIN payments p ON p.id = y.payment_id
		WHERE p.provider = :provider AND y.status = 'DONE'
	) r
	WHERE r.created_at >= CAST(:from AS timestamptz) AND r.done_at < CAST(:seen AS timestamptz)
		AND r.provider_id <> '` + payment.RefundedElsewhere + `'
		AND NOT EXISTS (SELECT FROM given g WHERE g.id = r.provider_id)
		AND NOT EXISTS (SELECT FROM payment_aftermath a WHERE a.provider = :provider AND a.id = r.provider_id)`

// afterIgnoredSQL: disputes and warnings are told of by events, and looked for each night.
const afterIgnoredSQL = `
	SELECT coalesce(p.order_id, o.id) AS order_id, NULL AS line_id, 'payment ' || x.reference AS subject,
		:provider || ' has ' || coalesce('a dispute of it that is ' || x.status, 'a fraud warning about it') || ' (' || x.id
			|| '), and here it is ' || coalesce(nullif(a.status, ''), 'not booked') AS what
	FROM after x LEFT JOIN payment_aftermath a ON a.provider = :provider AND a.id = x.id
		LEFT JOIN payments p ON p.provider = :provider AND p.payment_reference = x.reference
		LEFT JOIN LATERAL (SELECT min(id) AS id FROM orders WHERE payment_provider = :provider
			AND payment_reference = x.reference AND payment_id IS NULL) o ON true
	WHERE (p.id IS NOT NULL OR o.id IS NOT NULL) AND a.status IS DISTINCT FROM coalesce(x.status, '')
		AND x.at < CAST(:seen AS timestamptz) - CASE WHEN :strict THEN make_interval(secs => :slack) ELSE interval '1 day' END`
