package audit

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// takesAnyCode takes the rule away that refuses a code of another line where it comes in.
const takesAnyCode = `
	DROP INDEX deliverables_once;
	CREATE OR REPLACE FUNCTION known_codes(p_line uuid, p_units int[], p_codes bytea[], p_volume boolean)
	RETURNS TABLE (code bytea, why text, refused boolean, of_pool boolean, of_order text)
	LANGUAGE sql AS $$ SELECT CAST(NULL AS bytea), NULL, false, false, NULL WHERE false $$;`

// libraryLink is the ID of a link to a customer's library that is planted.
const libraryLink = "0199e000-0000-7000-8000-000000000001"

// libraryLinkSQL plants it with a status, when it was sent, when it is due, and how often it was tried.
func libraryLinkSQL(values string) string {
	return `INSERT INTO library_links (id, email_tag, day, number, customer_id, token_hash, message, status, sent_at, due_at,
			attempts, expires_at)
		VALUES ('` + libraryLink + `', 'x', now(), 1, 'c-fresh', 'x', '', ` + values + `, now())`
}

// planted are corruptions, each of exactly one invariant: in SQL, or by what a use case allows. at is the order, and
// where there is none the subject, that the audit must name.
var planted = []struct {
	id, name, at string
	also         string // further invariants that the same corruption breaks
	sql          string
	do           func(*shop)
}{
	{id: "M1", name: "nobody was told of an e-mail that came back", at: "studio", sql: `
		INSERT INTO bounces (id, delivery_id, kind, via, replaced)
		SELECT gen_random_uuid(), id, 'refused', 'smtp', false FROM deliveries WHERE line_id = line_of('studio/0')`},
	{id: "M1", name: "nobody was told of a confirmation that came back", at: "linked", sql: `
		INSERT INTO bounces (id, payment_mail_id, kind, via, replaced)
		SELECT gen_random_uuid(), m.id, 'refused', 'smtp', false
		FROM payment_mails m JOIN payments p ON p.id = m.payment_id
		WHERE p.order_id = 'linked' AND m.kind = 'confirmation'`},
	{id: "M2", name: "the old address was not told of the new one", at: "moved", sql: `
		UPDATE deliveries SET change_id = NULL WHERE kind = 'addressChanged'`},
	{id: "M2", name: "two e-mails for one change of an address", at: "moved", sql: `
		UPDATE deliveries SET change_id = (SELECT id FROM address_changes) WHERE line_id = line_of('moved/0')
			AND kind = 'keys'`},
	{id: "M2", name: "nobody goes on with a change of an address", at: "moved", sql: `
		UPDATE address_changes SET carry_at = now() - interval '1 day'`},
	{
		id: "P1", name: "an order of a link has no payment", at: "linked",
		sql: `UPDATE orders SET payment_id = gen_random_uuid() WHERE id = 'linked'`,
	},
	{
		id: "P1", name: "a payment without an order was kept", at: "authorized", also: "P5",
		sql: `UPDATE payment_mails SET kind = 'ended'
				WHERE payment_id = (SELECT id FROM payments WHERE order_id = 'authorized');
			UPDATE payments SET order_id = NULL, status = 'CAPTURED', captured_minor = 1000, ended_at = now()
			WHERE order_id = 'authorized'`,
	},
	{
		id: "P2", name: "less was captured than was delivered", at: "linked", also: "P5",
		sql: `UPDATE payments SET captured_minor = captured_minor - 1 WHERE order_id = 'linked'`,
	},
	{
		id: "P2", name: "another sum was taken than a person has accepted", at: "linked", also: "P5",
		sql: `INSERT INTO payment_log (payment_id, version, from_status, to_status, by)
				SELECT id, 1000, 'MISMATCH', 'AUTHORIZED', 'ana' FROM payments WHERE order_id = 'linked';
			INSERT INTO alerts (cause, subject, detail, opened_at, mailed_at, closed_at, closed_by)
				SELECT 'Mismatch', 'payment/' || id, '{}', now() - interval '1 day', now() - interval '1 day',
					now() - interval '1 day', 'ana' FROM payments WHERE order_id = 'linked';
			UPDATE payments SET authorized_minor = 900, captured_minor = 800 WHERE order_id = 'linked'`,
	},
	{
		id: "P2", name: "what was never charged is refunded", at: "uncharged", also: "E2",
		sql: `UPDATE refunds SET amount_minor = 1000 WHERE order_id = 'uncharged'`,
	},
	{
		id: "P3", name: "a key was shown before it was charged", at: "authorized",
		sql: `INSERT INTO access_log (line_id, by, what) VALUES (line_of('authorized'), 'customer', 'keys')`,
	},
	{
		id: "P4", name: "an authorization was forgotten", at: "authorized",
		sql: `UPDATE payments SET capture_by = now() - interval '3 hours' WHERE order_id = 'authorized'`,
	},
	{
		id: "P5", name: "the processor does not know a payment", at: "linked",
		sql: `DELETE FROM sandbox_sessions WHERE order_id = 'linked'`,
	},
	{
		id: "P5", name: "a payment is not booked as the processor has it", at: "linked",
		sql: `UPDATE sandbox_sessions SET captured_minor = 999 WHERE order_id = 'linked'`,
	},
	{
		id: "P6", name: "a link was sold twice", at: "authorized", also: "P1", sql: `
			DROP INDEX payments_sold; ALTER TABLE payments DROP CONSTRAINT payments_link_id_number_key;
			UPDATE payments SET link_id = (SELECT link_id FROM payments WHERE order_id = 'linked') WHERE order_id = 'authorized'`,
	},
	{
		id: "P7", name: "a payment that has ended keeps units set aside", at: "linked", sql: `
			INSERT INTO reservations (payment_id, pool_id, units) SELECT p.id, k.id, 1 FROM payments p,
				(SELECT id FROM pools LIMIT 1) AS k WHERE p.order_id = 'linked'`,
	},
	{
		id: "P8", name: "an event of the processor was ignored", at: "linked", sql: `
			INSERT INTO provider_events (provider, id, type, payment_id, received_at)
			SELECT 'sandbox', 'evt', 'session.captured', id, now() - interval '1 hour' FROM payments
			WHERE order_id = 'linked';
			UPDATE payments SET asked_at = now() - interval '2 hours' WHERE order_id = 'linked'`,
	},
	{id: "N1", name: "a step is not told", at: "sold", sql: `
		DELETE FROM events WHERE about = 'sold' AND type = 'line.delivered'`},
	{id: "N1", name: "a step is told twice", at: "sold", sql: `
		INSERT INTO events (type, about, facts) SELECT type, about, facts FROM events
		WHERE about = 'sold' AND type = 'line.obtained'`},
	{id: "N1", name: "a step is told that nobody made", at: "fresh", sql: `
		INSERT INTO events (type, about, facts)
		SELECT 'line.delivered', about, json_build_object('line', line_of('fresh/0'), 'version', 2) FROM events
		WHERE about = 'fresh' AND type = 'order.created'`},
	{id: "N1", name: "an order is not told", at: "fresh", sql: `
		DELETE FROM events WHERE about = 'fresh' AND type = 'order.created'`},
	{id: "N1", name: "the end of an order is not told", at: "sold", sql: `
		DELETE FROM events WHERE about = 'sold' AND type = 'order.completed'`},
	{id: "N1", name: "a dispute is not told", at: "linked", sql: aftermathSet("linked", "dispute", "open") + `
		DELETE FROM events WHERE type = 'payment.disputed'`},
	{id: "N1", name: "the end of a dispute is not told", at: "linked", sql: aftermathSet("linked", "dispute", "open") + `
		UPDATE payment_aftermath SET status = 'lost', closed_at = now();
		DELETE FROM events WHERE type = 'payment.dispute_closed'`},
	{id: "N1", name: "a dispute of an order that came in paid is not told", at: "fresh", sql: paidAftermath + `
		DELETE FROM events WHERE type = 'payment.disputed'`},
	{id: "N1", name: "one of two warnings is not told", at: "linked", sql: aftermathSet("linked", "warning", "") + `
		DELETE FROM events WHERE id = (SELECT max(id) FROM events WHERE type = 'payment.fraud_warning')`},
	{id: "N1", name: "a refund that somebody else made is not told", at: "linked", sql: aftermathSet("linked", "refund", "") + `
		DELETE FROM events WHERE type = 'refund.external'`},
	{id: "N1", name: "a dispute is told that nobody noted", at: "linked", sql: aftermathSet("linked", "dispute", "open") + `
		DELETE FROM payment_aftermath`},
	{id: "N1", name: "an event is given to nobody", at: "sold", sql: `
		DELETE FROM event_deliveries d USING events e
		WHERE e.id = d.event_id AND e.about = 'sold' AND e.type = 'order.completed'`},
	{id: "N2", name: "an event was sent with other bytes", at: "sold", sql: `
		UPDATE events SET body = replace(body, 'EUR', 'USD') WHERE about = 'sold' AND type = 'order.created'`},
	{id: "N2", name: "an event has the body of another", at: "fresh", sql: `
		UPDATE events SET body = '{"type":"order.completed","timestamp":"2026-11-29T15:00:00Z","data":{}}'
		WHERE about = 'fresh' AND type = 'order.created'`},
	{id: "N3", name: "an event names the buyer", at: "fresh", sql: `
		UPDATE events SET facts = CAST(CAST(facts AS jsonb) || '{"to": "fresh@buyer.test"}' AS text)
		WHERE about = 'fresh'`},
	{id: "N4", name: "nobody gives an event its number", at: "fresh", sql: `
		INSERT INTO events (type, about, facts, created_at)
		VALUES ('license.created', 'fresh', '{}', now() - interval '1 hour')`},
	{id: "N4", name: "nobody sends what is due", at: "event", sql: `
		UPDATE event_deliveries SET next_at = now() - interval '1 hour' WHERE status = 'PENDING';
		UPDATE event_deliveries SET tried_at = tried_at - interval '1 hour'`},
	{id: "N4", name: "an event is put off for days", at: "event", sql: `
		UPDATE event_deliveries SET next_at = now() + interval '3 days' WHERE status = 'PENDING'`},

	{id: "A1", name: "an answered order is gone", at: "ghost", sql: `
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response) VALUES ('shop', 'k', '', 'ghost', '')`},
	{id: "A1", name: "captured money has no order", at: "ghost", sql: `
		INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency)
			VALUES ('pay-ghost', 'ghost', 100, 'EUR')`},
	{id: "A2", name: "two orders share an idempotency key", at: "fresh", sql: `
		ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response)
		SELECT client, 'order-fresh', request_hash, order_id, response FROM idempotency_keys WHERE order_id = 'sold'`},
	{
		id: "A3", name: "an order that nobody asked for", at: "fresh",
		sql: `DELETE FROM idempotency_keys WHERE order_id = 'fresh'`,
	},
	{
		id: "A4", name: "a line costs more than its order says", at: "fresh", also: "A7",
		sql: `UPDATE line_items SET gross_minor = gross_minor + 1 WHERE order_id = 'fresh'`,
	},
	{
		id: "A4", name: "less was captured than the order costs", at: "fresh",
		sql: `UPDATE sandbox_payments SET captured_minor = 1 WHERE order_id = 'fresh'`,
	},
	{
		id: "A4", name: "another currency was captured", at: "fresh",
		sql: `UPDATE sandbox_payments SET currency = 'USD' WHERE order_id = 'fresh'`,
	},
	{
		id: "A5", name: "a line was forgotten", at: "fresh",
		sql: `UPDATE line_items SET wake_at = NULL WHERE order_id = 'fresh'`,
	},
	{id: "A5", name: "a line's workflow is gone", at: "held", do: func(s *shop) {
		s.outer.Running = slices.DeleteFunc(slices.Clone(s.outer.Running),
			func(w OpenWorkflow) bool { return w.ID == "fulfillment-"+s.fulfillment("held") })
	}},
	{
		id: "A5", name: "a revocation was forgotten", at: "mixed",
		sql: `UPDATE revocations SET status = 'OWED' WHERE line_id = line_of('mixed/1')`,
	},
	{id: "A5", name: "the news of a refund was forgotten", at: "unseen", sql: `
		UPDATE deliveries SET status = 'READY', sent_at = NULL WHERE kind = 'canceled' AND line_id = line_of('unseen/0')`},

	{id: "A6", name: "keys were mailed again and nobody asked for it", at: "studio", do: func(s *shop) {
		id, err := s.Resend(s.ctx, s.fulfillment("studio"), "", "ops", render)
		s.ok(err)
		s.send(id)
		s.exec(`DELETE FROM outbox; DELETE FROM access_log WHERE line_id = line_of('studio/0')`)
	}},

	{id: "B1", name: "a partner gives two lines one key", at: "twin", sql: takesAnyCode, do: func(s *shop) {
		f := s.order("twin", line("studio", 1))[0]
		s.call(f, answers("STUDIO-KEY-1"))
		s.deliver(f)
	}},
	{id: "B1", name: "a person gives a key that another line has", at: "twin", sql: takesAnyCode, do: func(s *shop) {
		f := s.order("twin", line("byhand", 1))[0]
		s.supply(f, blockKey)
		s.deliver(f)
	}},
	{id: "B2", name: "a delivered line lost a key", at: "sold", sql: `
		UPDATE pool_keys SET state = 'available', line_id = NULL, unit_no = NULL WHERE line_id = line_of('sold/0')
			AND unit_no = 1;
		UPDATE pool_stock SET delivered = delivered - 1, available = available + 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`, do: func(s *shop) {
		s.forget("sold") // its letter shows the key, which is B5
	}},
	{id: "B2", name: "a line has more keys than it bought", at: "sold", sql: `
		UPDATE pool_keys SET state = 'delivered', line_id = line_of('sold/1'), unit_no = 1
			WHERE id = (SELECT min(id) FROM pool_keys WHERE pool_id = 'games' AND state = 'available');
		UPDATE pool_stock SET delivered = delivered + 1, available = available - 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`, do: func(s *shop) {
		s.forget("sold") // its letter does not show the key, which is D5
	}},
	{id: "B2", name: "a sold key still counts as claimed", at: "sold", sql: `
		UPDATE pool_keys SET state = 'claimed' WHERE line_id = line_of('sold/1');
		UPDATE pool_stock SET delivered = delivered - 1, claimed = claimed + 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`},
	{id: "B2", name: "a key belongs to no line that there is", at: "key", sql: `
		UPDATE pool_keys SET state = 'delivered', line_id = gen_random_uuid(), unit_no = 0
			WHERE id = (SELECT min(id) FROM pool_keys WHERE pool_id = 'games' AND state = 'available');
		UPDATE pool_stock SET delivered = delivered + 1, available = available - 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`},
	{id: "B3", name: "a key was deleted", at: "import", sql: `
		DELETE FROM pool_keys WHERE id = (SELECT min(id) FROM pool_keys WHERE pool_id = 'games' AND state = 'available')`},
	{id: "B3", name: "a key was withdrawn whose import stands", at: "key", sql: `
		UPDATE pool_keys SET state = 'withdrawn' WHERE id = (SELECT min(id) FROM pool_keys WHERE pool_id = 'spare');
		UPDATE pool_stock SET available = available - 1, withdrawn = withdrawn + 1 WHERE pool_id = 'spare'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'spare')`},
	{id: "B3", name: "a key is for sale whose import was undone", at: "key", sql: `
		UPDATE batches SET undone_at = now() WHERE pool_id = 'spare';
		UPDATE pool_keys SET state = 'withdrawn' WHERE pool_id = 'spare'
			AND id > (SELECT min(id) FROM pool_keys WHERE pool_id = 'spare');
		UPDATE pool_stock SET available = available - 1, withdrawn = withdrawn + 1 WHERE pool_id = 'spare'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'spare')`},
	{id: "B3", name: "withdrawn keys count as available", at: "pool spare", sql: `
		UPDATE batches SET undone_at = now() WHERE pool_id = 'spare'; UPDATE pool_keys SET state = 'withdrawn'
			WHERE pool_id = 'spare'`},
	{
		id: "B3", name: "the stock figures are wrong", at: "pool games",
		sql: `UPDATE pool_stock SET available = available + 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`,
	},
	{
		id: "B3", name: "nobody wrote down why a key is in quarantine", at: "key",
		sql: `DELETE FROM key_log WHERE line_id = line_of('revoked/0')`,
	},
	{id: "B3", name: "a key left quarantine", at: "key", sql: `
		INSERT INTO key_log (key_id, pool_id, from_state, to_state, by) SELECT key_id, pool_id, 'delivered', 'quarantined',
			'test' FROM key_log WHERE line_id = line_of('revoked/0')`},
	{id: "B3", name: "a refunded line still waits for another key", at: "revoked", sql: `
		INSERT INTO replacements (key_id, batch_id, pool_id, line_id, unit_no, status, reason, by)
		SELECT id, batch_id, pool_id, line_id, unit_no, 'OWED', '', 'test' FROM pool_keys
			WHERE line_id = line_of('revoked/0')`},
	{
		id: "B7", name: "a key was sold that had expired", at: "sold",
		sql: `UPDATE pool_keys SET give_until = now() - interval '1 d' WHERE line_id = line_of('sold/1')`,
	},
	{id: "B5", name: "keys that were seen went back to the pool", at: "revoked", sql: `
		DELETE FROM key_log WHERE line_id = line_of('revoked/0');
		UPDATE pool_keys SET state = 'available', line_id = NULL, unit_no = NULL WHERE line_id = line_of('revoked/0');
		UPDATE pool_stock SET quarantined = quarantined - 1, available = available + 1 WHERE pool_id = 'games'
			AND slot = (SELECT min(slot) FROM pool_stock WHERE pool_id = 'games')`},
	{id: "B5", name: "a pool offers a key that a person gave away", at: "twin", sql: takesAnyCode, do: func(s *shop) {
		_, err := s.Import(s.ctx, "low", strings.NewReader("GIVEN-KEY-1"), "test", false)
		s.ok(err)
		s.supply(s.order("twin", line("byhand", 1))[0], "GIVEN-KEY-1")
		s.exec(`UPDATE line_items SET wake_at = now() + interval '10 s' WHERE order_id = 'twin'`)
	}},
	{id: "B6", name: "a line was told of an empty pool that was not", also: "A7", at: "waiting", sql: `
		UPDATE batches SET created_at = created_at - interval '1 h'; UPDATE line_items
			SET created_at = created_at - interval '10 m' WHERE order_id = 'waiting';
		UPDATE line_items SET product_id = 'game' WHERE order_id = 'waiting'; UPDATE products
			SET updated_at = updated_at - interval '1 h';
		UPDATE line_items SET waiting_pool = NULL, status = 'HELD' WHERE order_id = 'waiting';
		INSERT INTO line_log (line_id, version, from_status, to_status, by) SELECT line_id, version + 1, 'WAITING_FOR_STOCK',
			'HELD', 'ops' FROM line_log WHERE line_id = line_of('waiting/0') ORDER BY version DESC LIMIT 1;
		UPDATE line_items SET version = version + 1 WHERE order_id = 'waiting'`},
	{id: "B7", name: "a line waits beside a full pool", at: "waiting", sql: `
		UPDATE line_items SET waiting_pool = 'games' WHERE order_id = 'waiting';
		UPDATE line_log SET at = at - interval '1 h' WHERE line_id = line_of('waiting/0'); UPDATE pool_keys
			SET changed_at = changed_at - interval '1 h'`},
	{id: "B8", name: "nobody knows of a low pool", at: "pool low", sql: `
		DELETE FROM alerts WHERE cause = 'LowStock'; UPDATE pools SET updated_at = updated_at - interval '1 h'`},
	{id: "B8", name: "a full pool still has its alert", at: "pool low", sql: `
		UPDATE pools SET updated_at = updated_at - interval '1 h', spec = replace(spec, '"threshold":3', '"threshold":1');
		UPDATE pool_keys SET changed_at = changed_at - interval '1 h'`},

	{
		id: "L1", name: "a paused licence counts as running", at: "owned",
		sql: `UPDATE licenses SET status = 'Running' WHERE line_id = line_of('owned/0')`,
	},
	{
		id: "L1", name: "a renewal is booked on no licence", at: "renewed",
		sql: `DELETE FROM license_steps WHERE line_id = line_of('renewed/0')`,
	},
	{id: "L1", name: "a pause made a licence run", at: "paused", sql: `
		UPDATE license_steps SET to_status = 'Running' WHERE line_id = line_of('paused/0'); UPDATE licenses
			SET status = 'Running' WHERE line_id = line_of('owned/0')`},
	{
		id: "L2", name: "a pause overtook the renewal before it", at: "paused",
		sql: `UPDATE line_items SET obtained_at = obtained_at - interval '1 h' WHERE order_id = 'paused'`,
	},
	{id: "F5", name: "an operation waits for nothing", at: "queued", sql: `
		UPDATE line_items SET license_id = (SELECT license_id FROM line_items WHERE order_id = 'paused'), operation_no = 9
			WHERE order_id = 'queued';
		UPDATE line_log SET at = at - interval '1 h' WHERE line_id IN (line_of('owned/0'), line_of('renewed/0'),
			line_of('paused/0'))`},

	{id: "C1", name: "a partner got other bytes", at: "failing", do: func(s *shop) {
		s.change(func(c *PartnerCall) { c.BodySHA256 = "other" }, s.lastCallOf("failing"))
	}},
	{id: "C2", name: "a partner was asked about what is not ours", at: "create of", do: func(s *shop) {
		s.outer.Calls = append(slices.Clone(s.outer.Calls), PartnerCall{
			Time: time.Now(), FulfillmentID: uuid.NewString(),
			Op: "create",
		})
	}},
	{id: "C2", name: "a call was not booked", at: "mixed", do: func(s *shop) {
		s.outer.Calls = append(slices.Clone(s.outer.Calls),
			PartnerCall{Time: time.Now(), FulfillmentID: s.fulfillment("mixed"), Op: "create"})
	}},
	{
		id: "C2", name: "a call left before it was booked", at: "failing",
		sql: `UPDATE attempts SET started_at = started_at + interval '5 s' WHERE line_id = line_of('failing/0')`,
	},
	{id: "C3", name: "a key was issued and nobody knows of it", at: "studio", do: func(s *shop) {
		s.change(func(c *PartnerCall) { c.Issued = [][]byte{s.Fingerprint("ANOTHER-KEY")} }, s.lastCallOf("studio"))
	}},
	{id: "C4", name: "a partner was asked after the line was delivered", at: "studio", sql: `
		UPDATE attempts SET started_at = (SELECT delivered_at FROM line_items WHERE id = line_of('studio/0')) + interval '1 s'
			WHERE line_id = line_of('studio/0') AND no = 2`},
	{id: "C4", name: "a call came after its deadline", at: "failing", do: func(s *shop) {
		s.change(func(c *PartnerCall) { c.Time = c.Time.Add(time.Minute) }, s.lastCallOf("failing"))
	}},
	{
		id: "C5", name: "nobody tells the partner of a cancelled line", at: "mixed",
		sql: `DELETE FROM revocations WHERE line_id = line_of('mixed/1')`,
	},
	{id: "C5", name: "a cancel counts as acknowledged and was not", at: "mixed", sql: `
		UPDATE attempts SET outcome = 'failed' WHERE operation = 'cancel' AND line_id = line_of('mixed/1')`},
	{id: "C5", name: "nobody knows that a source cannot be told", at: "dynamic", sql: `
		UPDATE alerts SET closed_at = now() WHERE line_id = line_of('dynamic/0')`},
	{
		id: "C6", name: "a key came with an error", at: "studio",
		sql: `UPDATE attempts SET http_status = 500 WHERE line_id = line_of('studio/0')`,
	},
	{id: "C7", name: "somebody followed a redirect", at: "create", do: func(s *shop) {
		s.outer.HoneypotCalls = []PartnerCall{{Time: time.Now(), Op: "create"}}
	}},
	{id: "C9", name: "a partner had more calls than it allows", at: "endpoint/studio", sql: `
		UPDATE integrations SET spec = '{"id":"studio","limits":{"maxConcurrent":1}}',
			updated_at = updated_at - interval '1 h' WHERE id = 'studio';
		UPDATE attempts SET ended_at = started_at + interval '9 s', deadline_at = started_at + interval '9 s'
			WHERE source = 'endpoint/studio' AND operation = 'create' AND no = 1`},
	{id: "C8", name: "a partner was asked twice at a time", at: "failing", sql: `
		UPDATE attempts SET duration_ms = 8000, deadline_at = started_at + interval '9 s' WHERE line_id = line_of('failing/0')
			AND no = 1`},

	{id: "D1", name: "a delivered line has no e-mail", at: "studio", sql: `
		UPDATE deliveries SET status = 'READY', sent_at = NULL WHERE line_id = line_of('studio/0')`, do: func(s *shop) {
		s.outer.Running = append(slices.Clone(s.outer.Running),
			OpenWorkflow{ID: "delivery-" + s.read(`SELECT id FROM deliveries WHERE line_id = line_of('studio/0')`)})
	}},
	{
		id: "D1", name: "an order of a link was never confirmed", at: "authorized", sql: `
			UPDATE payment_mails SET kind = 'orderPage'
			WHERE payment_id = (SELECT id FROM payments WHERE order_id = 'authorized')`,
	},
	{
		id: "D1", name: "nobody says that nothing was charged", at: "uncharged", sql: `
			UPDATE payment_mails SET kind = 'orderPage' WHERE kind = 'ended'`,
	},
	{id: "D1", name: "a withdrawal cancels nothing", at: "linked", do: func(s *shop) {
		id := s.read(`SELECT id FROM payments WHERE order_id = 'linked'`)
		s.exec(`INSERT INTO payment_mails (id, payment_id, kind, due_at) VALUES (gen_random_uuid(), $1, 'withdrawal', now())`,
			id)
		s.tell(id)
	}},
	{id: "D1", name: "a confirmation never arrived", at: "linked", do: func(s *shop) {
		id := s.read(`SELECT m.id FROM payment_mails m JOIN payments p ON p.id = m.payment_id WHERE p.order_id = 'linked'`)
		s.outer.Letters = slices.DeleteFunc(slices.Clone(s.outer.Letters), func(l Letter) bool {
			return bytes.Contains(s.outer.Raw[l.ID], []byte("<"+id+"@"))
		})
	}},
	{
		id: "D2", name: "a confirmation counts as sent without an attempt", at: "linked",
		sql: `UPDATE payment_mails SET attempts = 0 WHERE payment_id = (SELECT id FROM payments WHERE order_id = 'linked')`,
	},
	{
		id: "F5", name: "nobody sends a confirmation", at: "authorized", sql: `
			UPDATE payment_mails SET status = 'READY', sent_at = NULL, due_at = now() - interval '1 h'
			WHERE payment_id = (SELECT id FROM payments WHERE order_id = 'authorized')`,
	},
	{id: "D1", name: "an e-mail never arrived", at: "studio", do: func(s *shop) { s.forget("studio") }},
	{
		id: "D2", name: "an e-mail was sent without an attempt", at: "unseen",
		sql: `UPDATE deliveries SET attempts = 0 WHERE line_id = line_of('unseen/0')`, do: func(s *shop) {
			s.forget("unseen")
		},
	},
	{id: "D2", name: "an e-mail arrived twice", at: "studio", do: func(s *shop) {
		i := s.letterOf("studio")
		again := s.outer.Letters[i]
		s.outer.Letters = append(slices.Clone(s.outer.Letters), Letter{ID: again.ID, To: again.To, Received: again.Received})
	}},
	{
		id: "D2", name: "an e-mail has other bytes", at: "studio",
		do: func(s *shop) { s.rewrite("studio", "Hello", "Hullo") },
	},
	{id: "D2", name: "an e-mail that nobody booked", at: "letter", do: func(s *shop) {
		s.exec(`DELETE FROM deliveries WHERE kind = 'canceled' AND line_id = line_of('unseen/0')`)
	}},
	{id: "D3", name: "an e-mail went to somebody else too", at: "studio", do: func(s *shop) {
		i := s.letterOf("studio")
		s.outer.Letters = slices.Clone(s.outer.Letters)
		s.outer.Letters[i].To = []string{"studio@buyer.test", "eve@buyer.test"}
	}},
	{id: "D4", name: "keys were mailed after the cancel", at: "revoked", sql: `
		UPDATE deliveries SET sent_at = now() + interval '1 h' WHERE kind = 'keys' AND line_id = line_of('revoked/0')`},
	{id: "D4", name: "keys arrived after the cancel", at: "revoked", do: func(s *shop) {
		i := s.letterOf("revoked")
		s.outer.Letters = slices.Clone(s.outer.Letters)
		s.outer.Letters[i].Received = time.Now().Add(time.Hour)
	}},
	{
		id: "D6", name: "an e-mail is missing in the count", at: "resent",
		sql: `UPDATE deliveries SET number = 3 WHERE number = 2 AND line_id = line_of('resent/0')`,
	},

	{
		id: "E1", name: "a refund is more than the line cost", at: "owed",
		sql: `UPDATE refunds SET amount_minor = 2000 WHERE line_id = line_of('owed/0')`,
	},
	{
		id: "E1", name: "the provider paid another amount", at: "mixed",
		sql: `UPDATE sandbox_refunds SET amount_minor = 1 WHERE order_id = 'mixed'`,
	},
	{id: "E1", name: "more was paid back than captured", at: "mixed", sql: `
		UPDATE sandbox_payments SET captured_minor = 500 WHERE order_id = 'mixed';
		UPDATE orders SET payment_provider = 'other' WHERE id = 'mixed'; UPDATE refunds SET provider = 'other'
			WHERE order_id = 'mixed'`},
	{
		id: "E1", name: "nobody gives back what an order without a payment costs", at: "sold",
		sql: `UPDATE orders SET payment_provider = 'none' WHERE id = 'sold'`,
	},
	{id: "E2", name: "a refund by hand counts as done and nobody confirmed it", at: "mixed", sql: `
		UPDATE orders SET payment_provider = 'manual' WHERE id = 'mixed';
		UPDATE refunds SET provider = 'manual' WHERE order_id = 'mixed'`},
	{
		id: "E2", name: "a cancelled line has no refund", at: "owed",
		sql: `DELETE FROM refunds WHERE line_id = line_of('owed/0')`,
	},
	{
		id: "E2", name: "a refund counts as done and the provider did nothing", at: "mixed",
		sql: `UPDATE sandbox_refunds SET applied_at = NULL WHERE order_id = 'mixed'`,
	},
	{id: "E3", name: "a delivered line is refunded too", at: "sold", sql: `
		INSERT INTO refunds (line_id, order_id, amount_minor, currency, provider, reference, reason)
		SELECT line_of('sold/1'), id, 1000, currency, payment_provider, payment_reference, 'x' FROM orders
			WHERE id = 'sold'`},
	{id: "E3", name: "a line was refunded though its e-mail may be out", at: "maybe", do: func(s *shop) {
		s.maybe()
		s.exec(`UPDATE alerts SET closed_at = now() WHERE cause = 'Exposed'`)
	}},
	{id: "E4", name: "the provider paid under another key", at: "mixed", sql: `
		INSERT INTO sandbox_refunds (key, id, reference, order_id, amount_minor, tries, applied_at)
			VALUES ('x', gen_random_uuid(), 'pay-mixed', 'mixed', 1, 1, now())`},
	{
		id: "E4", name: "the provider was asked more often than booked", at: "mixed",
		sql: `UPDATE sandbox_refunds SET tries = 7 WHERE order_id = 'mixed'`,
	},

	{
		id: "F1", name: "a step is missing", at: "studio", also: "N1",
		sql: `DELETE FROM line_log WHERE line_id = line_of('studio/0') AND to_status = 'OBTAINED'`,
	},
	{id: "F1", name: "a step that the table does not have", at: "held", also: "N1", sql: `
		UPDATE line_log SET to_status = 'CANCELED' WHERE line_id = line_of('held/0') AND to_status = 'OBTAINED';
		UPDATE line_log SET from_status = 'CANCELED' WHERE line_id = line_of('held/0') AND to_status = 'HELD'`},
	{
		id: "F1", name: "the steps lead elsewhere", at: "held", also: "N1",
		sql: `DELETE FROM line_log WHERE line_id = line_of('held/0') AND to_status = 'HELD'`,
	},
	{
		id: "F1", name: "a step from the future", at: "held",
		sql: `UPDATE line_items SET version = 2 WHERE id = line_of('held/0')`,
	},
	{
		id: "F2", name: "a line in trouble has no alert", at: "failing",
		sql: `DELETE FROM alerts WHERE line_id = line_of('failing/0')`,
	},
	{
		id: "F2", name: "a delivered line has an open alert", at: "supplied",
		sql: `UPDATE alerts SET closed_at = NULL WHERE line_id = line_of('supplied/0')`,
	},
	{id: "F2", name: "nobody was told of an alert", at: "failing", sql: `
		UPDATE alerts SET mailed_at = NULL, opened_at = opened_at - interval '1 h' WHERE line_id = line_of('failing/0')`},
	{
		id: "F3", name: "an order's counts are wrong", at: "fresh",
		sql: `UPDATE orders SET lines_delivered = 1, status = 'COMPLETED' WHERE id = 'fresh'`,
	},
	{
		id: "F3", name: "an order's status is wrong", at: "fresh",
		sql: `UPDATE orders SET status = 'COMPLETED' WHERE id = 'fresh'`,
	},
	{id: "F4", name: "a line is past its deadline", at: "held", sql: `
		UPDATE line_items SET created_at = created_at - interval '9 d', give_up_at = give_up_at - interval '9 d'
			WHERE id = line_of('held/0')`},
	{
		id: "F4", name: "a refund is late and nobody knows", at: "owed",
		sql: `UPDATE refunds SET attempts = 1, created_at = created_at - interval '9 h' WHERE line_id = line_of('owed/0')`,
	},
	{
		id: "F5", name: "the relay left a line", at: "fresh",
		sql: `UPDATE line_items SET wake_at = now() - interval '1 h' WHERE order_id = 'fresh'`,
	},
	{
		id: "F5", name: "the relay left an errand", at: "SendFollowUpEmail",
		sql: `INSERT INTO outbox (workflow, subject, due_at) VALUES ('SendFollowUpEmail', 'x', now() - interval '1 h')`,
	},
	{
		id: "F5", name: "the relay cannot start an errand", at: "Unknown x",
		sql: `INSERT INTO outbox (workflow, subject, due_at, tries) VALUES ('Unknown', 'x', now() + interval '10 s', 100)`,
	},
	{id: "F5", name: "a customer was promised another key, and giving it fails", at: "sold", sql: `
		INSERT INTO replacements (key_id, batch_id, pool_id, line_id, unit_no, status, reason, by, created_at, failed_at)
		SELECT id, batch_id, pool_id, line_id, unit_no, 'OWED', 'leaked', 'ops', now() - interval '1 d', now()
		FROM pool_keys WHERE line_id = line_of('sold/1')`},
	{id: "F5", name: "an e-mail is being sent for ever", at: "resent", sql: `
		UPDATE deliveries SET status = 'SENDING', lease_until = now() - interval '1 h' WHERE number = 1
			AND line_id = line_of('resent/0')`},
	{id: "F5", name: "a call is under way for ever", at: "failing", sql: `
		UPDATE attempts SET outcome = 'running', deadline_at = now() - interval '1 h', started_at = now() - interval '1 h'
			WHERE no = 2 AND line_id = line_of('failing/0');
		UPDATE attempts SET started_at = now() - interval '2 h', deadline_at = now() - interval '2 h' WHERE no = 1
			AND line_id = line_of('failing/0');
		UPDATE line_items SET next_attempt_at = NULL WHERE id = line_of('failing/0');
		UPDATE line_items SET next_attempt_at = now() - interval '1 h'
			WHERE id = line_of('failing/0')`, do: func(s *shop) { s.outer.Calls = nil }},
	{
		id: "F5", name: "an attempt is overdue", at: "failing",
		sql: `UPDATE line_items SET next_attempt_at = now() - interval '1 h' WHERE id = line_of('failing/0')`,
	},
	{
		id: "F5", name: "a hold is overdue", at: "held",
		sql: `UPDATE line_items SET held_until = now() - interval '1 h' WHERE id = line_of('held/0')`,
	},
	{
		id: "F5", name: "a line stands still", at: "fresh",
		sql: `UPDATE line_items SET created_at = created_at - interval '1 h', wake_at = NULL WHERE order_id = 'fresh'`,
		do: func(s *shop) {
			s.outer.Running = append(slices.Clone(s.outer.Running), OpenWorkflow{ID: "fulfillment-" + s.fulfillment("fresh")})
		},
	},
	{
		id: "F5", name: "nobody asks for a refund", at: "owed",
		sql: `UPDATE refunds SET created_at = created_at - interval '1 h' WHERE line_id = line_of('owed/0')`,
	},
	{id: "F6", name: "a workflow without a line", at: "fulfillment-", do: func(s *shop) {
		s.outer.Running = append(slices.Clone(s.outer.Running), OpenWorkflow{ID: "fulfillment-" + uuid.NewString()})
	}},
	{id: "F6", name: "a workflow of a line that is decided", at: "fulfillment-", do: func(s *shop) {
		s.outer.Running = append(slices.Clone(s.outer.Running), OpenWorkflow{ID: "fulfillment-" + s.fulfillment("studio")})
	}},
	{id: "F7", name: "a history is too long", at: "fulfillment-", do: func(s *shop) {
		s.outer.Heavies = []HeavyWorkflow{{ID: "fulfillment-" + s.fulfillment("studio"), Events: 20_000}}
	}},
	{id: "F8", name: "this build does not know a history", at: "studio", do: func(s *shop) {
		h := pastHistory()
		for _, e := range h.GetEvents() {
			if m := e.GetMarkerRecordedEventAttributes(); m != nil {
				m.MarkerName = "Version"
			}
		}
		s.outer.Kept = map[string]*history.History{"fulfillment-" + s.fulfillment("studio"): h}
	}},
	{id: "G1", name: "an address stands in an alert", at: "failing", sql: `
		UPDATE alerts SET detail = replace(detail, '"happened"', '"by": "failing@buyer.test", "happened"')
			WHERE line_id = line_of('failing/0')`},
	{id: "G1", name: "a key stands in a history", at: "studio", do: func(s *shop) {
		h := pastHistory()
		h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().Identity = "STUDIO-KEY-1"
		s.outer.Kept = map[string]*history.History{"fulfillment-" + s.fulfillment("studio"): h}
	}},
	{id: "G4", name: "a client is answered with another's order", at: "fresh", sql: `
		INSERT INTO idempotency_keys (client, key, request_hash, order_id, response)
			VALUES ('another', 'k', '', 'fresh', '')`},
	{id: "G3", name: "an erased customer's order is still readable", at: "sold", sql: `
		UPDATE customers SET erased_at = now() WHERE id = 'c-sold'; UPDATE customers SET data_key = NULL WHERE id = 'c-sold';
		UPDATE deliveries SET message = '' WHERE line_id IN (SELECT id FROM line_items WHERE order_id = 'sold');
		UPDATE idempotency_keys SET response = '' WHERE order_id = 'sold'`, do: func(s *shop) { s.forget("sold") }},
	{id: "G3", name: "an erased customer's e-mails are still there", at: "sold", do: func(s *shop) {
		_, err := s.EraseCustomer(s.ctx, "", "c-sold", "test")
		s.ok(err)
		s.exec(`UPDATE deliveries SET message = 'x' WHERE line_id = line_of('sold/0')`)
	}},
	{id: "G3", name: "what an erased customer's link sells is still there", at: "linked", do: func(s *shop) {
		spec := s.read(`SELECT encode(spec, 'hex') FROM checkout_links WHERE order_id = 'linked'`)
		_, err := s.EraseCustomer(s.ctx, "", "c-linked", "test")
		s.ok(err)
		s.exec(`UPDATE checkout_links SET spec = decode($1, 'hex') WHERE order_id = 'linked'`, spec)
	}},
	{id: "G3", name: "what a partner answered of an erased customer is still there", at: "studio", do: func(s *shop) {
		_, err := s.EraseCustomer(s.ctx, "", "c-studio", "test")
		s.ok(err)
		s.exec(`UPDATE attempts SET reply = 'x' WHERE line_id = line_of('studio/0')`)
	}},
	{id: "G3", name: "what a receiver answered of an erased customer is still there", at: "sold", do: func(s *shop) {
		_, err := s.EraseCustomer(s.ctx, "", "c-sold", "test")
		s.ok(err)
		s.exec(`UPDATE event_deliveries SET reply = 'thanks'
			WHERE event_id = (SELECT min(id) FROM events WHERE about = 'sold')`)
	}},
	{
		id: "G3", name: "what a receiver answered of an erased customer's link is still there", at: "unpaid",
		do: func(s *shop) {
			s.ok(s.CancelLink(s.ctx, s.checkoutLink("unpaid", "game", ""), "test", "over"))
			_, _, err := s.NumberEvents(s.ctx)
			s.ok(err)
			_, err = s.EraseCustomer(s.ctx, "", "c-unpaid", "test")
			s.ok(err)
			s.exec(`UPDATE event_deliveries SET reply = 'thanks'
				WHERE event_id IN (SELECT id FROM events WHERE about = 'unpaid')`)
		},
	},
	{id: "G3", name: "an erased customer's order is found by an address", at: "sold", do: func(s *shop) {
		_, err := s.EraseCustomer(s.ctx, "", "c-sold", "test")
		s.ok(err)
		s.exec(`UPDATE orders SET email_tag = decode('00', 'hex') WHERE id = 'sold'`)
	}},
	{
		id: "D1", name: "who is owed what was taken too much is not told", at: "linked", also: "A5 P2", sql: `
			INSERT INTO payment_refunds (payment_id, amount_minor, currency)
			SELECT id, 1, currency FROM payments WHERE order_id = 'linked'`,
	},
	{
		id: "D1", name: "a link to a library was sent and did not arrive", at: libraryLink,
		sql: libraryLinkSQL("'SENT', now() - interval '1 h', NULL, 1"),
	},
	{
		id: "D2", name: "a link to a library is sent without an attempt", at: libraryLink,
		sql: libraryLinkSQL("'SENDING', NULL, now() + interval '1 min', 0"),
	},
	{
		id: "F5", name: "nobody sends a link to a library", at: libraryLink,
		sql: libraryLinkSQL("'READY', NULL, now() - interval '1 h', 1"),
	},
	{id: "G3", name: "an erased customer's key is still there", at: "sold", do: func(s *shop) {
		key := s.read(`SELECT encode(data_key, 'hex') FROM customers WHERE id = 'c-sold'`)
		_, err := s.EraseCustomer(s.ctx, "", "c-sold", "test")
		s.ok(err)
		s.exec(`UPDATE customers SET data_key = decode($1, 'hex') WHERE id = 'c-sold'`, key)
	}},
	{id: "A7", name: "the pages of two orders changed places", at: "sold", sql: `
		ALTER TABLE orders DROP CONSTRAINT orders_page_hash_key;
		UPDATE orders o SET page_hash = p.page_hash FROM orders p
		WHERE o.id = 'sold' AND p.id = 'fresh' OR o.id = 'fresh' AND p.id = 'sold'`},
	{id: "A7", name: "an order has a page that somebody planted", at: "fresh", sql: `
		UPDATE orders SET page_hash = sha256('planted') WHERE id = 'fresh'`},
	{id: "A7", name: "a sold line has another product", at: "fresh", sql: `
		UPDATE line_items SET product_id = 'rare' WHERE order_id = 'fresh'`},
	{id: "A7", name: "line, order and captured money were changed alike", at: "fresh", sql: `
		UPDATE line_items SET gross_minor = 100 WHERE order_id = 'fresh';
		UPDATE orders SET gross_minor = 100 WHERE id = 'fresh';
		UPDATE sandbox_payments SET captured_minor = 100 WHERE order_id = 'fresh'`},
	{id: "A7", name: "a line has another fulfillment ID", at: "fresh", sql: `
		UPDATE line_items SET fulfillment_id = gen_random_uuid() WHERE order_id = 'fresh'`},
	{id: "L1", name: "a licence is another customer's", at: "owned", sql: `
		UPDATE licenses SET customer_id = 'c-sold' WHERE line_id = line_of('owned/0')`},
	{id: "L1", name: "a licence was prolonged", at: "owned", sql: `
		UPDATE licenses SET expires_at = now() + interval '10 years' WHERE line_id = line_of('owned/0')`},
	{id: "F1", name: "a deadline was moved", at: "fresh", sql: `
		UPDATE line_items SET extended_until = now() + interval '1 year' WHERE order_id = 'fresh'`},
	{id: "F1", name: "somebody else is said to have decided", at: "held", sql: `
		UPDATE line_log SET by = 'somebody' WHERE line_id = line_of('held/0') AND to_status = 'HELD'`},
	{id: "F1", name: "a decision is gone", at: "held", sql: `
		DELETE FROM resolutions WHERE line_id = line_of('held/0')`},
	{id: "G2", name: "the contents of two sold keys changed places", at: "pool_keys", sql: `
		UPDATE pool_keys k SET content = o.content FROM pool_keys o
		WHERE k.line_id = line_of('sold/0') AND o.line_id = line_of('resent/0') AND k.unit_no = 0`},
	{id: "G2", name: "two keys changed places", at: "pool_keys", sql: `
		UPDATE pool_keys k SET content = o.content FROM pool_keys o
		WHERE k.pool_id = 'low' AND o.pool_id = 'low' AND o.id <> k.id`},
	{id: "G2", name: "two customers changed places", at: "fresh", sql: `
		UPDATE orders o SET customer = (SELECT customer FROM orders WHERE id = 'held') WHERE o.id = 'fresh'`},
	{id: "G2", name: "an order is found by another's address", at: "fresh", sql: `
		UPDATE orders SET email_tag = decode('00', 'hex') WHERE id = 'fresh'`},
	{id: "G2", name: "a key says that it is another", at: "pool_keys", sql: `
		UPDATE pool_keys SET fingerprint = decode('00', 'hex')
			WHERE id = (SELECT min(id) FROM pool_keys WHERE pool_id = 'low')`},
}

