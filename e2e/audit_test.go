package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/temporalproto"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// broken lists what may never be, each as a query that must find nothing.
var broken = map[string]string{
	"an order whose status does not follow from its lines": `
		SELECT o.id || ' ' || o.status FROM orders o JOIN (
			SELECT order_id, count(*) AS total, count(*) FILTER (WHERE status IN ('RETRYING', 'WAITING_FOR_STOCK',
				'HELD')) AS trouble,
				count(*) FILTER (WHERE status = 'DELIVERED') AS delivered,
					count(*) FILTER (WHERE status = 'CANCELING') AS canceling,
				count(*) FILTER (WHERE status = 'CANCELED') AS canceled
			FROM line_items GROUP BY order_id) l ON l.order_id = o.id
		WHERE (o.lines_total, o.lines_trouble, o.lines_delivered, o.lines_canceling, o.lines_canceled) <> (l.total, trouble,
			l.delivered, l.canceling, l.canceled)
			OR o.status <> order_status(CAST(total AS int), CAST(trouble AS int), CAST(delivered AS int), CAST(canceling AS int),
				CAST(canceled AS int))`,
	"a line both delivered and refunded, or refunded without being cancelled": `
		SELECT l.id::text || ' ' || l.status FROM line_items l JOIN refunds r ON r.line_id = l.id
		WHERE l.status NOT IN ('CANCELING', 'CANCELED') OR (l.status = 'CANCELED') <> (r.status = 'DONE')`,
	"a cancelled line without its refund": `
		SELECT l.id::text FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id
			WHERE l.status IN ('CANCELING', 'CANCELED') AND r.line_id IS NULL`,
	"a refund of another amount than the line's, or paid out other than once": `
		SELECT r.line_id::text FROM refunds r JOIN line_items l ON l.id = r.line_id LEFT
			JOIN sandbox_refunds s ON s.key = 'refund-' || r.line_id
		WHERE r.amount_minor <> l.gross_minor AND NOT (r.amount_minor = 0
				AND EXISTS (SELECT FROM payments p WHERE p.order_id = l.order_id)) OR r.status = 'DONE' AND r.amount_minor > 0
			AND (s.applied_at IS NULL OR s.amount_minor <> r.amount_minor) AND r.provider NOT IN ('manual', 'stripe')`,
	"a log that does not lead to the line's status": `
		SELECT l.id::text FROM line_items l WHERE l.status <> coalesce((SELECT to_status FROM line_log WHERE line_id = l.id
			ORDER BY version DESC LIMIT 1), 'PENDING')`,
	"a step that does not begin where the one before ended": `
		SELECT line_id::text FROM (SELECT line_id, from_status, lag(to_status, 1, 'PENDING') OVER (PARTITION BY line_id
			ORDER BY version) AS before FROM line_log) g
		WHERE from_status <> before`,
	"a delivered line without all its keys": `
		SELECT l.id::text FROM line_items l WHERE l.status = 'DELIVERED' AND l.license_id IS NULL
			AND NOT EXISTS (SELECT FROM pool_keys WHERE line_id = l.id)
			AND NOT EXISTS (SELECT FROM deliverables WHERE line_id = l.id)
				AND EXISTS (SELECT FROM products p WHERE p.id = l.product_id AND p.spec NOT LIKE '%acknowledged%')`,
	"a line with more keys than units": `SELECT line_id::text FROM pool_keys k JOIN line_items l ON l.id = line_id
		WHERE k.state <> 'recalled' GROUP BY line_id, quantity HAVING count(*) > quantity`,
	"a key of a delivered line that is not booked " +
		"so": `SELECT k.id::text FROM pool_keys k JOIN line_items l ON l.id = k.line_id WHERE l.status = 'DELIVERED'
			AND k.state <> 'recalled' AND k.state <> CASE
		WHEN EXISTS (SELECT FROM licenses i WHERE i.id = coalesce(l.license_id, l.fulfillment_id)
			AND i.status = 'Canceled') THEN 'quarantined' ELSE 'delivered' END`,
	"a key that a cancelled line still " +
		"holds": `SELECT k.id::text FROM pool_keys k JOIN line_items l ON l.id = k.line_id WHERE l.status = 'CANCELED'
			AND k.state NOT IN ('quarantined', 'recalled')`,
	"a key that was seen and is for " +
		"sale": `SELECT k.id::text FROM pool_keys k JOIN deliveries d ON d.line_id = k.line_id WHERE k.state = 'available'
			AND d.exposed`,
	"one code on two lines": `SELECT encode(fingerprint, 'hex') FROM deliverables WHERE fingerprint IS NOT NULL
		GROUP BY fingerprint HAVING count(DISTINCT line_id) > 1`,
	"stock figures that differ from the keys": `
		SELECT s.pool_id FROM (SELECT pool_id, sum(available) AS a, sum(claimed) AS c, sum(delivered) AS d,
			sum(quarantined) AS q FROM pool_stock GROUP BY pool_id) s
		LEFT JOIN (SELECT pool_id, count(*) FILTER (WHERE state = 'available') AS a,
			count(*) FILTER (WHERE state = 'claimed') AS c,
			count(*) FILTER (WHERE state = 'delivered') AS d, count(*) FILTER (WHERE state = 'quarantined') AS q FROM pool_keys
				GROUP BY pool_id) k ON k.pool_id = s.pool_id
		WHERE (s.a, s.c, s.d, s.q) <> (coalesce(k.a, 0), coalesce(k.c, 0), coalesce(k.d, 0), coalesce(k.q, 0))`,
	"a licence that does not follow its line": `
		SELECT l.id::text FROM line_items l LEFT JOIN licenses i ON i.line_id = l.id
		WHERE l.license_id IS NULL AND (l.status = 'DELIVERED' AND i.id IS NULL OR i.status <> CASE
			WHEN l.status IN ('CANCELING', 'CANCELED') THEN 'Canceled' ELSE
			coalesce((SELECT to_status FROM license_steps s WHERE s.license_id = i.id AND withdrawn_at IS NULL ORDER BY no DESC
				LIMIT 1), 'Running') END)`,
	"operations that were not done in their order": `
		SELECT b.id::text FROM line_items a JOIN line_items b ON b.license_id = a.license_id
			AND b.operation_no > a.operation_no WHERE b.delivered_at < a.delivered_at`,
}

