package audit

// orderProbes look at how orders came in.
var orderProbes = []probe{
	{"A1", answeredWithoutOrderSQL},
	{"A2", keyOfTwoOrdersSQL},
	{"A3", orderWithoutRequestSQL},
	{"A4", orderAmountSQL},
}

const answeredWithoutOrderSQL = `
	SELECT i.order_id, NULL AS line_id, NULL AS subject, 'its request was answered, but there is no such order' AS what
	FROM idempotency_keys i LEFT JOIN orders o ON o.id = i.order_id
	WHERE o.id IS NULL`

const keyOfTwoOrdersSQL = `
	SELECT min(i.order_id) AS order_id, NULL AS line_id, i.client AS subject,
		'its idempotency key also belongs to order ' || max(i.order_id) AS what
	FROM idempotency_keys i
	GROUP BY i.client, i.key HAVING count(*) > 1`

const orderWithoutRequestSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject, 'no request of client ' || o.client || ' made it' AS what
	FROM orders o LEFT JOIN idempotency_keys i ON i.order_id = o.id AND i.client = o.client
	WHERE i.order_id IS NULL`

const orderAmountSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'it costs ' || o.gross_minor || ' and its lines ' || coalesce(l.total, 0) || ' minor units' AS what
	FROM orders o LEFT JOIN (SELECT order_id, sum(gross_minor) AS total FROM line_items
		GROUP BY order_id) l ON l.order_id = o.id
	WHERE o.gross_minor <> coalesce(l.total, 0)`
