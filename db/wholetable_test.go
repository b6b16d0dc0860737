package db

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
)

// copies is how often the shop of this test has sold everything: enough for any index to be cheaper than its table.
const copies = 2500

// copied are the tables that grow with every order, in the order of their references.
var copied = []string{
	"customers", "orders", "idempotency_keys", "line_items", "line_log", "partner_requests", "attempts", "deliverables",
	"deliveries", "bounces", "address_changes", "refunds", "revocations", "licenses", "alerts", "access_log", "pool_keys",
	"key_log", "partner_queue", "outbox", "sandbox_payments", "sandbox_refunds", "library_links",
}

// step is something that is done in a shop.
type step struct {
	name string
	do   func()
}

// crowd is a shop in which everything has been sold some thousand times.
func crowd(t *testing.T, sell func(*shop)) *shop {
	t.Helper()
	t.Parallel()
	s := emptyShop(t)
	s.product("game", fromPool("games"))
	s.product("app", fromEndpoint("acme"))
	s.product("byhand", byHand)
	sell(s)
	require.NoError(t, s.Close())
	testkit.Multiply(t, s.dsn, copies, copied, nil)
	testkit.Multiply(t, s.dsn, 10, []string{"outbox"}, map[string]string{ // its rows are small
		"outbox.subject": "CAST(CAST(md5(g || subject) AS uuid) AS text)",
	})
	return s
}

// reopened is the shop for a look at it.
func (s *shop) reopened() *shop {
	s.t.Helper()
	s.DB = s.open(s.t.(testing.TB), s.dsn)
	return s
}

// readMuch takes the steps and says which of them read more than a thousand rows of a table, but for those whose answer
// is how many there are.
func (s *shop) readMuch(t *testing.T, steps []step, counting ...string) (found []string) {
	t.Helper()
	const limit = 1000
	reads := testkit.WatchReads(t, s.dsn)
	for _, step := range steps {
		s.reopened()
		step.do()
		require.NoError(t, s.Close())
		for _, r := range reads.More(t, limit) {
			if !slices.Contains(counting, step.name) {
				found = append(found, step.name+": "+r.String())
			}
		}
	}
	return found
}

