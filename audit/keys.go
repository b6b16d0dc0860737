package audit

import (
	"context"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// keyProbes look at keys and their pools.
var keyProbes = []probe{
	{"B2", keysOfLineSQL},
	{"B2", keyStateSQL},
	{"B3", batchRecountSQL},
	{"B3", stockRecountSQL},
	{"B3", keyLogSQL},
	{"B3", undoneSQL},
	{"B3", replacedSQL},
	{"B5", seenAndFreedSQL},
	{"B7", waitsBesideStockSQL},
	{"B7", expiredSQL},
	{"B8", lowStockSQL},
}

// keysOfLineSQL counts a line's keys. What a line needs was decided when it was sold; of a line from before that was
// noted, it is its product's decision of today, so where the product was edited since, both one key and one per unit
// will do. A partner may deliver by an acknowledgement alone, and
// an operation on a licence may leave its keys as they are.
const keysOfLineSQL = `
	WITH have AS (
		SELECT u.line_id, count(*) AS n, count(*) FILTER (WHERE u.pooled) AS pooled
		FROM (
			SELECT k.line_id, true AS pooled FROM pool_keys k WHERE k.line_id IS NOT NULL AND k.state <> 'recalled'
			UNION ALL
			SELECT y.line_id, false FROM deliverables y WHERE y.kind = 'code'
		) u GROUP BY u.line_id
	), sold AS (
		SELECT p.id, p.updated_at, coalesce(CAST(p.spec AS json) ->> 'quantityMode' = 'one_per_line', false) AS one
			FROM products p
	), lines AS (
		SELECT l.id, l.order_id, l.obtained_at IS NOT NULL AND l.status NOT IN ('CANCELING', 'CANCELED') AS has, l.status,
			l.obtained_at,
			coalesce(h.n, 0) AS n, coalesce(h.pooled, 0) AS pooled,
			CASE WHEN coalesce(l.quantity_mode = 'one_per_line', p.one) THEN 1 ELSE l.quantity END AS units,
			l.quantity_mode IS NULL AND p.updated_at > l.created_at AS edited, l.quantity, l.license_id IS NOT NULL AS operates
		FROM line_items l JOIN sold p ON p.id = l.product_id LEFT JOIN have h ON h.line_id = l.id
	)
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' with ' || l.n || ' keys and needs ' || l.units AS what
	FROM lines l
	WHERE (l.n > l.units AND NOT (l.edited AND l.n <= l.quantity))
		OR (l.has AND NOT l.operates AND l.n > 0 AND l.n <> l.units AND NOT (l.edited AND l.n IN (1, l.quantity)))
		OR (l.has AND NOT l.operates AND l.n = 0
			AND NOT EXISTS (SELECT FROM deliverables y WHERE y.line_id = l.id)
			AND NOT EXISTS (SELECT FROM attempts a WHERE a.line_id = l.id AND a.outcome = 'success' AND a.operation <> 'cancel'))
		OR (l.obtained_at IS NULL AND l.pooled > 0)`

// keyStateSQL compares a pool key's state with the status of its line, and of its licence.
const keyStateSQL = `
	SELECT l.order_id, k.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS subject,
		'it is ' || k.state || CASE WHEN l.id IS NULL THEN ' for a line that is not there'
			ELSE ' and its line is ' || l.status END AS what
	FROM pool_keys k LEFT JOIN line_items l ON l.id = k.line_id
	LEFT JOIN licenses c ON c.id = coalesce(l.license_id, l.fulfillment_id) AND c.status = 'Canceled'
	WHERE k.line_id IS NOT NULL AND coalesce(l.status, '') NOT IN ('OBTAINED', 'RETRYING', 'HELD', 'DELIVERED',
		'CANCELING', 'CANCELED')
		OR k.line_id IS NOT NULL AND CASE k.state
			WHEN 'claimed' THEN l.status NOT IN ('OBTAINED', 'RETRYING', 'HELD') AND NOT (l.status = 'DELIVERED' AND EXISTS (
				SELECT FROM replacements r JOIN deliveries y ON y.id = r.delivery_id WHERE r.new_key_id = k.id
					AND y.status <> 'SENT'))
			WHEN 'delivered' THEN l.status <> 'DELIVERED' OR c.id IS NOT NULL AND l.license_id IS NULL
			WHEN 'recalled' THEN l.status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED')
			WHEN 'quarantined' THEN l.status NOT IN ('CANCELING', 'CANCELED') AND c.id IS NULL
			ELSE true END
		OR k.line_id IS NULL AND k.state IN ('claimed', 'delivered', 'recalled')`

// keyLogSQL replays the log of each key: it must follow the table of steps and end where the key is. Being sold and
// being withdrawn are not in it, so it says nothing between "available" and what came after "delivered".
const keyLogSQL = `
	WITH steps AS (
		SELECT g.key_id, g.from_state, g.to_state, g.id, lag(g.to_state, 1, 'available') OVER (PARTITION BY g.key_id
			ORDER BY g.id) AS before FROM key_log g
	), last AS (
		SELECT DISTINCT ON (key_id) key_id, to_state FROM key_log ORDER BY key_id, id DESC
	)
	SELECT NULL AS order_id, k.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS subject,
		'it is ' || k.state || ' and its log ends with ' || coalesce(g.to_state, 'nothing') AS what
	FROM pool_keys k LEFT JOIN last g ON g.key_id = k.id
	WHERE CASE WHEN k.state IN ('available', 'claimed', 'delivered', 'withdrawn') THEN coalesce(g.to_state,
		'available') <> 'available' ELSE g.to_state IS DISTINCT FROM k.state END
	UNION ALL
	SELECT NULL, NULL, 'key ' || s.key_id, 'its log goes from ' || s.before || ' on with ' || s.from_state FROM steps s
		WHERE s.before <> 'available'
	UNION ALL
	SELECT NULL, NULL, 'key ' || s.key_id, 'its log names a key that is not there' FROM steps s
		WHERE NOT EXISTS (SELECT FROM pool_keys k WHERE k.id = s.key_id)`

// replacedSQL compares replacements with keys: who was promised another key has one or waits for it, once.
const replacedSQL = `
	SELECT l.order_id, r.line_id, 'key ' || r.key_id || ' of pool ' || r.pool_id AS subject,
		'its replacement is ' || r.status || ', it is ' || k.state || ', the new key is ' || coalesce(n.state, 'not there') AS what
	FROM replacements r JOIN pool_keys k ON k.id = r.key_id JOIN line_items l ON l.id = r.line_id LEFT
		JOIN pool_keys n ON n.id = r.new_key_id
	WHERE (r.status = 'DONE') <> (k.state = 'recalled')
		OR r.status = 'DONE' AND (n.line_id IS DISTINCT FROM r.line_id OR n.unit_no IS DISTINCT FROM r.unit_no
			OR n.state NOT IN ('claimed', 'delivered', 'quarantined', 'recalled'))
		OR r.status = 'OWED' AND l.status IN ('CANCELING', 'CANCELED')`

// expiredSQL finds keys that were given away although too little of their validity was left.
const expiredSQL = `
	SELECT l.order_id, k.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS subject,
		'it was given away after ' || k.give_until AS what
	FROM pool_keys k JOIN line_items l ON l.id = k.line_id
	WHERE k.give_until IS NOT NULL AND k.give_until < l.obtained_at
		AND NOT EXISTS (SELECT FROM replacements r WHERE r.new_key_id = k.id)`

// undoneSQL compares withdrawn keys with the imports that were undone.
const undoneSQL = `
	SELECT NULL AS order_id, k.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS subject,
		'it is ' || k.state || ' and its import was ' || CASE WHEN b.undone_at IS NULL THEN 'not '
			ELSE '' END || 'undone' AS what
	FROM pool_keys k JOIN batches b ON b.id = k.batch_id
	WHERE CASE WHEN b.undone_at IS NULL THEN k.state = 'withdrawn' ELSE k.state NOT IN ('withdrawn', 'expired') END`

const batchRecountSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'import ' || coalesce(b.id, k.batch_id) || ' of pool ' || coalesce(b.pool_id,
		k.pool_id) AS subject,
		coalesce(b.accepted, 0) || ' keys were imported and ' || coalesce(k.n, 0) || ' are there' AS what
	FROM batches b FULL JOIN (SELECT batch_id, pool_id, count(*) AS n FROM pool_keys GROUP BY batch_id, pool_id) k
		ON k.batch_id = b.id AND k.pool_id = b.pool_id
	WHERE coalesce(b.accepted, 0) <> coalesce(k.n, 0)`

const stockRecountSQL = `
	WITH counted AS (
		SELECT pool_id, count(*) FILTER (WHERE state = 'available') AS available,
			count(*) FILTER (WHERE state = 'claimed') AS claimed, count(*) FILTER (WHERE state = 'delivered') AS delivered,
			count(*) FILTER (WHERE state = 'quarantined') AS quarantined, count(*) FILTER (WHERE state = 'recalled') AS recalled,
				count(*) FILTER (WHERE state = 'expired') AS expired, count(*) FILTER (WHERE state = 'withdrawn') AS withdrawn
		FROM pool_keys GROUP BY pool_id
	), figures AS (
		SELECT pool_id, sum(available) AS available, sum(claimed) AS claimed, sum(delivered) AS delivered,
			sum(quarantined) AS quarantined, sum(recalled) AS recalled, sum(expired) AS expired, sum(withdrawn) AS withdrawn
		FROM pool_stock GROUP BY pool_id
	), compared AS (
		SELECT p.id, concat_ws(', ', coalesce(f.available, 0) || ' available', coalesce(f.claimed, 0) || ' claimed',
			coalesce(f.delivered, 0) || ' delivered', coalesce(f.quarantined, 0) || ' quarantined',
			coalesce(f.recalled, 0) || ' recalled', coalesce(f.expired, 0) || ' expired',
			coalesce(f.withdrawn, 0) || ' withdrawn') AS said,
			concat_ws(', ', coalesce(c.available, 0) || ' available', coalesce(c.claimed, 0) || ' claimed', coalesce(c.delivered, 0) || ' delivered', coalesce(c.quarantined, 0) || ' quarantined', coalesce(c.recalled, 0) || ' recalled', coalesce(c.expired, 0) || ' expired', coalesce(c.withdrawn, 0) || ' withdrawn') AS found
		FROM pools p LEFT JOIN counted c ON c.pool_id = p.id LEFT JOIN figures f ON f.pool_id = p.id
	)
	SELECT NULL AS order_id, NULL AS line_id, 'pool ' || id AS subject,
		'its figures say ' || said || '; counted are ' || found AS what
	FROM compared WHERE said <> found`

// seenAndFreedSQL finds cancelled lines whose keys may have been seen and are not in quarantine: a line that had its
// keys from a pool, and now has none.
const seenAndFreedSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'its keys may have been seen, and went back to their pool' AS what
	FROM line_items l
	WHERE l.status IN ('CANCELING', 'CANCELED') AND l.obtained_at IS NOT NULL
		AND (EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.kind = 'keys'
			AND (d.exposed OR d.status <> 'READY'))
			OR EXISTS (SELECT FROM access_log a WHERE a.line_id = l.id AND a.at >= l.obtained_at))
		AND NOT EXISTS (SELECT FROM pool_keys k WHERE k.line_id = l.id)
		AND NOT EXISTS (SELECT FROM deliverables y WHERE y.line_id = l.id)
		AND NOT EXISTS (SELECT FROM attempts a WHERE a.line_id = l.id AND a.outcome = 'success' AND a.operation <> 'cancel')`

// waitsBesideStockSQL looks at the first of each queue, unless customers wait for replacements, who come first. It
// counts only keys that have been available for a while.
const waitsBesideStockSQL = `
	WITH first AS (
		SELECT DISTINCT ON (l.waiting_pool) l.waiting_pool, l.id, l.order_id,
			CASE WHEN coalesce(l.quantity_mode, CAST(p.spec AS json) ->> 'quantityMode') = 'one_per_line' THEN 1
				ELSE l.quantity END AS units,
			(SELECT max(g.at) FROM line_log g WHERE g.line_id = l.id) AS since
		FROM line_items l JOIN products p ON p.id = l.product_id JOIN orders o ON o.id = l.order_id
		WHERE l.waiting_pool IS NOT NULL AND o.cancel_reason IS NULL
			AND NOT EXISTS (SELECT FROM replacements r WHERE r.pool_id = l.waiting_pool AND r.status = 'OWED'
				AND r.failed_at IS NULL)
		ORDER BY l.waiting_pool, l.created_at, l.id
	), stock AS (
		SELECT f.id, (SELECT count(*) FROM (
			SELECT FROM pool_keys k
			WHERE k.pool_id = f.waiting_pool AND k.state = 'available' AND k.changed_at < now() - make_interval(secs => :slack)
			LIMIT f.units) enough) AS n
		FROM first f
	)
	SELECT f.order_id, f.id AS line_id, 'pool ' || f.waiting_pool AS subject,
		'it waits for ' || f.units || ' keys and the pool has them' AS what
	FROM first f JOIN stock s ON s.id = f.id
	WHERE s.n >= f.units AND f.since < now() - make_interval(secs => :slack)`

// lowStockSQL gives each crossing of a threshold time to be noticed: what changed lately counts in the pool's favour.
const lowStockSQL = `
	WITH lately AS (
		SELECT k.pool_id, count(*) FILTER (WHERE k.state <> 'available') AS gone,
			count(*) FILTER (WHERE k.state = 'available') AS come
		FROM pool_keys k WHERE k.changed_at >= now() - make_interval(secs => :slack) GROUP BY k.pool_id
	), stock AS (
		SELECT p.id, p.updated_at, CAST(coalesce(CAST(p.spec AS json) ->> 'threshold', '0') AS bigint) AS threshold,
			coalesce((SELECT sum(s.available) FROM pool_stock s WHERE s.pool_id = p.id), 0) AS available,
				coalesce(y.gone, 0) AS gone, coalesce(y.come, 0) AS come,
			EXISTS (SELECT FROM alerts a WHERE a.pool_id = p.id AND a.cause = '` + string(keyturn.AlertLowStock) + `'
				AND a.closed_at IS NULL) AS alerted
		FROM pools p LEFT JOIN lately y ON y.pool_id = p.id
	)
	SELECT NULL AS order_id, NULL AS line_id, 'pool ' || id AS subject,
		available || ' keys are left, the threshold is ' || threshold || CASE
			WHEN alerted THEN ', and its alert is still open' ELSE ', and there is no alert' END AS what
	FROM stock
	WHERE updated_at < now() - make_interval(secs => :slack)
		AND CASE WHEN alerted THEN available - come >= threshold ELSE available + gone < threshold END`

// twiceSQL finds keys on two units that may not share one, by the rule that refuses them where they come in
// (may_share_code). Keys of people from before there was that rule may have no fingerprint in the database; they come
// as arguments.
const twiceSQL = `
	WITH units AS (
		SELECT k.fingerprint, k.line_id, k.unit_no FROM pool_keys k WHERE k.line_id IS NOT NULL AND k.state <> 'recalled'
		UNION ALL
		SELECT y.fingerprint, y.line_id, y.unit_no FROM deliverables y WHERE y.kind = 'code' AND y.fingerprint IS NOT NULL
			AND y.shared IS DISTINCT FROM 'returned' AND y.shared IS DISTINCT FROM 'volume'
		UNION ALL
		SELECT t.fingerprint, t.line_id, t.unit_no
		FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:lines AS uuid[]), CAST(:units AS int[])) AS t (fingerprint, line_id,
			unit_no)
	), twice AS (
		SELECT fingerprint FROM units GROUP BY fingerprint HAVING count(*) > 1
	), owners AS (
		SELECT u.fingerprint, u.line_id, u.unit_no, l.order_id, coalesce(l.license_id, l.fulfillment_id) AS license,
			l.subscription_id, l.product_id, o.customer_id
		FROM twice t JOIN units u ON u.fingerprint = t.fingerprint JOIN line_items l ON l.id = u.line_id
			JOIN orders o ON o.id = l.order_id
	)
	SELECT a.order_id, a.line_id, NULL AS subject,
		'unit ' || a.unit_no || ' has a key that ' || count(*) || ' other units have too' AS what
	FROM owners a JOIN owners b ON b.fingerprint = a.fingerprint AND (b.line_id, b.unit_no) <> (a.line_id, a.unit_no)
	WHERE NOT may_share_code(a.line_id, a.license, a.subscription_id, a.customer_id, a.product_id,
		b.line_id, b.license, b.subscription_id, b.customer_id, b.product_id)
	GROUP BY a.order_id, a.line_id, a.unit_no`

// forSaleSQL finds keys that a line has from elsewhere and that a pool still offers.
const forSaleSQL = `
	WITH units AS (
		SELECT y.fingerprint, y.line_id FROM deliverables y WHERE y.kind = 'code' AND y.fingerprint IS NOT NULL
		UNION ALL
		SELECT t.fingerprint, t.line_id FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:lines AS uuid[])) AS t (fingerprint,
			line_id)
	)
	SELECT l.order_id, u.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS subject,
		'the line has this key, and it is for sale' AS what
	FROM units u JOIN pool_keys k ON k.fingerprint = u.fingerprint JOIN line_items l ON l.id = u.line_id
	WHERE k.state = 'available'`

// checkSupplied runs the probes that also need the keys that people supplied.
func (r *run) checkSupplied(ctx context.Context) error {
	supplied, err := r.suppliedKeys(ctx)
	if err != nil {
		return err
	}
	var fingerprints [][]byte
	var lines []string
	var units []int64
	for _, k := range supplied {
		fingerprints, lines, units = append(fingerprints, k.Fingerprint), append(lines, k.LineID),
			append(units, int64(k.UnitNo))
	}
	args := map[string]any{"fingerprints": pq.Array(fingerprints), "lines": pq.Array(lines), "units": pq.Array(units)}
	if err := r.probe(ctx, probe{"B1", twiceSQL}, args); err != nil {
		return err
	}
	return r.probe(ctx, probe{"B5", forSaleSQL}, args)
}
