package audit

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
)

// BenchmarkMillionLines audits a database of a million lines (KEYTURN_AUDIT_LINES: another number):
//
//	bin/with go test ./audit -run none -bench MillionLines -benchtime 1x -v
//
// Its secrets are no ciphertexts, which G2 finds.
func BenchmarkMillionLines(b *testing.B) {
	lines := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("KEYTURN_AUDIT_LINES")); err == nil {
		lines = n
	}
	ctx := context.Background()
	dsn := testkit.Postgres(b, "keyturn/audit bench "+strconv.Itoa(lines), func(dsn string) error {
		if _, err := db.Migrate(ctx, dsn); err != nil {
			return err
		}
		s := open(b, dsn)
		defer s.close()
		start := time.Now()
		s.exec(dropConstraintsSQL)
		for _, statement := range manyLines {
			s.exec(statement, lines)
		}
		s.exec(`VACUUM (ANALYZE)`)
		b.Logf("made %d lines in %s", lines, time.Since(start).Round(time.Second))
		return nil
	})
	s := open(b, dsn)
	defer s.close()
	for b.Loop() {
		start := time.Now()
		r, err := Run(ctx, Evidence{DB: s.DB, onProbe: func(p probe, took time.Duration) {
			if took > 500*time.Millisecond {
				b.Logf("%8s  %s %.60q", took.Round(time.Millisecond), p.id, p.query)
			}
		}})
		require.NoError(b, err)
		b.Logf("audited %d lines in %s", lines, time.Since(start).Round(time.Millisecond))
		for _, res := range r.Invariants {
			if res.ID != "G2" {
				require.Empty(b, res.Listed, res.ID)
			}
		}
	}
}