// dropConstraintsSQL takes away what keeps the database from being corrupted.
const dropConstraintsSQL = `
	DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conrelid, conname FROM pg_constraint WHERE contype IN ('c', 'f')
			AND connamespace = CAST('public' AS regnamespace) AND conrelid <> 0
		LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', CAST(c.conrelid AS regclass), c.conname); END LOOP; END $$`

func TestEachCorruptionIsFoundByItsInvariant(t *testing.T) {
	found := map[string]bool{"B4": true, "D5": true} // they never come alone
	for _, p := range planted {
		found[p.id] = true
		t.Run(p.id+" "+p.name, func(t *testing.T) {
			s := newLaxShop(t)
			if p.sql != "" {
				s.exec(p.sql)
			}
			if p.do != nil {
				p.do(s)
			}
			r := s.audit()
			want := append([]string{p.id}, strings.Fields(p.also)...)
			require.ElementsMatch(t, want, r.Violated(), "%+v", listed(r))
			require.False(t, r.OK)
			named := ""
			for _, v := range r.Result(p.id).Listed {
				named += v.OrderID + " " + v.Subject + "\n"
			}
			require.Contains(t, named, p.at)
		})
	}
	for _, in := range invariants {
		require.True(t, found[in.id], "%s has no planted corruption", in.id)
	}
}

