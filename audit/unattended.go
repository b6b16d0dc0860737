package audit

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/pg"
)

// attendSQL is todoSQL by indexes of what is open, for a look every few minutes, without what the relay has and what
// waits for something that the database knows. E-mails it looks at for a day longer than they are tried.
const attendSQL = `
	SELECT 'line' AS kind, CAST(l.fulfillment_id AS text) AS id, '' AS source, l.order_id, CAST(l.id AS text) AS line_id,
		l.status AS what, false AS relayed
	FROM orders o JOIN line_items l ON l.order_id = o.id
	WHERE o.status IN ('PENDING', 'PARTIAL_COMPLETED', 'CANCEL_PENDING') AND l.status NOT IN ('DELIVERED', 'CANCELED')
		AND l.wake_at IS NULL
		AND NOT EXISTS (SELECT FROM outbox b WHERE b.workflow = 'CancelLineItem'
			AND b.subject = CAST(l.fulfillment_id AS text))
	UNION ALL
	SELECT 'revocation', CAST(l.fulfillment_id AS text), v.source, l.order_id, CAST(l.id AS text),
		'owed a revocation', false
	FROM revocations v JOIN line_items l ON l.id = v.line_id
	WHERE v.status = 'OWED'
		AND NOT EXISTS (SELECT FROM outbox b WHERE b.workflow = 'CancelAtPartner'
			AND b.subject = l.fulfillment_id || '/' || v.source)
	UNION ALL
	SELECT 'letter', CAST(d.id AS text), '', l.order_id, CAST(l.id AS text), 'owed an e-mail', false
	FROM deliveries d JOIN line_items l ON l.id = d.line_id
	WHERE d.status <> 'SENT' AND d.message <> '' AND (d.number > 1 OR d.kind <> 'keys')
		AND d.created_at > now() - interval '4 days' AND (d.kind = 'canceled' OR l.status = 'DELIVERED')
		AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = d.line_id AND n.kind = d.kind AND n.number > d.number)
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = d.line_id AND a.cause = '` +
	string(keyturn.AlertUndelivered) + `' AND a.closed_by IS NOT NULL AND a.closed_at > d.created_at)
		AND NOT EXISTS (SELECT FROM outbox b WHERE b.workflow = 'SendFollowUpEmail'
			AND b.subject = CAST(d.id AS text))
	UNION ALL
	SELECT 'payment', CAST(p.id AS text), '', coalesce(p.order_id, ''), '', 'a payment that is ' || p.status, false
	FROM payments p
	WHERE (p.status IN ('CREATED', 'OPEN', 'PROCESSING', 'MISMATCH', 'AUTHORIZED', 'CAPTURING', 'VOIDING')
			OR p.id IN (SELECT r.payment_id FROM payment_refunds r WHERE r.status = 'PENDING'))
		AND NOT EXISTS (SELECT FROM outbox b WHERE b.workflow = 'SettlePayment' AND b.subject = CAST(p.id AS text))`

// Attend has the relay start workflows for everything that is still to be done and has none, because somebody
// terminated or deleted it, or because Temporal lost its state: lines, revocations, payments of checkout links, and
// e-mails that are not a line's first. It says what those were. It is A5 of the audit, by indexes, for a look every
// few minutes; it may be run at any time, also by several processes.
func Attend(ctx context.Context, d *db.DB, w Workflows) (woken []string, err error) {
	open, err := w.Open(ctx) // first: what was started since has its row in the database, too
	if err != nil {
		return nil, err
	}
	running := make(map[string]bool, len(open))
	for _, o := range open {
		running[o.ID] = true
	}
	r := run{Evidence: Evidence{DB: d, Temporal: w}, report: &Report{}}
	var todos []todo
	if err := d.Snapshot(ctx, func(s *pg.Snapshot) error { return s.Select(ctx, &todos, attendSQL, nil) }); err != nil {
		return nil, err
	}
	confirmed := 0
	for _, t := range todos {
		ids := t.workflows()
		if running[ids[0]] || running[ids[len(ids)-1]] {
			continue
		}
		if confirmed < maxConfirmed { // the list may be behind
			confirmed++
			if runs, err := r.anyRuns(ctx, ids); runs || err != nil {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		r.report.unattended(suspect{todo: t})
	}
	if len(r.report.unattendedLines) == 0 && len(r.report.unattendedErrands) == 0 {
		return nil, nil
	}
	return d.WakeUnattended(ctx, r.report.unattendedLines, r.report.unattendedErrands)
}
