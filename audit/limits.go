package audit

import (
	"context"
	"encoding/json"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// limitProbes look at what was said of pools, and at when partners were asked.
var limitProbes = []probe{
	{"B6", outOfStockSQL},
}

// outOfStockSQL retraces each pool: a key is there from its import, or its return, until it is taken. Lines that wait
// were told that there is too little; two seconds are allowed for between the clock of a step and that of the log, each
// time to the pool's disadvantage, so what is left was there for certain. Replacements come first. Only pools that
// lines have waited for are looked at.
const outOfStockSQL = `
	WITH asks AS MATERIALIZED (
		SELECT g.line_id, g.at, l.order_id, l.created_at, k.pool_id, CASE
			WHEN coalesce(coalesce(l.quantity_mode, CAST(p.spec AS json) ->> 'quantityMode') = 'one_per_line', false) THEN 1
				ELSE l.quantity END AS units
		FROM line_log g JOIN line_items l ON l.id = g.line_id JOIN products p ON p.id = l.product_id
		CROSS JOIN LATERAL (SELECT CAST(p.spec AS json) -> 'sources' -> l.source_no ->> 'pool' AS pool_id) k
		WHERE g.to_status = 'WAITING_FOR_STOCK' AND g.reason = 'OutOfStock' AND k.pool_id IS NOT NULL
			AND p.updated_at < l.created_at
	), keys AS MATERIALIZED (
		SELECT k.id, k.pool_id, b.created_at AS imported, k.line_id, k.state, k.give_until FROM pool_keys k
			JOIN batches b ON b.id = k.batch_id
		WHERE k.pool_id IN (SELECT pool_id FROM asks) AND b.undone_at IS NULL AND k.give_until IS NULL
	), changes AS (
		SELECT pool_id, imported + interval '2 s' AS at, 1 AS n FROM keys
		UNION ALL
		SELECT k.pool_id, coalesce(r.done_at, l.obtained_at, l.created_at) - interval '2 s', -1 FROM keys k
			JOIN line_items l ON l.id = k.line_id
			LEFT JOIN replacements r ON r.new_key_id = k.id
		UNION ALL
		SELECT k.pool_id, g.at + interval '2 s', 1 FROM key_log g JOIN keys k ON k.id = g.key_id
			WHERE g.to_state = 'available'
		UNION ALL
		SELECT k.pool_id, l.obtained_at - interval '2 s', -1 FROM key_log g JOIN keys k ON k.id = g.key_id
			JOIN line_items l ON l.id = g.line_id WHERE g.to_state = 'available'
		UNION ALL
		SELECT k.pool_id, g.at - interval '2 s', -1 FROM key_log g JOIN keys k ON k.id = g.key_id
			WHERE g.from_state = 'available' AND g.line_id IS NULL
	), told AS (
		SELECT line_id, units, sum(n) OVER (PARTITION BY pool_id ORDER BY at, n ROWS UNBOUNDED PRECEDING) AS there FROM (
			SELECT pool_id, at, n, NULL AS line_id, 0 AS units FROM changes
			UNION ALL
			SELECT pool_id, at, 0, line_id, units FROM asks
		) x
	)
	SELECT a.order_id, a.line_id, 'pool ' || a.pool_id AS subject,
		'it was told that the pool has too little, and ' || t.there || ' keys were there' AS what
	FROM told t JOIN asks a ON a.line_id = t.line_id
	WHERE t.there >= t.units AND NOT EXISTS (
		SELECT FROM asks b LEFT JOIN line_items l ON l.id = b.line_id
		WHERE b.pool_id = a.pool_id AND b.line_id <> a.line_id AND b.created_at <= a.created_at + interval '2 s'
			AND b.at <= a.at + interval '2 s'
			AND coalesce(l.obtained_at, l.canceled_at, 'infinity') >= a.at - interval '2 s')
		AND NOT EXISTS (SELECT FROM replacements r WHERE r.pool_id = a.pool_id AND r.created_at <= a.at + interval '2 s'
			AND coalesce(r.done_at, 'infinity') >= a.at - interval '2 s')`

// tooManyAtOnceSQL counts how many calls of a partner were under way beside each. A call is booked with the time at
// which its line was looked at, and passes its partner's gate after that: only what overlaps for more than a second
// counts.
const tooManyAtOnceSQL = `
	WITH calls AS (
		SELECT a.source, p.most, a.started_at + interval '1 s' AS began, least(a.deadline_at, a.ended_at) AS ended
		FROM attempts a JOIN unnest(CAST(:sources AS text[]), CAST(:most AS int[]),
			CAST(:since AS timestamptz[])) AS p (source, most, since) ON p.source = a.source
		WHERE a.started_at > p.since AND a.deadline_at IS NOT NULL AND (a.sent OR a.outcome = 'running')
	), changes AS (
		SELECT source, most, began AS at, 1 AS n FROM calls WHERE ended > began
		UNION ALL
		SELECT source, most, ended, -1 FROM calls WHERE ended > began
	)
	SELECT NULL AS order_id, NULL AS line_id, source AS subject,
		max(running) || ' calls were under way at once, and ' || max(most) || ' are allowed' AS what
	FROM (SELECT source, most, sum(n) OVER (PARTITION BY source ORDER BY at, n ROWS UNBOUNDED PRECEDING) AS running
		FROM changes) c
	WHERE running > most GROUP BY source`

// checkConcurrency needs the integrations' limits, which only the code can read.
func (r *run) checkConcurrency(ctx context.Context) error {
	var rows []struct {
		ID    string `db:"id"`
		Spec  string `db:"spec"`
		Since string `db:"since"`
	}
	if err := r.s.Select(ctx, &rows, `SELECT id, spec, CAST(updated_at AS text) AS since FROM integrations`,
		nil); err != nil {
		return err
	}
	sources, most, since := make([]string, len(rows)), make([]int64, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		var in keyturn.Integration
		if err := json.Unmarshal([]byte(row.Spec), &in); err != nil {
			return keyturn.Errorf(keyturn.KindInternal, "the stored integration %s cannot be read: %w", row.ID, err)
		}
		sources[i], most[i], since[i] = keyturn.FromIntegration(row.ID).Name(), int64(in.Limits.WithDefaults().MaxConcurrent),
			row.Since
	}
	return r.probe(ctx, probe{"C9", tooManyAtOnceSQL}, map[string]any{
		"sources": pq.Array(sources), "most": pq.Array(most),
		"since": pq.Array(since),
	})
}