func listed(r *Report) (out []Violation) {
	for _, res := range r.Invariants {
		out = append(out, res.Listed...)
	}
	return out
}

// Violations are counted also where they are not listed.
func TestListIsCapped(t *testing.T) {
	s := newLaxShop(t)
	s.exec(`UPDATE orders SET status = 'CANCELED'`)
	r := s.auditWith(func(e *Evidence) { e.Listed = 2 })
	require.Len(t, r.Result("F3").Listed, 2)
	require.Greater(t, r.Result("F3").Violations, int64(5))
}

// The order of a product that was edited since may have one key or one per unit.
func TestEditedProductIsNoViolation(t *testing.T) {
	s := newShop(t)
	p, err := s.Product(s.ctx, "game")
	require.NoError(t, err)
	p.QuantityMode = keyturn.OnePerLine
	_, _, err = s.PutProduct(s.ctx, p)
	require.NoError(t, err)
	require.Empty(t, listed(s.audit()))
}

// maybe is a line whose e-mail may be out when it is given up: the keys are in quarantine, and the money went back.
func (s *shop) maybe() {
	f := s.order("maybe", line("game", 1))[0]
	s.claim(f)
	d, _, _, err := s.BeginDelivery(s.ctx, f, render)
	s.ok(err)
	_, err = s.FinishDelivery(s.ctx, f, d, &db.StepFailure{Failure: keyturn.Failure{
		Kind:    keyturn.KindUnavailable,
		Message: "no answer",
	}}, true)
	s.ok(err)
	s.resolve(f, keyturn.ActionRefund)
	s.refund(f)
}