// brokenAtRest lists what may be for a moment, but not once everything is decided.
var brokenAtRest = map[string]string{
	"something that waits to be started": `SELECT workflow || ' ' || subject FROM outbox`,
	"a line that waits to be woken":      `SELECT id::text FROM line_items WHERE wake_at IS NOT NULL`,
	"a call that is still under way":     `SELECT line_id::text || ' ' || no FROM attempts WHERE outcome = 'running'`,
	"an e-mail that is not out": `
		SELECT d.id::text || ' ' || d.status FROM deliveries d JOIN line_items l ON l.id = d.line_id
		WHERE d.status = 'SENDING' OR d.status = 'READY' AND d.message <> '' AND (d.kind <> 'keys' OR l.status = 'DELIVERED')`,
	"a cancel that a partner is owed": `SELECT line_id::text || ' ' || source FROM revocations WHERE status = 'OWED'`,
	"an open alert of a decided line": `SELECT line_id::text || ' ' || cause FROM alerts WHERE line_id IS NOT NULL
		AND closed_at IS NULL AND cause NOT IN ('Revocation', 'Exposed')`,
	"a key that is claimed and not used": `SELECT id::text FROM pool_keys WHERE state = 'claimed'`,
	"keys that wait for a decision":      `SELECT line_id::text FROM supplies`,
	"an undecided line": `SELECT id::text || ' ' || status FROM line_items
		WHERE status NOT IN ('DELIVERED', 'CANCELED')`,
	"an alert that nobody was told of": `SELECT id::text FROM alerts WHERE mailed_at IS NULL`,
}

// audit checks the invariants, also in the middle of a test.
func (s *stack) audit() {
	s.t.Helper()
	for what, query := range broken {
		require.Empty(s.t, s.texts(query), what)
	}
}

// atRest waits until every order is decided and nothing is left to do, then checks the invariants and that each line's
// workflow has ended with its line's status.
func (s *stack) atRest(orders ...*db.Accepted) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		for what, query := range brokenAtRest {
			if found := s.texts(query); len(found) > 0 {
				return false, what + ": " + strings.Join(found, ", ")
			}
		}
		return true, ""
	})
	s.audit()
	for _, a := range orders {
		for _, start := range a.Starts {
			want := s.status(start.FulfillmentID)
			if s.count(`SELECT count(*) FROM line_log g JOIN line_items l ON l.id = g.line_id WHERE fulfillment_id = $1
				AND from_status = 'DELIVERED'`, start.FulfillmentID) > 0 {
				require.Equal(s.t, keyturn.LineCanceled, s.ended(workflows.CancelWorkflowID(start.FulfillmentID)))
				// The first workflow left it delivered, unless it was so slow that it saw the end.
				require.Contains(s.t, []keyturn.LineStatus{keyturn.LineDelivered, keyturn.LineCanceled},
					s.ended(workflows.LineWorkflowID(start.FulfillmentID)))
				continue
			}
			require.Equal(s.t, want, s.ended(workflows.LineWorkflowID(start.FulfillmentID)))
		}
	}
}

// record writes a workflow's history to the folder that KEYTURN_RECORD_HISTORIES names: material for the replay corpus
// in workflows/testdata/histories. Nothing in it names the machine.
func (s *stack) record(workflowID, name string) {
	s.t.Helper()
	dir := os.Getenv("KEYTURN_RECORD_HISTORIES")
	if dir == "" {
		return
	}
	text, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(s.history(workflowID))
	require.NoError(s.t, err)
	host, err := os.Hostname()
	require.NoError(s.t, err)
	text = bytes.ReplaceAll(text, []byte(`"`+host+`:`), []byte(`"worker:`)) // sticky queues
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600))
}
