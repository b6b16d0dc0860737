package db

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// broken are queries that find what must never be; each row is a fault, of a row of the table that the query names
// first. $1 is the beginning of the IDs of the orders and pools to look at.
var broken = map[string]string{
	"an order's counts are not a recount": `
		SELECT o.id FROM orders o JOIN line_items l ON l.order_id = o.id WHERE o.id LIKE $1 GROUP BY o.id
		HAVING lines_total <> count(*) OR lines_trouble <> count(*) FILTER (WHERE l.status IN ('RETRYING',
			'WAITING_FOR_STOCK', 'HELD'))
			OR lines_delivered <> count(*) FILTER (WHERE l.status = 'DELIVERED')
				OR lines_canceling <> count(*) FILTER (WHERE l.status = 'CANCELING')
			OR lines_canceled <> count(*) FILTER (WHERE l.status = 'CANCELED')`,
	"an order's amount is not the sum of its lines": `
		SELECT o.id FROM orders o JOIN line_items l ON l.order_id = o.id WHERE o.id LIKE $1
			GROUP BY o.id HAVING o.gross_minor <> sum(l.gross_minor)`,
	"the log is no path to the line's status": `
		SELECT l.id FROM line_items l LEFT JOIN LATERAL (SELECT to_status, version FROM line_log g WHERE g.line_id = l.id
			ORDER BY version DESC LIMIT 1) g ON true
		WHERE l.order_id LIKE $1 AND (coalesce(g.to_status, 'PENDING') <> l.status OR coalesce(g.version, 1) > l.version)`,
	"a step of the log does not follow the one before": `
		SELECT line_id FROM (
			SELECT g.*, lag(to_status, 1, 'PENDING') OVER w AS before, lag(g.version, 1, 1) OVER w AS last
			FROM line_log g JOIN line_items l ON l.id = g.line_id WHERE l.order_id LIKE $1 WINDOW w AS (PARTITION BY line_id
				ORDER BY g.version)
		) s WHERE before <> from_status OR version <= last`,
	"stock figures are not a recount": `
		SELECT p.id FROM pools p WHERE p.id LIKE $1 AND EXISTS (
			SELECT FROM (SELECT coalesce(sum(available), 0) AS a, coalesce(sum(claimed), 0) AS c,
				coalesce(sum(delivered), 0) AS d, coalesce(sum(quarantined), 0) AS q,
					coalesce(sum(recalled), 0) AS r, coalesce(sum(expired), 0) AS e, coalesce(sum(withdrawn), 0) AS w FROM pool_stock
						WHERE pool_id = p.id) s,
				(SELECT count(*) FILTER (WHERE state = 'available') AS a, count(*) FILTER (WHERE state = 'claimed') AS c,
					count(*) FILTER (WHERE state = 'delivered') AS d, count(*) FILTER (WHERE state = 'quarantined') AS q,
					count(*) FILTER (WHERE state = 'recalled') AS r, count(*) FILTER (WHERE state = 'expired') AS e,
					count(*) FILTER (WHERE state = 'withdrawn') AS w FROM pool_keys WHERE pool_id = p.id) k
			WHERE (s.a, s.c, s.d, s.q, s.r, s.e, s.w) IS DISTINCT FROM (k.a, k.c, k.d, k.q, k.r, k.e, k.w))`,
	"a key's log does not end where the key is": `
		SELECT k.id FROM pool_keys k LEFT JOIN LATERAL (SELECT to_state FROM key_log g WHERE g.key_id = k.id ORDER BY id DESC
			LIMIT 1) g ON true
		WHERE k.pool_id LIKE $1 AND CASE WHEN k.state IN ('available', 'claimed', 'delivered',
			'withdrawn') THEN coalesce(g.to_state, 'available') <> 'available'
			ELSE g.to_state IS DISTINCT FROM k.state END`,
	"a key appeared or went": `
		SELECT b.id FROM batches b WHERE b.pool_id LIKE $1 AND accepted <> (SELECT count(*) FROM pool_keys
			WHERE batch_id = b.id)`,
	"a key is not withdrawn with its import": `
		SELECT k.id FROM pool_keys k JOIN batches b ON b.id = k.batch_id
		WHERE k.pool_id LIKE $1 AND CASE WHEN b.undone_at IS NULL THEN k.state = 'withdrawn'
			ELSE k.state NOT IN ('withdrawn', 'expired') END`,
	"a line has keys that its status does not give it": `
		SELECT k.id FROM pool_keys k LEFT JOIN line_items l ON l.id = k.line_id
		WHERE k.pool_id LIKE $1 AND k.state <> 'available' AND NOT CASE k.state
			WHEN 'claimed' THEN l.status IN ('OBTAINED', 'RETRYING', 'HELD') AND l.obtained_at IS NOT NULL
				OR l.status = 'DELIVERED' AND EXISTS (SELECT FROM replacements r JOIN deliveries y ON y.id = r.delivery_id
					WHERE r.new_key_id = k.id AND y.status <> 'SENT')
			WHEN 'delivered' THEN l.status = 'DELIVERED'
			WHEN 'recalled' THEN l.status IN ('DELIVERED', 'CANCELING', 'CANCELED')
			WHEN 'quarantined' THEN l.id IS NULL OR l.status IN ('CANCELING', 'CANCELED') OR EXISTS (
				SELECT FROM licenses c WHERE c.id = coalesce(l.license_id, l.fulfillment_id) AND c.status = 'Canceled')
			ELSE l.id IS NULL END`,
	"a delivered line has no licence or no sent e-mail": `
		SELECT l.id FROM line_items l WHERE l.order_id LIKE $1 AND l.status = 'DELIVERED' AND NOT (
			(l.operation = 'cancel' OR EXISTS (SELECT FROM licenses c WHERE c.id = coalesce(l.license_id, l.fulfillment_id)))
			AND (EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND kind = 'keys'
					AND (d.status = 'SENT' OR l.operation IN ('pause', 'resume', 'cancel')))
				OR EXISTS (SELECT FROM line_log g JOIN access_log a ON a.line_id = g.line_id AND a.by = g.by
					WHERE g.line_id = l.id AND g.by = 'customer' AND g.to_status = 'DELIVERED' AND a.what IN ('keys', 'file'))))`,
	"a licence is not what its operations made of it": `
		SELECT c.id FROM licenses c JOIN line_items l ON l.id = c.line_id
		WHERE l.order_id LIKE $1 AND c.status <> CASE WHEN l.status IN ('CANCELING', 'CANCELED') THEN 'Canceled'
			ELSE coalesce(
			(SELECT to_status FROM license_steps s WHERE s.license_id = c.id AND s.withdrawn_at IS NULL ORDER BY no DESC
				LIMIT 1), 'Running') END`,
	"an operation is done before one that was accepted earlier is decided": `
		SELECT b.id FROM line_items b JOIN line_items a ON (a.license_id = b.license_id AND a.operation_no < b.operation_no
			OR a.fulfillment_id = b.license_id)
		WHERE b.order_id LIKE $1 AND b.status IN ('OBTAINED', 'DELIVERED') AND a.status NOT IN ('DELIVERED', 'CANCELING',
			'CANCELED')`,
	"an operation waits for nothing": `
		SELECT b.id FROM line_items b WHERE b.order_id LIKE $1 AND b.blocked AND b.status NOT IN ('DELIVERED', 'CANCELING',
			'CANCELED')
			AND NOT EXISTS (SELECT FROM line_items a WHERE (a.license_id = b.license_id AND a.operation_no < b.operation_no
				OR a.fulfillment_id = b.license_id)
				AND a.status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED'))
			AND NOT EXISTS (SELECT FROM outbox x WHERE x.workflow = 'license' AND x.subject = CAST(b.license_id AS text))`,
	"delivered and refunded, or cancelled and not refunded": `
		SELECT l.id FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id
		WHERE l.order_id LIKE $1 AND ((l.status IN ('CANCELING', 'CANCELED')) <> (r.line_id IS NOT NULL)
			OR (l.status = 'CANCELED') <> coalesce(r.status = 'DONE', false)
			OR r.amount_minor <> l.gross_minor AND NOT (r.amount_minor < l.gross_minor AND EXISTS (
				SELECT FROM payments p WHERE p.order_id = l.order_id AND (r.amount_minor = 0 OR p.authorized_minor < p.total_minor))))`,
	"a payment's order was charged for what it did not get": `
		SELECT p.id FROM payments p WHERE p.order_id LIKE $1 AND p.status = 'CAPTURED' AND p.captured_minor - coalesce((
			SELECT amount_minor FROM payment_refunds WHERE payment_id = p.id), 0) <> (
			SELECT coalesce(sum(CASE WHEN r.line_id IS NULL THEN l.gross_minor ELSE r.amount_minor END), 0)
			FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id WHERE l.order_id = p.order_id)`,
	"a payment that was not charged has a refund": `
		SELECT p.id FROM payments p JOIN refunds r ON r.order_id = p.order_id
		WHERE p.order_id LIKE $1 AND p.status IN ('VOIDING', 'VOIDED', 'LOST') AND r.amount_minor > 0`,
	"a key went out before it was charged": `
		SELECT p.id FROM payments p JOIN line_items l ON l.order_id = p.order_id
		JOIN deliveries y ON y.line_id = l.id AND y.kind = 'keys' AND y.attempts > 0
		WHERE p.order_id LIKE $1 AND p.status <> 'CAPTURED'`,
	"a link is used without a payment, or the other way about": `
		SELECT k.id FROM checkout_links k WHERE k.order_id LIKE $1 AND (k.status = 'USED') <> EXISTS (
			SELECT FROM payments p WHERE p.link_id = k.id AND p.order_id IS NOT NULL)`,
	"more was refunded than was captured": `
		SELECT p.order_id FROM sandbox_payments p JOIN sandbox_refunds r USING (reference, order_id)
		WHERE p.order_id LIKE $1 AND r.applied_at IS NOT NULL
			GROUP BY p.order_id, captured_minor HAVING sum(amount_minor) > captured_minor`,
	"a decided line still has an open alert": `
		SELECT a.id FROM alerts a JOIN line_items l ON l.id = a.line_id
		WHERE l.order_id LIKE $1 AND l.status IN ('DELIVERED', 'CANCELED') AND a.closed_at IS NULL
			AND a.cause NOT IN (` + lastingCauses + `)`,
	"a line in trouble has no alert": `
		SELECT l.id FROM line_items l WHERE l.order_id LIKE $1 AND l.status IN ('RETRYING', 'WAITING_FOR_STOCK')
			AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = l.id)
				AND NOT EXISTS (SELECT FROM resolutions r WHERE r.line_id = l.id)`,
	"a waiting line has keys": `
		SELECT l.id FROM line_items l JOIN pool_keys k ON k.line_id = l.id WHERE l.order_id LIKE $1
			AND l.status = 'WAITING_FOR_STOCK'`,
	"an order's status is not that of its counts": `
		SELECT id FROM orders WHERE id LIKE $1 AND status <> order_status(lines_total, lines_trouble, lines_delivered,
			lines_canceling, lines_canceled)`,
}

