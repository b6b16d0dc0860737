package audit

// linkProbes look at checkout links and their payments.
var linkProbes = []probe{
	{"P1", orderWithoutPaymentSQL},
	{"P1", usedWithoutOrderSQL},
	{"P1", otherPaymentKeptSQL},
	{"P2", capturedOtherSumSQL},
	{"P2", refundedUnchargedSQL},
	{"P3", deliveredUnchargedSQL},
	{"P4", authorizedTooLongSQL},
	{"P5", sessionDiffersSQL},
	{"P5", paymentWithoutSessionSQL},
	{"P6", soldTwiceSQL},
	{"P7", reservedForNobodySQL},
	{"P8", eventIgnoredSQL},
}

const orderWithoutPaymentSQL = `
	SELECT o.id AS order_id, NULL AS line_id, 'payment ' || o.payment_id AS subject,
		'its payment is ' || coalesce(p.status, 'gone') || ' and its link ' || coalesce(k.status, 'gone') AS what
	FROM orders o LEFT JOIN payments p ON p.id = o.payment_id AND p.order_id = o.id
	LEFT JOIN checkout_links k ON k.id = p.link_id AND k.order_id = o.id
	WHERE o.payment_id IS NOT NULL AND (coalesce(k.status, '') <> 'USED'
		OR p.status NOT IN ('AUTHORIZED', 'CAPTURING', 'CAPTURED', 'VOIDING', 'VOIDED', 'LOST'))`

const usedWithoutOrderSQL = `
	SELECT k.order_id, NULL AS line_id, 'link ' || k.id AS subject, 'it is USED, and no order came of it' AS what
	FROM checkout_links k
	WHERE k.status = 'USED' AND NOT EXISTS (SELECT FROM payments p JOIN orders o ON o.payment_id = p.id
		WHERE p.link_id = k.id AND p.order_id = o.id AND o.id = k.order_id)`

const otherPaymentKeptSQL = `
	SELECT k.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'no order came of it, and it is ' || p.status || ' without having been given back' AS what
	FROM payments p JOIN checkout_links k ON k.id = p.link_id
	WHERE p.order_id IS NULL AND (
		p.status = 'CAPTURED' AND NOT EXISTS (SELECT FROM payment_refunds r
			WHERE r.payment_id = p.id AND r.amount_minor = p.captured_minor)
		OR p.status IN ('AUTHORIZED', 'CAPTURING', 'LOST')
		OR k.status = 'USED' AND p.status IN ('CREATED', 'OPEN', 'PROCESSING'))`

// capturedOtherSumSQL: what was captured is what the lines cost that were not given up before. Of those the refund is
// of nothing; should they have been charged all the same, the payment has one of its own. Where a person has accepted a
// payment of another sum, it is that sum less what was given up before; and less than is due may have been taken by
// somebody else, if a person has seen to it since.
const capturedOtherSumSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		p.captured_minor || ' minor units were captured, ' || p.authorized_minor || ' authorized, and ' || due.minor
			|| ' were due' AS what
	FROM payments p LEFT JOIN payment_refunds y ON y.payment_id = p.id CROSS JOIN LATERAL (
		SELECT coalesce(sum(CASE WHEN r.line_id IS NULL THEN l.gross_minor ELSE r.amount_minor END), 0) AS minor,
			coalesce(sum(l.gross_minor) FILTER (WHERE r.amount_minor = 0 AND r.created_at < p.captured_at), 0) AS uncharged
		FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id WHERE l.order_id = p.order_id
	) due CROSS JOIN LATERAL (SELECT p.captured_minor - coalesce(y.amount_minor, 0) AS minor) kept
	WHERE p.order_id IS NOT NULL AND p.status = 'CAPTURED'
		AND (kept.minor > p.authorized_minor OR kept.minor <> due.minor)
		AND NOT (kept.minor = greatest(least(p.total_minor, p.authorized_minor) - due.uncharged, 0)
			AND EXISTS (SELECT FROM payment_log g WHERE g.payment_id = p.id AND g.from_status = 'MISMATCH'))
		AND NOT (kept.minor < due.minor AND EXISTS (SELECT FROM alerts a WHERE a.subject = 'payment/' || p.id
			AND a.cause = 'Mismatch' AND a.closed_by IS NOT NULL AND a.closed_at >= p.captured_at))`

const refundedUnchargedSQL = `
	SELECT p.order_id, r.line_id, 'payment ' || p.id AS subject,
		'nothing was charged, and ' || r.amount_minor || ' minor units are to go back' AS what
	FROM payments p JOIN refunds r ON r.order_id = p.order_id
	WHERE p.status IN ('AUTHORIZED', 'CAPTURING', 'VOIDING', 'VOIDED', 'LOST') AND r.amount_minor > 0`

const deliveredUnchargedSQL = `
	SELECT l.order_id, l.id AS line_id, 'payment ' || p.id AS subject,
		'its key was mailed or shown, and its payment is ' || p.status AS what
	FROM payments p JOIN line_items l ON l.order_id = p.order_id
	WHERE p.status <> 'CAPTURED' AND (l.status = 'DELIVERED'
		OR EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.kind = 'keys' AND (d.exposed OR d.attempts > 0))
		OR EXISTS (SELECT FROM access_log a WHERE a.line_id = l.id))`

const authorizedTooLongSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'it is ' || p.status || ' and was to be captured or let go by ' || p.capture_by AS what
	FROM payments p
	WHERE p.status IN ('AUTHORIZED', 'CAPTURING', 'VOIDING')
		AND p.capture_by < now() - interval '1 hour' - make_interval(secs => :slack)`