// manyLines make a shop that is nearly at rest: of 100 orders 84 were delivered from a pool, 10 by a partner, 5 were
// refunded after the partner failed, and one is being retried.
var manyLines = []string{
	`CREATE TABLE many AS SELECT n, 'ORD-' || n AS order_id, gen_random_uuid() AS line_id,
		gen_random_uuid() AS fulfillment_id,
		now() - interval '90 d' * (n / CAST($1 AS double precision)) - interval '1 h' AS at,
		CASE WHEN n % 100 < 84 THEN 'pool' WHEN n % 100 < 94 THEN 'endpoint' WHEN n % 100 < 99 THEN 'refund'
			ELSE 'retry' END AS way
		FROM generate_series(1, CAST($1 AS int)) AS n`,
	`INSERT INTO customers (id, data_key) SELECT 'c-' || n, '\x00'
		FROM generate_series(1, greatest(1, CAST($1 AS int) / 3)) AS n`,
	`INSERT INTO pools (id, spec, data_key) SELECT 'pool-' || n, '{"id":"p"}', '\x00'
		FROM generate_series(1, least(50, CAST($1 AS int))) AS n`,
	`INSERT INTO products (id, spec, updated_at)
		SELECT x, '{"id":"' || x || '","sources":[{"type":"pool","pool":"pool-1"}]}', now() - interval '1 y'
		FROM unnest(ARRAY['game', 'studio']) AS x WHERE $1 > 0`,
	`INSERT INTO orders (id, client, customer_id, customer, currency, gross_minor, payment_provider, payment_reference,
		page_hash, lines_total, lines_trouble,
			lines_delivered, lines_canceled, status, created_at)
		SELECT order_id, 'shop', 'c-' || 1 + n % greatest(1, CAST($1 AS int) / 3), decode(repeat('ab', 250), 'hex'), 'EUR',
			1000, 'sandbox', 'pay-' || n, decode(md5('p' || n), 'hex'),
			1, CAST(way = 'retry' AS int), CAST(way IN ('pool', 'endpoint') AS int), CAST(way = 'refund' AS int),
			CASE way WHEN 'retry' THEN 'PARTIAL_COMPLETED' WHEN 'refund' THEN 'CANCELED' ELSE 'COMPLETED' END, at FROM many`,
	`INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency) SELECT 'pay-' || n, order_id, 1000, 'EUR'
		FROM many WHERE $1 > 0`,
	`INSERT INTO idempotency_keys (client, key, request_hash, order_id, response)
		SELECT 'shop', 'k-' || n, decode(md5('r' || n), 'hex'), order_id, decode(repeat('ab', 400), 'hex') FROM many
		WHERE $1 > 0`,
	`INSERT INTO line_items (id, fulfillment_id, order_id, position, product_id, quantity, gross_minor, operation, status,
		version, source_started_at, give_up_at,
			failures, failure, next_attempt_at, obtained_at, delivered_at, canceled_at, created_at)
		SELECT line_id, fulfillment_id, order_id, 1, CASE way WHEN 'pool' THEN 'game' ELSE 'studio' END, 1, 1000, 'create',
			CASE way WHEN 'retry' THEN 'RETRYING' WHEN 'refund' THEN 'CANCELED' ELSE 'DELIVERED' END, 4, at, CASE way
				WHEN 'retry' THEN now() ELSE at END + interval '3 d',
			CAST(way = 'retry' AS int), CASE way WHEN 'retry' THEN '{"kind":"Unavailable"}' END, CASE way
				WHEN 'retry' THEN now() + interval '1 h' END,
			CASE WHEN way IN ('pool', 'endpoint') THEN at + interval '2 s' END, CASE
				WHEN way IN ('pool', 'endpoint') THEN at + interval '3 s' END,
			CASE way WHEN 'refund' THEN at + interval '9 s' END, at FROM many WHERE $1 > 0`,
	`INSERT INTO line_log (line_id, version, from_status, to_status, by, at)
		SELECT line_id, v.version, v.before, v.after, 'workflow', at + v.version * interval '1 s'
		FROM many m JOIN (VALUES ('pool', 2, 'PENDING', 'OBTAINED'), ('pool', 3, 'OBTAINED', 'DELIVERED'),
			('endpoint', 2, 'PENDING', 'OBTAINED'), ('endpoint', 3, 'OBTAINED', 'DELIVERED'),
			('retry', 2, 'PENDING', 'RETRYING'), ('refund', 2, 'PENDING', 'RETRYING'), ('refund', 3, 'RETRYING', 'CANCELING'),
				('refund', 4, 'CANCELING', 'CANCELED')
		) AS v (way, version, before, after) ON v.way = m.way WHERE $1 > 0`,
	`INSERT INTO batches (id, pool_id, accepted, rejected, created_by) SELECT gen_random_uuid(), id, 0, 0, 'x' FROM pools
		WHERE $1 > 0`,
	`INSERT INTO pool_keys (pool_id, batch_id, position, fingerprint, content, state, line_id, unit_no, changed_at)
		SELECT b.pool_id, b.id, n, decode(md5('f' || n), 'hex'), decode(repeat('ab', 60), 'hex'), 'delivered', line_id, 0, at
		FROM many m JOIN batches b ON b.pool_id = 'pool-' || 1 + m.n % least(50, CAST($1 AS int)) WHERE way = 'pool'`,
	`INSERT INTO pool_keys (pool_id, batch_id, position, fingerprint, content, changed_at)
		SELECT b.pool_id, b.id, n, decode(md5('g' || n), 'hex'), decode(repeat('ab', 60), 'hex'), now() - interval '1 d'
		FROM generate_series(1, CAST($1 AS int) / 4) AS n JOIN batches b ON b.pool_id = 'pool-' || 1 + n % least(50,
			CAST($1 AS int))`,
	`UPDATE batches b SET accepted = (SELECT count(*) FROM pool_keys k WHERE k.batch_id = b.id) WHERE $1 > 0`,
	`INSERT INTO pool_stock (pool_id, slot, available, delivered)
		SELECT pool_id, 0, count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state = 'delivered')
		FROM pool_keys WHERE $1 > 0 GROUP BY pool_id`,
	`INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, sent, started_at, deadline_at, duration_ms,
		http_status)
		SELECT line_id, 1, 'endpoint/studio', 'create', 0, CASE way WHEN 'endpoint' THEN 'success'
			ELSE 'unknown' END, true, at + interval '1 s', at + interval '18 s', 100,
			CASE way WHEN 'endpoint' THEN 200 END FROM many WHERE way <> 'pool' AND $1 > 0`,
	`INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, sent, started_at, deadline_at, duration_ms,
		http_status)
		SELECT line_id, 2, 'endpoint/studio', 'cancel', 0, 'success', true, at + interval '20 s', at + interval '38 s', 100,
			200 FROM many WHERE way = 'refund' AND $1 > 0`,
	`INSERT INTO partner_requests (line_id, source, operation, unit_no, request)
		SELECT line_id, 'endpoint/studio', 'create', 0, decode(repeat('ab', 900), 'hex') FROM many WHERE way <> 'pool'
		AND $1 > 0`,
	`INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source)
		SELECT line_id, 0, 'code', decode(repeat('ab', 60), 'hex'), decode(md5('d' || n), 'hex'), 'endpoint/studio' FROM many
			WHERE way = 'endpoint' AND $1 > 0`,
	`INSERT INTO deliveries (id, line_id, number, kind, message, status, exposed, attempts, sent_at)
		SELECT gen_random_uuid(), line_id, 1, CASE way WHEN 'refund' THEN 'canceled'
			ELSE 'keys' END, decode(repeat('ab', 40), 'hex'), 'SENT', true, 1, at + interval '3 s'
		FROM many WHERE way <> 'retry' AND $1 > 0`,
	`INSERT INTO refunds (line_id, order_id, amount_minor, currency, provider, reference, reason, status, attempts,
		provider_id, done_at)
		SELECT line_id, order_id, 1000, 'EUR', 'sandbox', 'pay-' || n, 'x', 'DONE', 1, CAST(fulfillment_id AS text), at
			FROM many WHERE way = 'refund' AND $1 > 0`,
	`INSERT INTO sandbox_refunds (key, id, reference, order_id, amount_minor, tries, applied_at)
		SELECT 'refund-' || line_id, fulfillment_id, 'pay-' || n, order_id, 1000, 1, at FROM many WHERE way = 'refund'
			AND $1 > 0`,
	`INSERT INTO revocations (line_id, source, status, not_before, attempts, done_at)
		SELECT line_id, 'endpoint/studio', 'DONE', at, 1, at FROM many WHERE way = 'refund' AND $1 > 0`,
	`INSERT INTO alerts (cause, line_id, detail, mailed_at, closed_at) SELECT 'Unavailable', line_id, '{}', now(), CASE way
		WHEN 'refund' THEN now() END
		FROM many WHERE way IN ('refund', 'retry') AND $1 > 0`,
	`INSERT INTO licenses (id, line_id, customer_id, product_id, status)
		SELECT fulfillment_id, line_id, 'c', 'game', 'Running' FROM many WHERE way IN ('pool', 'endpoint') AND $1 > 0`,
}