// fulfillment is that of an order's first line.
func (s *shop) fulfillment(order string) string {
	return s.read(`SELECT fulfillment_id FROM line_items WHERE id = line_of($1)`, order+"/0")
}

// letterOf is the place of the first letter with keys to an order's address.
func (s *shop) letterOf(order string) int {
	return slices.IndexFunc(s.outer.Letters, func(l Letter) bool { return l.To[0] == order+"@buyer.test" })
}

// forget takes the letters to an order's address out of the mailbox, and its lines out of sight of D1 unless that is
// what is tried: a line that was delivered after the mailbox was read is not looked for.
func (s *shop) forget(order string) {
	s.outer.Letters = slices.DeleteFunc(slices.Clone(s.outer.Letters),
		func(l Letter) bool { return l.To[0] == order+"@buyer.test" })
	if order != "studio" {
		s.exec(`UPDATE line_items SET delivered_at = delivered_at + interval '1 h' WHERE order_id = $1`, order)
	}
}

// A letter with another key than the line's is not what was stored either.
func TestWrongKeyInLetterIsFound(t *testing.T) {
	s := newShop(t)
	s.rewrite("resent", "GAME-KEY-", "GAME-KEY-A ") // the first key is that of order sold
	require.Equal(t, []string{"B4", "D2", "D5"}, s.audit().Violated())
}

