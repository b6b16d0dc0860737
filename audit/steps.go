package audit

import (
	"context"
	"slices"
	"strings"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// stepProbes look at how lines came to where they stand, and their orders with them.
var stepProbes = []probe{
	{"F1", stepPathSQL()},
	{"F1", stepEndSQL},
	{"F1", decidedByNobodySQL()},
	{"F1", undecidedDeadlineSQL},
	{"F3", orderRecountSQL},
}

// stepPathSQL checks each step against the code's table of transitions, not against the database's own.
func stepPathSQL() string {
	var allowed []string
	for from, next := range keyturn.LineTransitions {
		for _, to := range next {
			allowed = append(allowed, "'"+string(from)+">"+string(to)+"'")
		}
	}
	slices.Sort(allowed)
	return `
	SELECT l.order_id, g.line_id, NULL AS subject,
		CASE WHEN l.id IS NULL THEN 'there is no such line'
			WHEN g.from_status <> g.before THEN 'step ' || g.version || ' leaves ' || g.from_status || ', and the line was ' || g.before
			ELSE 'step ' || g.version || ' from ' || g.from_status || ' to ' || g.to_status || ' is not allowed' END AS what
	FROM (
		SELECT line_id, version, from_status, to_status, lag(to_status, 1, 'PENDING') OVER (PARTITION BY line_id
			ORDER BY version) AS before FROM line_log
	) g LEFT JOIN line_items l ON l.id = g.line_id
	WHERE l.id IS NULL OR g.from_status <> g.before OR g.version < 2
		OR g.from_status || '>' || g.to_status NOT IN (` + strings.Join(allowed, ", ") + `)`
}

const stepEndSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		CASE WHEN coalesce(g.to_status, 'PENDING') <> l.status THEN 'its steps lead to ' || coalesce(g.to_status,
			'PENDING') || ', and it is ' || l.status
			ELSE 'it has version ' || l.version || ' and a step ' || g.version END AS what
	FROM line_items l
	LEFT JOIN (SELECT DISTINCT ON (line_id) line_id, to_status, version FROM line_log
		ORDER BY line_id, version DESC) g ON g.line_id = l.id
	WHERE coalesce(g.to_status, 'PENDING') <> l.status OR coalesce(g.version, 1) > l.version`

// decidedByNobodySQL: a step that a person's decision made says so, and the decision is stored with who made it.
func decidedByNobodySQL() string {
	var actions []string
	for _, a := range keyturn.Actions {
		actions = append(actions, string(a))
	}
	return `
	SELECT l.order_id, g.line_id, NULL AS subject,
		'step ' || g.version || ' was made by ' || g.by || ' (' || g.reason || '), and no such decision is stored' AS what
	FROM line_log g JOIN line_items l ON l.id = g.line_id
	WHERE split_part(g.reason, chr(58), 1) IN (` + pg.TextList(actions...) + `) AND g.reason IS DISTINCT FROM l.cancel_reason
		AND NOT EXISTS (SELECT FROM resolutions r WHERE r.line_id = g.line_id AND r.action = split_part(g.reason, chr(58), 1)
			AND coalesce(nullif(r.by, ''), 'operator') = g.by)`
}

// undecidedDeadlineSQL: a deadline is the product's, or a person moved it. After a restore, and when a partner has
// moved, the line waits for a person, and then begins anew.
const undecidedDeadlineSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'its deadline was moved to ' || l.extended_until || ', and nobody decided that' AS what
	FROM line_items l
	WHERE l.extended_until IS NOT NULL
		AND NOT EXISTS (SELECT FROM resolutions r WHERE r.line_id = l.id AND r.until = l.extended_until)
		AND NOT EXISTS (SELECT FROM line_log g WHERE g.line_id = l.id
			AND (g.by = 'restored' OR g.reason = '` + string(keyturn.AlertMoved) + `'))`

const orderRecountSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'its counts say ' || o.lines_total || ' lines, ' || o.lines_trouble || ' in trouble, ' || o.lines_delivered || ' delivered, ' || o.lines_canceling
			|| ' canceling, ' || o.lines_canceled || ' canceled; counted are ' || coalesce(c.total, 0) || ', ' || coalesce(c.trouble, 0) || ', '
			|| coalesce(c.delivered, 0) || ', ' || coalesce(c.canceling, 0) || ', ' || coalesce(c.canceled, 0) AS what
	FROM orders o LEFT JOIN (
		SELECT l.order_id, count(*) AS total, count(*) FILTER (WHERE l.status IN ('RETRYING', 'WAITING_FOR_STOCK',
			'HELD')) AS trouble,
			count(*) FILTER (WHERE l.status = 'DELIVERED') AS delivered,
				count(*) FILTER (WHERE l.status = 'CANCELING') AS canceling,
			count(*) FILTER (WHERE l.status = 'CANCELED') AS canceled
		FROM line_items l GROUP BY l.order_id
	) c ON c.order_id = o.id
	WHERE (o.lines_total, o.lines_trouble, o.lines_delivered, o.lines_canceling, o.lines_canceled)
		IS DISTINCT FROM (coalesce(c.total, 0), coalesce(c.trouble, 0), coalesce(c.delivered, 0), coalesce(c.canceling, 0),
			coalesce(c.canceled, 0))`

// countCombinationsSQL: a million orders have a few hundred combinations of counts.
const countCombinationsSQL = `
	SELECT lines_total AS total, lines_trouble AS trouble, lines_delivered AS delivered, lines_canceling AS canceling,
		lines_canceled AS canceled, status
	FROM orders GROUP BY lines_total, lines_trouble, lines_delivered, lines_canceling, lines_canceled, status`

const ordersOfCombinationSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'it is ' || o.status || ' and its counts make it ' || w.wanted AS what
	FROM orders o
	JOIN unnest(CAST(:total AS int[]), CAST(:trouble AS int[]), CAST(:delivered AS int[]), CAST(:canceling AS int[]),
		CAST(:canceled AS int[]),
		CAST(:status AS text[]), CAST(:wanted AS text[])) AS w (total, trouble, delivered, canceling, canceled, status,
			wanted)
		ON (o.lines_total, o.lines_trouble, o.lines_delivered, o.lines_canceling, o.lines_canceled, o.status)
			= (w.total, w.trouble, w.delivered, w.canceling, w.canceled, w.status)`

// checkOrderStatus computes each order's status with the code's function, not with the database's own.
func (r *run) checkOrderStatus(ctx context.Context) error {
	var rows []struct {
		Status keyturn.OrderStatus `db:"status"`
		keyturn.LineCounts
	}
	if err := r.s.Select(ctx, &rows, countCombinationsSQL, nil); err != nil {
		return err
	}
	var total, trouble, delivered, canceling, canceled []int64
	var status, wanted []string
	for _, row := range rows {
		want := keyturn.OrderStatusOf(row.LineCounts)
		if want == row.Status {
			continue
		}
		total, trouble, delivered = append(total, int64(row.Total)), append(trouble, int64(row.Trouble)),
			append(delivered, int64(row.Delivered))
		canceling, canceled = append(canceling, int64(row.Canceling)), append(canceled, int64(row.Canceled))
		status, wanted = append(status, string(row.Status)), append(wanted, string(want))
	}
	if len(wanted) == 0 {
		return nil
	}
	return r.probe(ctx, probe{"F3", ordersOfCombinationSQL}, map[string]any{
		"total": pq.Array(total), "trouble": pq.Array(trouble), "delivered": pq.Array(delivered),
		"canceling": pq.Array(canceling),
		"canceled":  pq.Array(canceled), "status": pq.Array(status), "wanted": pq.Array(wanted),
	})
}
