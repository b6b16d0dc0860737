package audit

import (
	"context"
	"maps"

	"keyturn.dev/keyturn/payment"
)

// Payments are the records of one payment provider, as two relations that the audit joins with ours. A provider that
// keeps its books elsewhere reads them first and gives them as arrays: SELECT … FROM unnest(:keys, …).
type Payments interface {
	// Provider is its name in orders.
	Provider() string
	// Read reads books that are kept elsewhere; it is called before the snapshot is taken.
	Read(ctx context.Context) error
	// Captured gives what was captured: reference, order_id, amount_minor, currency, and when (NULL: with the order).
	Captured() (query string, args map[string]any)
	// Refunded gives what was paid back: key, id, reference, order_id, amount_minor, and tries where the provider tells
	// how often it was asked, else NULL.
	Refunded() (query string, args map[string]any)
}

// SandboxPayments are the books of the sandbox, which are in our database.
type SandboxPayments struct{}

// Provider is part of Payments.
func (SandboxPayments) Provider() string { return payment.SandboxName }

// Read is part of Payments.
func (SandboxPayments) Read(context.Context) error { return nil }

// Captured is part of Payments. What was taken in a session may be so for a while before its order is accepted: P5
// compares the sessions.
func (SandboxPayments) Captured() (string, map[string]any) {
	return `SELECT p.reference, p.order_id, p.captured_minor AS amount_minor, p.currency,
			CASE WHEN x.id IS NOT NULL THEN CAST('infinity' AS timestamptz) END AS at
		FROM sandbox_payments p LEFT JOIN sandbox_sessions x ON x.reference = p.reference`, nil
}

// Refunded is part of Payments. A payment that the sandbox says went back in another way is not in its table.
func (SandboxPayments) Refunded() (string, map[string]any) {
	return `
		SELECT s.key, CAST(s.id AS text) AS id, s.reference, s.order_id, s.amount_minor, s.tries FROM sandbox_refunds s
			WHERE s.applied_at IS NOT NULL
		UNION ALL
		SELECT 'refund-' || b.line_id, b.provider_id, b.reference, b.order_id, b.amount_minor, NULL
		FROM refunds b WHERE b.provider = 'sandbox' AND b.status = 'DONE' AND b.provider_id = 'sandbox-already-refunded'`, nil
}

// paymentProbes are run for each provider: captured and refunded are its records, :provider is its name.
var paymentProbes = []probe{
	{"A1", capturedWithoutOrderSQL},
	{"A4", capturedAmountSQL},
	{"E1", paidAmountSQL},
	{"E1", paidTooMuchSQL},
	{"E2", notPaidSQL},
	{"E3", paidAndKeptSQL},
	{"E4", paidUnderOtherKeySQL},
	{"E4", askedUnbookedSQL},
}

// capturedWithoutOrderSQL: a checkout captures first and sends the order then.
const capturedWithoutOrderSQL = `
	SELECT c.order_id, NULL AS line_id, NULL AS subject, 'its money was captured, and there is no such order' AS what
	FROM captured c LEFT JOIN orders o ON o.id = c.order_id
	WHERE o.id IS NULL AND (c.at IS NULL OR c.at < now() - make_interval(secs => :slack))
		AND NOT EXISTS (SELECT FROM payments y WHERE y.provider = :provider AND y.payment_reference = c.reference)`

const capturedAmountSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'it costs ' || o.gross_minor || ' ' || o.currency || ' in minor units, and ' || coalesce(c.amount_minor || ' ' || c.currency, 'nothing') || ' was captured' AS what
	FROM orders o LEFT JOIN captured c ON c.reference = o.payment_reference AND c.order_id = o.id
	WHERE o.payment_provider = :provider AND o.payment_id IS NULL AND o.created_at < :seen
		AND (c.amount_minor, c.currency) IS DISTINCT FROM (o.gross_minor, o.currency)`

const paidAmountSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject,
		r.amount_minor || ' minor units are owed and ' || p.amount_minor || ' were paid back' AS what
	FROM refunded p JOIN refunds r ON p.key = 'refund-' || r.line_id
	WHERE r.provider = :provider AND (p.amount_minor, p.order_id, p.reference) IS DISTINCT
		FROM (r.amount_minor, r.order_id, r.reference)`

const paidTooMuchSQL = `
	SELECT c.order_id, NULL AS line_id, NULL AS subject,
		c.amount_minor || ' minor units were captured and ' || sum(p.amount_minor) || ' were paid back' AS what
	FROM refunded p JOIN captured c ON c.reference = p.reference AND c.order_id = p.order_id
	GROUP BY c.order_id, c.reference, c.amount_minor HAVING sum(p.amount_minor) > c.amount_minor`

// notPaidSQL: who owes nothing asks nobody.
const notPaidSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject, 'its refund counts as done, and the provider has not paid it' AS what
	FROM refunds r LEFT JOIN refunded p ON p.key = 'refund-' || r.line_id
	WHERE r.provider = :provider AND r.status = 'DONE' AND r.done_at < :seen AND r.amount_minor > 0 AND p.id IS DISTINCT
		FROM r.provider_id`

// paidAndKeptSQL: between the provider's payment and our booking a line is CANCELING for a moment, or for as long as we
// are down.
const paidAndKeptSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is ' || l.status || ' and the provider has paid it back' AS what
	FROM refunded p JOIN line_items l ON p.key = 'refund-' || l.id
	WHERE l.status <> 'CANCELED' AND NOT (l.status = 'CANCELING' AND NOT :strict)`

const paidUnderOtherKeySQL = `
	SELECT p.order_id, NULL AS line_id, 'refund ' || p.id AS subject,
		'the provider paid it under a key that is no booked refund of the order' AS what
	FROM refunded p LEFT JOIN refunds r ON p.key = 'refund-' || r.line_id AND r.order_id = p.order_id
	WHERE r.line_id IS NULL AND NOT EXISTS (SELECT FROM payment_refunds y WHERE p.key = 'refund-' || y.payment_id)`

const askedUnbookedSQL = `
	SELECT r.order_id, r.line_id, NULL AS subject,
		'the provider was asked ' || p.tries || ' times and ' || r.attempts || ' tries are booked' AS what
	FROM refunded p JOIN refunds r ON p.key = 'refund-' || r.line_id
	WHERE p.tries > r.attempts`

const countPaymentsSQL = `SELECT (SELECT count(*) FROM captured) AS captured,
	(SELECT count(*) FROM refunded) AS refunded`

func (r *run) checkPayments(ctx context.Context) error {
	for _, p := range r.Payments {
		captured, args := p.Captured()
		refunded, more := p.Refunded()
		given := map[string]any{"provider": p.Provider()}
		maps.Copy(given, args)
		maps.Copy(given, more)
		with := `WITH captured AS (` + captured + `), refunded AS (` + refunded + `) `
		var n struct {
			Captured int64 `db:"captured"`
			Refunded int64 `db:"refunded"`
		}
		if err := r.s.Get(ctx, &n, with+countPaymentsSQL, given); err != nil {
			return err
		}
		r.counts[looksCaptured] += n.Captured
		r.counts[looksPaid] += n.Refunded
		for _, look := range paymentProbes {
			if err := r.probe(ctx, probe{look.id, with + look.query}, given); err != nil {
				return err
			}
		}
	}
	return nil
}