// A key of several lines is found in the letter of another line, too.
func TestLicenseBlockInAnothersLetterIsFound(t *testing.T) {
	s := newShop(t)
	s.rewrite("resent", "</p>", "<pre>"+strings.ReplaceAll(blockKey, "\n", "\r\n")+"</pre></p>")
	require.Equal(t, []string{"B4", "D2"}, s.audit().Violated())
}

func (s *shop) rewrite(order, from, to string) {
	i := s.letterOf(order)
	raw := make(map[string][]byte, len(s.outer.Raw))
	for id, data := range s.outer.Raw {
		raw[id] = data
	}
	id := s.outer.Letters[i].ID
	raw[id] = bytes.ReplaceAll(raw[id], []byte(from), []byte(to))
	s.outer.Raw = raw
}

// lastCallOf is the place of the partner's last call for an order.
func (s *shop) lastCallOf(order string) int {
	ids := []string{s.fulfillment(order), db.UnitID(s.fulfillment(order), 1)}
	for i := len(s.outer.Calls) - 1; i >= 0; i-- {
		if slices.Contains(ids, s.outer.Calls[i].FulfillmentID) {
			return i
		}
	}
	return -1
}

func (s *shop) change(fn func(*PartnerCall), at int) {
	s.outer.Calls = slices.Clone(s.outer.Calls)
	fn(&s.outer.Calls[at])
}

