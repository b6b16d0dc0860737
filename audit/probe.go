package audit

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// probe finds violations of one invariant in the database. Its query gives a row of order_id, line_id, subject and what
// for each; it may name the arguments of run.args.
type probe struct {
	id    string
	query string
}

// probes are all of them, by subject.
var probes = func() []probe {
	var all []probe
	for _, some := range [][]probe{
		orderProbes, keyProbes, partnerProbes, mailProbes, moneyProbes, stepProbes,
		licenseProbes, alertProbes, overdueProbes, erasedProbes, duplicateProbes, limitProbes, linkProbes,
		eventProbes,
	} {
		all = append(all, some...)
	}
	return all
}()

type violationRow struct {
	OrderID *string `db:"order_id"`
	LineID  *string `db:"line_id"`
	Subject *string `db:"subject"`
	What    string  `db:"what"`
	Total   int64   `db:"total"`
}

// probeSQL counts all that a probe finds and gives the first of them. MATERIALIZED has the planner choose a plan that
// is fast for all rows; for the first rows it would take nested loops, which never end when there are none.
const probeSQL = `
	WITH v AS MATERIALIZED (%s
	)
	SELECT CAST(v.order_id AS text) AS order_id, CAST(v.line_id AS text) AS line_id, CAST(v.subject AS text) AS subject,
		CAST(v.what AS text) AS what, (SELECT count(*) FROM v) AS total
	FROM v LIMIT :listed`

func (r *run) runProbes(ctx context.Context) error {
	for i, p := range probes {
		start := time.Now()
		if err := r.probe(ctx, p, nil); err != nil {
			return fmt.Errorf("probe %d of %s: %w", i, p.id, err)
		}
		took := time.Since(start)
		if r.onProbe != nil {
			r.onProbe(p, took)
		}
		if err := r.rest(ctx, took); err != nil {
			return err
		}
	}
	return nil
}

// rest leaves the processors to those who sell, for as long as they were taken.
func (r *run) rest(ctx context.Context, took time.Duration) error {
	if !r.Gentle {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(took):
		return nil
	}
}

// probe runs one probe, with further arguments.
func (r *run) probe(ctx context.Context, p probe, more map[string]any) error {
	args := r.args()
	maps.Copy(args, more)
	var rows []violationRow
	if err := r.s.Select(ctx, &rows, fmt.Sprintf(probeSQL, p.query), args); err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	named := make([]Violation, len(rows))
	for i, row := range rows {
		named[i] = Violation{OrderID: text(row.OrderID), LineID: text(row.LineID), Subject: text(row.Subject), What: row.What}
	}
	r.violate(p.id, rows[0].Total, named...)
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const countSQL = `
	SELECT 'orders' AS what, count(*) AS n FROM orders
	UNION ALL SELECT 'lines', count(*) FROM line_items
	UNION ALL SELECT 'open lines', count(*) FROM line_items WHERE status NOT IN ('DELIVERED', 'CANCELED')
	UNION ALL SELECT 'steps', count(*) FROM line_log
	UNION ALL SELECT 'requests', count(*) FROM idempotency_keys
	UNION ALL SELECT 'pool keys', count(*) FROM pool_keys
	UNION ALL SELECT 'codes of partners and people', count(*) FROM deliverables WHERE kind = 'code'
	UNION ALL SELECT 'pools', count(*) FROM pools
	UNION ALL SELECT 'imports', count(*) FROM batches
	UNION ALL SELECT 'reports about e-mails', count(*) FROM bounces
	UNION ALL SELECT 'changes of addresses', count(*) FROM address_changes
	UNION ALL SELECT 'attempts', count(*) FROM attempts
	UNION ALL SELECT 'revocations', count(*) FROM revocations
	UNION ALL SELECT 'e-mails', (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM payment_mails)
		+ (SELECT count(*) FROM library_links WHERE customer_id IS NOT NULL)
	UNION ALL SELECT 'refunds', count(*) FROM refunds
	UNION ALL SELECT 'alerts', count(*) FROM alerts
	UNION ALL SELECT 'licences', count(*) FROM licenses
	UNION ALL SELECT 'operations on licences', count(*) FROM line_items WHERE license_id IS NOT NULL
	UNION ALL SELECT 'outbox entries', count(*) FROM outbox
	UNION ALL SELECT 'checkout links', count(*) FROM checkout_links
	UNION ALL SELECT 'payments of checkout links', count(*) FROM payments
	UNION ALL SELECT 'events', count(*) FROM events
	UNION ALL SELECT 'events on their way to webhooks', count(*) FROM event_deliveries
	UNION ALL SELECT 'erased customers', count(*) FROM customers WHERE erased_at IS NOT NULL`

func (r *run) count(ctx context.Context) error {
	var rows []struct {
		What string `db:"what"`
		N    int64  `db:"n"`
	}
	if err := r.s.Select(ctx, &rows, countSQL, nil); err != nil {
		return err
	}
	for _, row := range rows {
		r.counts[row.What] = row.N
	}
	return nil
}
