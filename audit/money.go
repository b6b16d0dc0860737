package audit

import "keyturn.dev/keyturn"

// moneyProbes look at refunds as they were booked.
var moneyProbes = []probe{
	{"E1", refundAmountSQL},
	{"E1", freeWithPriceSQL},
	{"E2", cancelWithoutRefundSQL},
	{"E2", unconfirmedRefundSQL},
	{"E3", refundWithoutCancelSQL},
	{"E3", exposedAndRefundedSQL},
}

// refundAmountSQL: of a line that was given up before it was charged nothing goes back, and where a person has accepted
// a payment of less than was asked for, no more than was taken.
const refundAmountSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject,
		'its refund is not what the line cost, or does not go back where the money came from' AS what
	FROM refunds r LEFT JOIN line_items l ON l.id = r.line_id LEFT JOIN orders o ON o.id = l.order_id
	WHERE (r.order_id, r.amount_minor, r.currency, r.provider, r.reference) IS DISTINCT
		FROM (l.order_id, CASE WHEN o.payment_id IS NOT NULL AND (r.amount_minor = 0 OR r.amount_minor < l.gross_minor
			AND EXISTS (SELECT FROM payment_log g WHERE g.payment_id = o.payment_id AND g.from_status = 'MISMATCH'))
				THEN r.amount_minor ELSE l.gross_minor END, o.currency,
			o.payment_provider, o.payment_reference)`

const cancelWithoutRefundSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' and its refund is ' || coalesce(r.status, 'not booked') AS what
	FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id
	WHERE l.status = 'CANCELED' AND coalesce(r.status, '') <> 'DONE' OR l.status = 'CANCELING'
		AND coalesce(r.status, '') <> 'PENDING'`

// freeWithPriceSQL: the provider none gives nothing back.
const freeWithPriceSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'it has a price, and the payment provider none, who gives nothing back' AS what
	FROM orders o
	WHERE o.payment_provider = '` + keyturn.PaymentNone + `' AND o.gross_minor > 0`

// unconfirmedRefundSQL: no provider's books say that money was given back by hand, so a person's word must be there.
const unconfirmedRefundSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject,
		'its refund by hand counts as done, and nobody confirmed it with a reference' AS what
	FROM refunds r
	WHERE r.provider = '` + keyturn.PaymentManual + `' AND r.status = 'DONE' AND r.amount_minor > 0
		AND (coalesce(r.confirmed_by, '') = '' OR coalesce(r.provider_id, '') = '')`

const refundWithoutCancelSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' and has a refund that is ' || r.status AS what
	FROM refunds r JOIN line_items l ON l.id = r.line_id
	WHERE l.status NOT IN ('CANCELING', 'CANCELED')`

// exposedAndRefundedSQL finds lines that never counted as delivered and were refunded although their e-mail may be out:
// the customer may have both, and somebody must know.
const exposedAndRefundedSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it was refunded although its e-mail may be out, and there is no open alert' AS what
	FROM line_items l
	WHERE l.status = 'CANCELED' AND l.delivered_at IS NULL
		AND EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.kind = 'keys'
			AND (d.exposed OR d.status <> 'READY'))
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = l.id AND ` + knownAlertSQL + `)`