// sessionDiffersSQL: the sandbox's books are in our database, and are a processor's all the same.
const sessionDiffersSQL = `
	SELECT x.order_id, NULL AS line_id, 'session ' || x.id AS subject,
		'the sandbox has it as ' || x.status || ' with ' || x.captured_minor || ' minor units taken, and its payment is '
			|| coalesce(p.status || ' with ' || p.captured_minor, 'not booked') AS what
	FROM sandbox_sessions x LEFT JOIN payments p ON p.id = x.payment_id AND p.session_reference = x.id
	WHERE p.id IS NULL AND x.created_at < CAST(:seen AS timestamptz) - make_interval(secs => :slack)
		OR p.status = 'CAPTURED' AND (x.status, x.captured_minor) IS DISTINCT FROM ('captured', p.captured_minor)
		OR p.status IN ('VOIDED', 'LOST', 'EXPIRED', 'FAILED') AND x.captured_minor > 0
		OR CAST(:strict AS boolean) AND p.status IN ('CREATED', 'OPEN', 'PROCESSING') AND x.captured_minor > 0
		OR CAST(:strict AS boolean) AND p.status IN ('VOIDED', 'LOST', 'EXPIRED', 'FAILED') AND x.status = 'authorized'
			AND x.capture_by > now()`

const paymentWithoutSessionSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'it is ' || p.status || ', and the sandbox has no session of it' AS what
	FROM payments p
	WHERE p.provider = 'sandbox' AND p.status NOT IN ('CREATED', 'EXPIRED')
		AND NOT EXISTS (SELECT FROM sandbox_sessions x WHERE x.id = p.session_reference)`

const soldTwiceSQL = `
	SELECT min(o.id) AS order_id, NULL AS line_id, 'link ' || p.link_id AS subject,
		'it was sold ' || count(*) || ' times' AS what
	FROM orders o JOIN payments p ON p.id = o.payment_id
	GROUP BY p.link_id HAVING count(*) > 1`

const reservedForNobodySQL = `
	SELECT coalesce(p.order_id, k.order_id) AS order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		r.units || ' units of pool ' || r.pool_id || ' are set aside for it, and it is ' || p.status AS what
	FROM reservations r JOIN payments p ON p.id = r.payment_id JOIN checkout_links k ON k.id = p.link_id
	WHERE p.status NOT IN ('CREATED', 'OPEN')`

// eventIgnoredSQL: while its processor does not answer, a payment cannot be asked for.
const eventIgnoredSQL = `
	SELECT k.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'an event of its processor (' || e.type || ') came ' || e.received_at || ', and the processor was last asked '
			|| coalesce(CAST(p.asked_at AS text), 'never') AS what
	FROM provider_events e JOIN payments p ON p.id = e.payment_id JOIN checkout_links k ON k.id = p.link_id
	WHERE coalesce(p.asked_at < e.received_at, true)
		AND e.received_at < CAST(:seen AS timestamptz) - interval '1 minute' - make_interval(secs => :slack)
		AND NOT EXISTS (SELECT FROM processor_troubles t WHERE t.provider = p.provider)`