// A worker that stood still in a call has a long try by its own clock; the call was over at its deadline.
func TestAFrozenWorkersCallIsOverAtItsDeadline(t *testing.T) {
	s := newShop(t)
	s.exec(`UPDATE attempts SET outcome = 'unknown', duration_ms = 60000, deadline_at = started_at + interval '1 ms'
		WHERE no = 1 AND line_id = line_of('failing/0')`)
	require.Empty(t, listed(s.audit()))
}

// A resend that nobody asked for is one too many, and goes to an address that nobody named.
func TestAResendThatNobodyAskedForIsFound(t *testing.T) {
	s := newShop(t)
	s.exec(`DELETE FROM access_log`)
	require.Equal(t, []string{"A6", "D3"}, s.audit().Violated())
}

// What comes up for an order after its customer was erased ends like every other, and is no leak.
func TestAnErasedOrderThatIsCancelledIsNoLeak(t *testing.T) {
	s := newShop(t)
	lines := []string{
		s.fulfillment("erased"), s.read(`SELECT fulfillment_id FROM line_items WHERE id = line_of('erased/1')`),
	}
	s.ok(s.CancelOrder(s.ctx, "erased", "the shop: Jean Dupont rang"))
	for _, f := range lines {
		_, err := s.Review(s.ctx, f)
		s.ok(err)
		s.payBack(f)
	}
	s.revoke(lines[1], "endpoint/studio")
	require.Empty(t, listed(s.audit()))
}
