package e2e_test

import (
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit/mutants"
)

// mutant is Keyturn with one bug, and the load and the fault under which the bug does harm. The audit must name one of
// the invariants. Where the audit has no evidence, seen looks where the bug shows.
type mutant struct {
	name, invariants string
	edits            []mutants.Edit // of SQL; a mutant without any is an edit of source
	drop             string         // constraints that would have prevented the harm
	slack            time.Duration  // of the audit; 0: the usual one
	rest             bool           // the audit takes the system to be at rest
	options          options
	run              func(*stack)
	seen             func(*stack) bool
}

// becomes returns one edit of SQL.
func becomes(old, with string) []mutants.Edit { return []mutants.Edit{{Old: old, New: with}} }

// allMutants are activated one after the other.
var allMutants = []mutant{
	// How keys are claimed.
	{
		name: "autocommit claim", invariants: "B2",
		drop:    dropUnit,
		edits:   becomes(`(SELECT id FROM line_items WHERE id = \$1 AND version) = (\$2 AND EXISTS)`, `$1 >= $2`),
		run:     (*stack).claimsWhoseAnswersAreLost,
		options: lossyDatabase(),
	},
	{
		name: "no UNIQUE and no lock", invariants: "B2",
		drop: dropUnit,
		edits: becomes(`(SELECT id FROM line_items WHERE id = \$1 AND version) = (\$2 AND EXISTS.*?) FOR UPDATE SKIP LOCKED`,
			`$1 >= $2`),
		run:     (*stack).twoWorkersClaim,
		options: options{noWorker: true, noRelay: true},
	},
	{
		name: "claim by IN and SKIP LOCKED", invariants: "B2",
		drop: dropUnit + forgetStatistics,
		edits: becomes(
			`unit_no = (\$\d+) - 1 \+ array_position\(.*?\), k\.id\)\s+`+
				`WHERE k\.id = ANY \(.*?cardinality\(ids\) = (\$\d+)\) AS bigint\[\]\)\) AND k\.line_id IS NULL`,
			`unit_no = $1 WHERE $2 > 0 AND k.id IN (
				SELECT id FROM pool_keys WHERE pool_id = 'editor-keys' AND state = 'available'
				ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED)`),
		run:     (*stack).manyEditors,
		options: hostilePlanner(),
	},
	{
		name: "a key may be imported twice", invariants: "B1",
		drop:  `DROP INDEX pool_keys_once`,
		edits: becomes(`(WHERE fingerprint = ANY\(\$1\)) AND state <> 'withdrawn'`, `$1 AND false`),
		run:   (*stack).importsTheSameKey,
	},
	{
		name: "a code of another line is delivered", invariants: "B1",
		drop:  `DROP INDEX deliverables_once`,
		edits: becomes(`(SELECT code, why, refused, of_pool, of_order FROM known_codes\(.*?\))`, `$1 WHERE false`),
		run:   (*stack).partnerRepeatsACode,
	},
	{
		name: "keys that expired are sold", invariants: "B7",
		edits: []mutants.Edit{
			{Old: `\(give_until IS NULL OR give_until > now\(\)\)`, New: `true`},
			{Old: `give_until <= now\(\) LIMIT`, New: `false LIMIT`},
		},
		run: (*stack).sellsExpiredKeys,
	},
	{
		name: "keys that were seen are sold again", invariants: "B5",
		drop:  `ALTER TABLE key_log DROP CONSTRAINT key_transitions`,
		edits: becomes(`WHEN seen\.yes OR old\.bad`, `WHEN old.bad`),
		run:   (*stack).refundsADeliveredLine,
	},
	{
		name: "keys that come back are not counted", invariants: "B3",
		edits: becomes(
			`count\(\*\) FILTER \(WHERE became = 'available'\) - count\(\*\) FILTER \(WHERE was = 'available'\)`, `0`),
		run: (*stack).refundsAHeldLine,
	},
	{
		name: "nobody hears of a low pool", invariants: "B8",
		edits: becomes(`FROM causes WHERE low`, `FROM causes WHERE false`),
		slack: time.Second,
		run:   (*stack).sellsDown,
	},
	{
		name: "a pool counts as empty that is not", invariants: "B6",
		edits: []mutants.Edit{
			{Old: `(AND state = 'available' AND position >=)`, New: `AND false $1`},
			{
				Old: `SELECT count\(\*\) FROM \(\s*SELECT FROM pool_keys WHERE pool_id = \$1 AND state = 'available'`,
				New: `$0 AND false`,
			},
		},
		run: (*stack).waitsBesideKeys,
	},

	// How orders are accepted.
	{
		name: "an order is booked on another client", invariants: "G4",
		edits: becomes(`SELECT \$1, \$2, \$3, \$4, \$5, \$6,`, `SELECT $$1, $$2 || '-other', $$3, $$4, $$5, $$6,`),
		run:   (*stack).storesEditor,
	},
	{
		name: "an order is answered and not stored", invariants: "A1",
		drop:  `ALTER TABLE line_items DROP CONSTRAINT line_items_order_id_fkey`,
		edits: becomes(`(CAST\(nullif\(\$29, ''\) AS uuid\) FROM settled)`, `$1 WHERE false`),
		run:   (*stack).storesEditor,
	},
	{
		name: "an idempotency key serves two orders", invariants: "A2",
		drop:  `ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey`,
		edits: becomes(`(i\.client = \$1 AND i\.key = \$2)`, `$1 AND false`),
		run:   (*stack).repeatsAKey,
	},
	{
		name: "a request is not recorded", invariants: "A3",
		edits: becomes(`(\$12, \$13, \$1, \$14 FROM settled)`, `$1 WHERE false`),
		run:   (*stack).storesEditor,
	},
	{
		name: "an order costs less than its lines", invariants: "A4",
		edits: becomes(`SELECT \$1, \$2, \$3, \$4, \$5, \$6,`, `SELECT $$1, $$2, $$3, $$4, $$5, CAST($$6 AS bigint) - 1,`),
		run:   (*stack).storesEditor,
	},
	{
		name: "the page of an order has another address", invariants: "A7",
		edits: becomes(`\$9, (\$10, \$11, CAST\(nullif)`, `sha256(CAST($$9 AS bytea)), $1`),
		run:   (*stack).storesEditor,
	},
	{name: "workflow start without outbox", invariants: "A5", run: (*stack).storesEditor}, // and the process dies

	// How partners are asked.
	{name: "new fulfillmentId per attempt", invariants: "C2", run: (*stack).partnerFailsTwice},
	{name: "re-rendered body", invariants: "C1", run: (*stack).partnerFailsTwice},
	{
		name: "what a partner may have issued is forgotten", invariants: "C3 C5",
		edits: becomes(`FROM calls\s+ON CONFLICT \(line_id, source\)`,
			`FROM calls WHERE false ON CONFLICT (line_id, source)`),
		run: (*stack).partnerIssuesAndIsLeft,
	},
	{
		name: "a partner is asked for decided lines", invariants: "C4",
		edits: becomes(`l\.trial_context, l\.status,`,
			`l.trial_context, CASE WHEN l.status = 'CANCELING' THEN 'RETRYING' ELSE l.status END AS status,`),
		run:     (*stack).callsAfterTheRefund,
		options: options{noWorker: true, noRelay: true},
	},
	{name: "a key is taken from the answer of an error", invariants: "C6", run: (*stack).partnerFailsWithAKey},
	{
		name: "a partner is asked again before its answer", invariants: "C8",
		edits:   becomes(`outcome = 'running' AND`, `outcome = 'never' AND`),
		run:     (*stack).callsTwiceAtOnce,
		options: options{noWorker: true, noRelay: true},
	},
	{
		name: "calls of a partner are not counted", invariants: "C9",
		edits: becomes(
			`(SELECT now, opened_at, next_try_at, probe_until, troubled), running, recent, older, (queued, at_once)`,
			`$1, 0 AS running, 0 AS recent, 0 AS older, $2`),
		run:     (*stack).callsMoreThanAllowed,
		options: options{noWorker: true, noRelay: true},
	},
	{
		name: "redirects followed", invariants: "C7 (the honeypot's log)",
		run:  (*stack).partnerRedirects,
		seen: func(s *stack) bool { return len(s.partner.HoneypotLog()) > 0 },
	},
	{
		name: "key in error text", invariants: "G1 (a key in a history)",
		run:  (*stack).partnerAnswers,
		seen: (*stack).keyInHistory,
	},

	// E-mails.
	{name: "mail before commit", invariants: "D2", run: (*stack).commitFails},
	{name: "a blind copy of every e-mail", invariants: "D3", run: (*stack).editor},
	{
		name: "an e-mail shows the keys of all lines", invariants: "B4",
		edits: becomes(
			`SELECT k\.line_id, (k\.pool_id, .*? WHERE line_id = ANY\(CAST\(\$1 AS uuid\[\]\)\)) AND (state <> 'recalled' UNION)`,
			`SELECT (CAST($$1 AS uuid[]))[1] AS line_id, $1 OR line_id IS NOT NULL AND $2`),
		run: (*stack).resendsToOneOfTwo,
	},
	{
		name: "an e-mail shows some of the keys", invariants: "D5",
		edits: becomes(`FROM taken ORDER BY unit_no`, `$0 LIMIT 1`),
		run:   (*stack).sellsTwo,
	},
	{
		name: "a line is delivered and its e-mail is not", invariants: "D1",
		edits: becomes(
			`UPDATE deliveries SET status = 'SENT', exposed = true, `+
				`(sent_at = now\(\), lease_until = NULL, error = NULL\s+FROM moved)`,
			`UPDATE deliveries SET status = 'READY', $1`),
		run: (*stack).editor,
	},
	{name: "a look of an operator delivers a line", invariants: "D1", run: (*stack).opensWhatIsNotMailed},
	{
		name: "keys are mailed after their refund", invariants: "D4",
		edits: becomes(`l\.status AS line_status`, `'DELIVERED' AS line_status`),
		run:   (*stack).refundsBeforeTheResend,
	},
	{
		name: "e-mails are not numbered one after the other", invariants: "D6",
		edits: becomes(`1 \+ coalesce\(\(SELECT max\(number\)`, `2 + coalesce((SELECT max(number)`),
		run:   (*stack).editor,
	},
	{
		name: "a mail that was refused is made anew", invariants: "A6",
		edits: becomes(`(WHERE line_id = \$1 AND kind = 'keys') ORDER BY number DESC LIMIT 1`, `$1 AND false`),
		run:   (*stack).refusesTheFirstEmail,
	},

	// Money.
	{name: "refund without key", invariants: "E1 E4", run: (*stack).refundLosesItsAnswer},
	{
		name: "a refund is more than the line cost", invariants: "E1",
		edits: becomes(`SELECT \$1, id, \$2, currency`, `SELECT $$1, id, CAST($$2 AS bigint) + 1, currency`),
		run:   (*stack).refundsADeliveredLine,
	},
	{
		name: "a line is cancelled and its refund forgotten", invariants: "E2",
		edits: becomes(`(FROM orders WHERE id = \$4)\s+ON CONFLICT`, `$1 AND false ON CONFLICT`),
		run:   (*stack).refundsAHeldLine,
	},
	{
		name: "a refund of what may have arrived goes unnoticed", invariants: "E3",
		edits: becomes(`coalesce\(bool_or\(exposed OR status = 'SENDING'\), false\) AS exposed`, `false AS exposed`),
		run:   (*stack).refundsWhatMayHaveArrived,
	},

	// Checkout links.
	{
		name: "a payment without an order is kept", invariants: "P1",
		edits: becomes(`(INSERT INTO payment_refunds \(.*?\)) VALUES \(\$1, \$2, \$3\)`,
			`$1 SELECT CAST($$1 AS uuid), CAST($$2 AS bigint), CAST($$3 AS text) WHERE false`),
		run: (*stack).sellsWhatCannotBeAccepted,
	},
	{
		name: "what was given up is captured all the same", invariants: "P2",
		edits: becomes(`chargeable_minor = \$12`, `chargeable_minor = greatest(total_minor, $$12)`),
		run:   (*stack).sellsOneOfTwo,
	},
	{
		name: "keys are mailed before they are charged", invariants: "P3",
		edits: becomes(`pay\.status AS payment_status`,
			`CASE WHEN pay.status = 'AUTHORIZED' THEN 'CAPTURED' ELSE pay.status END AS payment_status`),
		run: (*stack).sellsEditorByLink,
	},
	{
		name: "an authorization is never let go", invariants: "P4",
		edits: becomes(`pay\.capture_by AS payment_capture_by`, `CAST(NULL AS timestamptz) AS payment_capture_by`),
		run:   (*stack).sellsWhatDoesNotComeInTime,
	},
	{name: "a capture is booked that was not made", invariants: "P5", run: (*stack).sellsEditorByLink},
	{
		name: "a used link is sold again", invariants: "P6",
		drop: `DROP INDEX payments_sold`,
		edits: becomes(`k\.order_id, k\.status, k\.version`, `k.order_id || '-' || k.payments_begun AS order_id,
			CASE WHEN k.status = 'USED' THEN 'OPEN' ELSE k.status END AS status, k.version`),
		run: (*stack).sellsALinkTwice,
	},
	{
		name: "units stay set aside", invariants: "P7",
		edits: becomes(`DELETE FROM reservations WHERE payment_id = \$1`, `$0 AND false`),
		run:   (*stack).sellsEditorByLink,
	},
	{
		name: "nobody is told that nothing was charged", invariants: "D1",
		edits: becomes(`(INSERT INTO payment_mails \(id, payment_id, kind, due_at\)) VALUES \(\$1, \$2, \$3, clock_timestamp\(\)\)`,
			`$1 SELECT CAST($$1 AS uuid), CAST($$2 AS uuid), CAST($$3 AS text), clock_timestamp() WHERE $$3 <> 'ended'`),
		run: (*stack).sellsWhatIsNotDelivered,
	},
	{
		name: "attempts to send e-mails about payments are not counted", invariants: "D2",
		edits: becomes(`status = 'SENDING', attempts = attempts \+ 1, message`, `status = 'SENDING', message`),
		run:   (*stack).sellsEditorByLink,
	},
	{
		name: "what a person gives back is kept", invariants: "P1",
		edits: becomes(`(INSERT INTO payment_refunds \(.*?\)) VALUES \(\$1, \$2, \$3\)`,
			`$1 SELECT CAST($$1 AS uuid), CAST($$2 AS bigint), CAST($$3 AS text) WHERE false`),
		run: (*stack).sellsAndGivesBack,
	},
	{
		name: "a withdrawal is confirmed and cancels nothing", invariants: "D1",
		edits: becomes(`UPDATE orders SET cancel_reason = \$2, cancel_failure = nullif\(\$3, ''\) WHERE id = \$1`,
			`$0 AND false`),
		run: (*stack).sellsAndIsWithdrawnFrom,
	},
	{name: "an event is noted and nobody asks its processor", invariants: "P8", run: (*stack).sellsAndHearsOfIt},

	// Stripe, by its lists.
	{
		name: "a refund whose answer is lost is asked for under another key", invariants: "P5",
		run: (*stack).sellsOneOfTwoAtStripe, options: options{noWorker: true},
	},
	{
		name: "a dispute is not booked", invariants: "P8",
		edits: becomes(`(payment_id, reference, kind, amount_minor, currency, status, reason, due_at, closed_at\)) VALUES `+
			`\(\$1, \$2, \$3, \$4, \$5, \$6, \$7, \$8, \$9, \$10, CASE WHEN \$8 IN \('won', 'lost'\) THEN clock_timestamp\(\) END\)`,
			`$1 SELECT CAST($$1 AS text), CAST($$2 AS text), CAST($$3 AS uuid), CAST($$4 AS text), CAST($$5 AS text),
				CAST($$6 AS bigint), CAST($$7 AS text), CAST($$8 AS text), CAST($$9 AS text), CAST($$10 AS timestamptz),
				CASE WHEN $$8 = 'lost' THEN clock_timestamp() END WHERE $$5 <> 'dispute'`),
		slack: time.Second, rest: true,
		run: (*stack).sellsAndIsDisputedAtStripe, options: options{noWorker: true},
	},

	// Events.
	{
		name: "an event is given to nobody", invariants: "N1",
		edits: becomes(`JOIN hooks ON hooks\.id = t\.webhook`, `JOIN hooks ON hooks.id <> t.webhook`),
		run:   (*stack).sellsAndTells,
	},
	{
		name: "an event is sent with other bytes", invariants: "N2",
		edits: becomes(`ELSE e\.body END AS sent`, `ELSE e.body || ' ' END AS sent`),
		run:   (*stack).sellsAndTells,
	},
	{name: "an event tells who bought", invariants: "N3", run: (*stack).sellsAndTells},
	{
		name: "nobody numbers events", invariants: "N4",
		edits: becomes(`number IS NULL AND type = ANY\(\$1\)`, `$0 AND false`),
		run:   (*stack).sellsAndTells,
	},

	// Steps.
	{
		name: "a status is written without its version", invariants: "F1 F3",
		edits: becomes(`(WHERE id = \$\d+ AND version) = (\$\d+ AND NOT awaited)`, `$1 > 0 * $2`),
		run:   (*stack).holdsWhileTheEmailLeaves,
	},
	{
		name: "alert per retry", invariants: "F2", drop: `DROP INDEX alerts_line`,
		edits: becomes(
			`ON CONFLICT \(line_id, cause\) WHERE line_id IS NOT NULL DO UPDATE SET\s+detail = excluded\.detail, opened_at.*`,
			``),
		run: (*stack).partnerIsDown,
	},
	{
		name: "counts of an order are not kept", invariants: "F3",
		edits: becomes(`WHERE o\.id = moved\.order_id`, `WHERE false AND o.id = moved.order_id`),
		run:   (*stack).deliversEditor,
	},
	{
		name: "a clock stands still", invariants: "F4",
		edits: becomes(`clock_timestamp\(\) AS now, o\.customer`, `l.created_at AS now, o.customer`),
		slack: time.Second,
		run:   (*stack).partnerIsDownForGood,
	},
	{
		name: "the relay forgets lines", invariants: "F5",
		edits: becomes(`FROM line_items WHERE wake_at <= now\(\)`, `FROM line_items WHERE false AND wake_at <= now()`),
		slack: time.Second,
		run:   (*stack).storesEditor,
	},
	{name: "workflow without an end", invariants: "F6", slack: time.Second, run: (*stack).editor},
	{name: "a history without bounds", invariants: "F7", run: (*stack).editor},
	{name: "a workflow that goes another way when it is replayed", invariants: "F8", run: (*stack).editor},

	// Licences, secrets.
	{
		name: "a cancelled licence runs on", invariants: "L1",
		edits: becomes(`UPDATE licenses SET status = 'Canceled', updated_at = now\(\) WHERE line_id = \$1`,
			`UPDATE licenses SET updated_at = now() WHERE line_id = $$1`),
		run: (*stack).refundsADeliveredLine,
	},
	{
		name: "operations overtake each other", invariants: "L2",
		edits: becomes(`l\.license_source, l\.blocked,`, `l.license_source, false AS blocked,`),
		run:   (*stack).renewsTwice,
	},
	{
		name: "a secret that is not bound to its row", invariants: "G2",
		run:     (*stack).storesEditor,
		options: options{noWorker: true, noRelay: true},
	},
	{
		name: "an erasure leaves the e-mails", invariants: "G3",
		edits: becomes(`(UPDATE deliveries SET message = '' WHERE)`, `$1 false AND`),
		run:   (*stack).erasesTheBuyer,
	},
}

// forgetStatistics leaves the planner without statistics of keys, as in a new database. With them it may choose a
// harmless plan.
const forgetStatistics = `;
	ALTER TABLE pool_keys SET (autovacuum_enabled = off);
	DELETE FROM pg_statistic WHERE starelid = CAST('pool_keys' AS regclass);
	UPDATE pg_class SET reltuples = -1, relpages = 0, relallvisible = 0 WHERE oid = CAST('pool_keys' AS regclass);
	UPDATE pg_class SET reltuples = 0, relpages = 1
	WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = CAST('pool_keys' AS regclass))`

const dropUnit = `DROP INDEX pool_keys_owner_unit`

func one(product string) []keyturn.LineItem {
	return []keyturn.LineItem{{ProductID: product, Quantity: 1, GrossPrice: "9.00"}}
}
