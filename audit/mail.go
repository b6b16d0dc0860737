package audit

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// mailProbes look at e-mails as they were booked.
var mailProbes = []probe{
	{"D1", deliveredUnsentSQL},
	{"D2", sentUntriedSQL},
	{"D4", keysAfterCancelSQL},
	{"D6", numberingSQL},
	{"D1", untoldSQL},
	{"D1", withdrawnInVainSQL},
	{"D2", paymentMailUntriedSQL},
	{"D2", libraryMailUntriedSQL},
	{"M1", bouncedUnknownSQL},
	{"M1", paymentBouncedUnknownSQL},
	{"M2", oldAddressSQL},
	{"M2", anewTwiceSQL},
}

// revealedSQL is the condition on the line l that its customer's look at the order page delivered it, because its
// e-mail did not go out.
const revealedSQL = `EXISTS (SELECT FROM line_log g WHERE g.line_id = l.id AND g.by = 'customer'
		AND g.to_status = 'DELIVERED' AND g.from_status = 'RETRYING')`

const deliveredUnsentSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is delivered, no e-mail with its keys went out, and its customer did not open them' AS what
	FROM line_items l LEFT JOIN deliveries d ON d.line_id = l.id AND d.kind = 'keys' AND (d.status = 'SENT'
		OR l.license_id IS NOT NULL AND l.operation IN ('pause', 'resume', 'cancel')) -- done before its notice is sent
	WHERE l.status = 'DELIVERED' AND d.id IS NULL AND NOT ` + revealedSQL

const sentUntriedSQL = `
	SELECT l.order_id, d.line_id, 'e-mail ' || d.id AS subject,
		'it counts as sent without an attempt, a time, or its keys as seen' AS what
	FROM deliveries d LEFT JOIN line_items l ON l.id = d.line_id
	WHERE d.status = 'SENT' AND (d.sent_at IS NULL OR NOT d.exposed OR d.attempts < 1)
		OR d.status <> 'READY' AND d.attempts < 1`

const keysAfterCancelSQL = `
	SELECT l.order_id, l.id AS line_id, 'e-mail ' || d.id AS subject,
		'keys were mailed after the line was cancelled' AS what
	FROM line_items l JOIN deliveries d ON d.line_id = l.id
	WHERE l.status = 'CANCELED' AND d.kind = 'keys' AND d.sent_at > l.canceled_at`

const numberingSQL = `
	SELECT l.order_id, d.line_id, NULL AS subject, 'its ' || d.n || ' e-mails are numbered up to ' || d.last AS what
	FROM (SELECT line_id, count(*) AS n, max(number) AS last FROM deliveries
		GROUP BY line_id HAVING count(*) <> max(number) OR min(number) <> 1) d
	LEFT JOIN line_items l ON l.id = d.line_id`

// untoldSQL finds orders and payments of checkout links whose customer is told nothing of them. What is owed back of a
// payment with an order is told by the e-mail that nothing is delivered, or corrects one that said otherwise.
const untoldSQL = `
	SELECT coalesce(p.order_id, k.order_id) AS order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'there is no e-mail of the kind ' || t.kind AS what
	FROM payments p JOIN checkout_links k ON k.id = p.link_id
	CROSS JOIN LATERAL (
		SELECT '` + string(keyturn.MailConfirmation) + `' AS kind WHERE p.order_id IS NOT NULL
		UNION ALL SELECT '` + string(keyturn.MailRefused) + `' WHERE p.status = 'FAILED'
		UNION ALL SELECT '` + string(keyturn.MailEnded) + `' WHERE p.status IN ('VOIDED', 'LOST')
			OR p.status = 'CAPTURED' AND p.order_id IS NULL
		UNION ALL SELECT '` + string(keyturn.MailCorrected) + `' WHERE p.order_id IS NOT NULL AND EXISTS (
			SELECT FROM payment_refunds r WHERE r.payment_id = p.id AND NOT EXISTS (
				SELECT FROM payment_mails e WHERE e.payment_id = p.id AND e.kind = '` + string(keyturn.MailEnded) + `'
					AND e.created_at >= r.created_at))
	) t
	WHERE NOT EXISTS (SELECT FROM payment_mails m WHERE m.payment_id = p.id AND m.kind = t.kind)`

// withdrawnInVainSQL: a withdrawal is confirmed in the transaction that has something cancelled for it.
const withdrawnInVainSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'its customer was told that the withdrawal has arrived, and nothing of the order is to be cancelled' AS what
	FROM payment_mails m JOIN payments p ON p.id = m.payment_id JOIN orders o ON o.id = p.order_id
	WHERE m.kind = '` + string(keyturn.MailWithdrawal) + `' AND o.cancel_reason IS NULL
		AND NOT EXISTS (SELECT FROM line_items l WHERE l.order_id = o.id AND l.cancel_reason IS NOT NULL)`