var firstTable = regexp.MustCompile(`FROM (\w+)`)

// anyBroken names the faults that there are, in one statement. It looks for those that the tables with rows can have,
// because PostgreSQL takes longer to plan this than to carry it out.
func anyBroken(filled []string) string {
	all := []string{"SELECT '' WHERE CAST($1 AS text) IS NULL"}
	for _, fault := range slices.Sorted(maps.Keys(broken)) { // each time the same statement, which is prepared once
		query := broken[fault]
		if slices.Contains(filled, firstTable.FindStringSubmatch(query)[1]) {
			all = append(all, "SELECT '"+strings.ReplaceAll(fault, "'",
				"''")+": ' || string_agg(CAST(id AS text), ' ') FROM ("+query+") q (id) HAVING count(*) > 0")
		}
	}
	return strings.Join(all, " UNION ALL ")
}

// filled are the tables that have rows, or had some.
func (s *shop) filled() []string {
	s.t.Helper()
	return reads[string](s, `SELECT relname FROM pg_class
		WHERE relnamespace = CAST('public' AS regnamespace) AND relkind = 'r' AND pg_relation_size(oid) > 0`)
}

// invariants requires all that must hold at any moment, for the orders and pools whose IDs begin with prefix.
func (s *shop) invariants(prefix string) {
	s.t.Helper()
	require.Empty(s.t, reads[string](s, anyBroken(s.filled()), prefix+"%"))
	steps := reads[struct {
		From keyturn.LineStatus `db:"from_status"`
		To   keyturn.LineStatus `db:"to_status"`
	}](s, `SELECT DISTINCT from_status, to_status FROM line_log`)
	for _, step := range steps {
		require.True(s.t, step.From.CanBecome(step.To), "%s to %s", step.From, step.To)
	}
	counts := reads[struct {
		Status keyturn.OrderStatus `db:"status"`
		keyturn.LineCounts
	}](s, `
		SELECT status, lines_total AS total, lines_trouble AS trouble, lines_delivered AS delivered,
			lines_canceling AS canceling,
			lines_canceled AS canceled FROM orders WHERE id LIKE $1`, prefix+"%")
	for _, c := range counts {
		require.Equal(s.t, keyturn.OrderStatusOf(c.LineCounts), c.Status)
		require.True(s.t, slices.Contains(keyturn.OrderStatuses, c.Status))
	}
}