// A step reads what it needs, however much was sold: none goes through a whole table, or a whole index. Statistics that
// mislead PostgreSQL are those of the simplest shop, where every key is of one batch and every line of one product.
// What may: the audit, what follows a restore, the nightly Tidy, and the erasure of a customer, which looks for orders.
func TestNoStepReadsAWholeTable(t *testing.T) {
	s := crowd(t, func(s *shop) {
		s.stock("games", keysNamed("K", 30)...)
		sold := s.sell("game")
		s.claimed(sold)
		s.delivered(sold)
		f := s.sell("app")
		s.finishCall(f, answered(s.beginCall(f), "APP-1"))
		s.delivered(f)
		f = s.sell("app")
		s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		s.revoked(f, "endpoint/acme")
		_, err := s.Resend(s.ctx, sold, "", "ops", renderMail)
		require.NoError(t, err)
		s.bounced(s.newestMail(sold), keyturn.BounceBadAddress)
		_, err = s.Resend(s.ctx, sold, "other@buyer.test", "ops", renderMail)
		require.NoError(t, err)
		s.opened("ada@buyer.test")
		s.asked("ada@buyer.test")
		require.NoError(t, s.AskForLibrary(s.ctx, "ada@buyer.test")) // what is copied is due
		s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now(); DELETE FROM outbox; UPDATE alerts
			SET closed_at = now(), mailed_at = now()`)
	})
	var err error
	f := map[string]string{}
	out := map[string]*Delivery{}
	calls := map[string]*Call{}
	var link, session string
	ok := func(err error) { t.Helper(); require.NoError(t, err) }
	require.Empty(t, s.readMuch(t, []step{
		{"accept", func() { f["game"], f["app"], f["bad"] = s.sell("game"), s.sell("app"), s.sell("app") }},
		{"claim", func() { _, err = s.Claim(s.ctx, f["game"], renderMail); ok(err) }},
		{"send", func() { out["game"] = s.beginDelivery(f["game"]) }},
		{"finish", func() { _, err = s.FinishDelivery(s.ctx, f["game"], out["game"], nil, false); ok(err) }},
		{"claim otherwise", func() {
			f["more"] = s.order("more", lineOf("game", 3), lineOf("app", 1))[0]
			s.claimed(f["more"])
			s.delivered(f["more"])
		}},
		{"call", func() { calls["app"] = s.beginCall(f["app"]) }},
		{"answer", func() { s.finishCall(f["app"], answered(calls["app"], "APP-X")) }},
		{"deliver", func() { s.delivered(f["app"]) }},
		{"fail", func() { s.finishCall(f["bad"], refused(s.beginCall(f["bad"]), keyturn.KindUnavailable)) }},
		{"tell", func() { _, err = s.TakeAlerts(s.ctx, 10, func([]Alert) error { return nil }); ok(err) }},
		{"list alerts", func() { _, err = s.Alerts(s.ctx, "", true, "", 0, 20); ok(err) }},
		{"list open alerts", func() { _, err = s.Alerts(s.ctx, "", false, "", 0, 20); ok(err) }},
		{"decide and pay back", func() { s.resolve(f["bad"], keyturn.ActionRefund); s.refunded(f["bad"]) }},
		{"revoke", func() { s.revoked(f["bad"], "endpoint/acme") }},
		{"resend", func() { _, err = s.Resend(s.ctx, f["game"], "", "ops", renderMail); ok(err) }},
		{"book a bounce", func() { s.bounced(s.newestMail(f["game"]), keyturn.BounceBadAddress) }},
		{"show a bounced fulfillment", func() { _, err = s.Fulfillment(s.ctx, f["game"]); ok(err) }},
		{"show a bounced page", func() { _, err = s.CustomerPage(s.ctx, s.tokenOf(f["game"]), 1); ok(err) }},
		{"correct an address", func() {
			_, err = s.CorrectAddress(s.ctx, s.tokenOf(f["game"]), f["game"], "jean@buyer.test", renderMail)
			ok(err)
		}},
		{"close alerts of bounces", func() { ok(s.CloseBounced(s.ctx)) }},
		{"carry a corrected address", func() { ok(s.CarryAddresses(s.ctx, renderMail)) }},
		{"relay", func() {
			due, err := s.TakeDue(s.ctx, 100)
			ok(err)
			ok(s.RelayDone(s.ctx, due))
		}},
		{"take a turn", func() { ok(s.TakeTurn(s.ctx, Due{Workflow: WorkflowTurn, Subject: "more", position: 1})) }},
		{"dispatch waiting", func() { _, _, err = s.DispatchWaiting(s.ctx, time.Second); ok(err) }},
		{"show an order", func() { _, err = s.Order(s.ctx, "more"); ok(err) }},
		{"show a fulfillment", func() { _, err = s.Fulfillment(s.ctx, f["app"]); ok(err) }},
		{"list orders", func() { _, err = s.Orders(s.ctx, "", "", "", 20); ok(err) }},
		{"list orders by status", func() {
			for _, status := range keyturn.OrderStatuses {
				_, err = s.Orders(s.ctx, "", status, "", 20)
				ok(err)
			}
		}},
		{"the customer's page", func() { _, err = s.CustomerPage(s.ctx, s.PageToken("more"), 1); ok(err) }},
		{"ask for a library", func() { ok(s.AskForLibrary(s.ctx, "ada@buyer.test")) }},
		{"find links to send", func() {
			due, err := s.DueLibraryMails(s.ctx, 20)
			ok(err)
			require.Len(t, due, 20)
		}},
		{"send a link to a library", func() {
			out, err := s.BeginLibraryMail(s.ctx, read[string](s,
				`SELECT id FROM library_links WHERE email_tag IS NOT NULL ORDER BY created_at DESC LIMIT 1`), renderLibrary)
			ok(err)
			link = linkIn(string(out.Message))
			ok(s.FinishLibraryMail(s.ctx, out, nil))
		}},
		{"see a link to a library", func() { ok(s.CheckLibraryLink(s.ctx, link)) }},
		{"open a library", func() { session, err = s.OpenLibrary(s.ctx, link); ok(err) }},
		{"look into a library", func() { require.NotEmpty(t, s.inLibrary(session)) }},
		{"a receipt", func() { _, err = s.LibraryReceipt(s.ctx, session, "more"); ok(err) }},
		{"close a library", func() { ok(s.CloseLibrary(s.ctx, session)) }},
		{"forget links to libraries", func() { ok(s.ForgetLibraryLinks(s.ctx)) }},
		{"tag orders", func() { _, err = s.TagOrders(s.ctx, 100); ok(err) }},
		{"reveal", func() { _, err = s.RevealToCustomer(s.ctx, s.PageToken("more"), f["more"], "keys", home); ok(err) }},
		{"show a pool", func() { _, err = s.Stock().Pool(s.ctx, "games"); ok(err) }},
		{"find a key", func() { _, err = s.Stock().Key(s.ctx, "games", "K-00000"); ok(err) }},
		{"import", func() { s.stock("games", "N-1", "N-2") }},
		{"sell from a new pool", func() {
			s.product("film", fromPool("films"))
			s.stock("films", keysNamed("F", 10)...)
			for i := range 5 {
				f["film"] = s.order(fmt.Sprint("film", i), lineOf("film", 2))[0]
				s.claimed(f["film"])
				s.delivered(f["film"])
			}
		}},
		{"put a new key aside", func() {
			s.stock("films", keysNamed("G", 10)...)
			ok(s.Stock().QuarantineKey(s.ctx, "films", "G-00007", "seen", "ops"))
		}},
		{"owe a replacement", func() { ok(s.OweReplacements(s.ctx, f["game"], nil, "leaked", "ops")) }},
		{"replace", func() { _, err = s.ReplaceOwed(s.ctx, 10, renderMail); ok(err) }},
		{"licences of a customer", func() { _, err = s.licenses(s.customerIDOf(f["game"]), "ops"); ok(err) }},
		{"operate", func() { f["renew"] = s.operates(keyturn.OpRenew, f["app"]) }},
		{"figures", func() { _, err = s.Figures(s.ctx); ok(err) }},
		{"watch pools", func() { ok(s.Stock().WatchPools(s.ctx)) }},
		{"serve who waits", func() { _, err = s.ServeWaiting(s.ctx, 10, 0); ok(err) }},
		{"expire keys", func() { _, err = s.Stock().ExpireKeys(s.ctx, 10); ok(err) }},
		{"finish recalls", func() { _, err = s.Stock().FinishRecalls(s.ctx); ok(err) }},
		{"wake the forgotten", func() { _, err = s.WakeForgotten(s.ctx, time.Minute); ok(err) }},
		{"hold and release", func() {
			f["byhand"] = s.sell("byhand")
			s.claimed(f["byhand"])
			s.resolve(f["byhand"], keyturn.ActionHold)
			s.resolve(f["byhand"], keyturn.ActionRelease)
		}},
		{"supply", func() {
			ok(s.StageSupply(s.ctx, f["byhand"], "", []string{"BY-HAND"}))
			s.resolve(f["byhand"], keyturn.ActionSupply)
			s.delivered(f["byhand"])
		}},
		{"cancel an order", func() { s.order("gone", lineOf("app", 1)); ok(s.CancelOrder(s.ctx, "gone", "by mistake")) }},
		{"what happened to an order", func() { _, _, _, err = s.OrderEvents(s.ctx, "more", Progress{}); ok(err) }},
		{"undo an import", func() { ok(s.Stock().UndoBatch(s.ctx, "games", s.stock("games", "U-1", "U-2").BatchID, "ops")) }},
		{"recall an import", func() {
			ok(s.Stock().Recall(s.ctx, "games", s.stock("games", "R-1", "R-2").BatchID, "leaked", true, "ops"))
		}},
		{"put a key aside", func() { ok(s.Stock().QuarantineKey(s.ctx, "games", "N-1", "seen", "ops")) }},
	}))
}

// However many lines wait, for a partner, for keys, for their next attempt or to be looked at by the relay: whoever
// sees to them takes some from the front.
func TestNobodyReadsAWholeQueue(t *testing.T) {
	s := crowd(t, func(s *shop) {
		s.exec(`INSERT INTO partner_gates (integration, opened_at, next_try_at, gathered)
			VALUES ('acme', now(), now() + interval '1 h', true)`)
		f := s.sell("app")
		_, next, _, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
		require.NoError(t, err)
		require.Equal(t, keyturn.DoCall, next.Do)
		require.Equal(t, 1, read[int](s, `SELECT count(*) FROM partner_queue`))
		s.claimed(s.sell("game"))
		s.sell("app")
		s.exec(`UPDATE line_items SET wake_at = now() - interval '1 s'; UPDATE alerts SET mailed_at = NULL`)
		f = s.sell("byhand")
		s.claimed(f)
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox`))
		s.exec(`DELETE FROM partner_gates`)
	})
	ok := func(err error) { t.Helper(); require.NoError(t, err) }
	var due []Due
	var err error
	var call *Call
	waits := read[string](s.reopened(),
		`SELECT l.fulfillment_id FROM partner_queue q JOIN line_items l ON l.id = q.line_id ORDER BY q.created_at DESC
			LIMIT 1`)
	require.NoError(t, s.Close())
	require.Empty(t, s.readMuch(t, []step{
		{"relay", func() { due, err = s.TakeDue(s.ctx, 100); ok(err); require.Len(t, due, 200, "lines and errands") }},
		{"relay done", func() { ok(s.RelayDone(s.ctx, due)) }},
		{"tell", func() { _, err = s.TakeAlerts(s.ctx, 10, func([]Alert) error { return nil }); ok(err) }},
		{"list open alerts", func() { _, err = s.Alerts(s.ctx, "", false, "", 0, 20); ok(err) }},
		{"list orders in trouble", func() { _, err = s.Orders(s.ctx, "", keyturn.OrderPartialCompleted, "", 20); ok(err) }},
		{"dispatch waiting", func() {
			due, _, err = s.DispatchWaiting(s.ctx, time.Second)
			ok(err)
			require.NotEmpty(t,
				due)
		}},
		{"call", func() {
			call, _, _, err = s.BeginCall(s.ctx, due[0].Start.FulfillmentID, callTimeout, renderCall)
			ok(err)
		}},
		{"fail", func() { s.finishCall(due[0].Start.FulfillmentID, refused(call, keyturn.KindUnavailable)) }},
		{"wait for its turn", func() {
			none, _, _, err := s.BeginCall(s.ctx, waits, callTimeout, renderCall)
			require.Nil(t, none, "%v", err)
		}},
		{"sell and wait for keys", func() { s.claimed(s.sell("game")) }},
		{"import, and serve who waits", func() { require.Equal(t, 3, s.stock("games", "N-1", "N-2", "N-3").Served) }},
		{"serve who waits", func() { _, err = s.ServeWaiting(s.ctx, 10, 0); ok(err) }},
		{"watch pools", func() { ok(s.Stock().WatchPools(s.ctx)) }},
	}, "import, and serve who waits", "watch pools"))
}