const paymentMailUntriedSQL = `
	SELECT p.order_id, NULL AS line_id, 'e-mail ' || m.id AS subject,
		'it counts as sent or tried without an attempt' AS what
	FROM payment_mails m JOIN payments p ON p.id = m.payment_id
	WHERE m.status <> 'READY' AND (m.attempts < 1 OR m.message IS NULL)`

const libraryMailUntriedSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'e-mail ' || k.id AS subject,
		'it counts as sent or tried without an attempt' AS what
	FROM library_links k
	WHERE k.status <> 'READY' AND (k.attempts < 1 OR k.message IS NULL)`

// bouncedUnknownSQL: an alert stays, whoever closes it.
var bouncedUnknownSQL = `
	SELECT l.order_id, y.line_id, 'e-mail ' || y.id AS subject,
		'it came back (' || b.kind || '), operations were not told, and no other e-mail was made' AS what
	FROM bounces b JOIN deliveries y ON y.id = b.delivery_id JOIN line_items l ON l.id = y.line_id
	WHERE NOT b.replaced AND b.kind IN (` + pg.TextList(keyturn.BouncedKinds...) + `)
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = y.line_id
			AND a.cause = '` + string(keyturn.AlertBounced) + `')
		AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = y.kind AND n.number > y.number)`

// paymentBouncedUnknownSQL: nobody can do something about an e-mail of which no order came.
var paymentBouncedUnknownSQL = `
	SELECT p.order_id, NULL AS line_id, 'e-mail ' || m.id AS subject,
		'it came back (' || b.kind || '), operations were not told, and no other e-mail was made' AS what
	FROM bounces b JOIN payment_mails m ON m.id = b.payment_mail_id JOIN payments p ON p.id = m.payment_id
	WHERE NOT b.replaced AND b.kind IN (` + pg.TextList(keyturn.BouncedKinds...) + `) AND p.order_id IS NOT NULL
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.subject = 'payment/' || p.id
			AND a.cause = '` + string(keyturn.AlertBounced) + `')
		AND NOT EXISTS (SELECT FROM payment_mails n
			WHERE n.payment_id = m.payment_id AND n.kind = m.kind AND n.created_at > m.created_at)`

// oldAddressSQL: a report may be wrong, or a change somebody else's.
const oldAddressSQL = `
	SELECT h.order_id, h.line_id, 'change ' || h.id AS subject,
		'the old address was told ' || count(y.id) || ' times of the new one' AS what
	FROM address_changes h LEFT JOIN (
		SELECT id, change_id FROM deliveries WHERE kind = 'addressChanged'
		UNION ALL SELECT id, change_id FROM payment_mails WHERE kind = 'addressChanged'
	) y ON y.change_id = h.id
	WHERE h.done_at IS NOT NULL GROUP BY h.id HAVING count(y.id) <> 1`

const anewTwiceSQL = `
	SELECT h.order_id, y.line_id, 'change ' || h.id AS subject,
		count(*) || ' e-mails with the same keys were made for one change of the address' AS what
	FROM deliveries y JOIN address_changes h ON h.id = y.change_id
	WHERE y.kind = 'keys' GROUP BY h.id, y.line_id HAVING count(*) > 1`
