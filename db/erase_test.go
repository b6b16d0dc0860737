package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// erasable is a customer whose lines ended in every way: from a pool, a partner and a person, refunded, and sent again.
func erasable(s *shop) (a *Accepted) {
	s.product("game", fromPool("p"))
	s.product("app", fromEndpoint("acme"))
	s.product("gift", byHand)
	s.stock("p", "POOL-KEY-1", "POOL-KEY-2")
	in := orderOf("o1", lineOf("game", 1), lineOf("app", 1), lineOf("gift", 1), lineOf("app", 1))
	in.Order.Customer.ID, in.Order.Customer.FirstName, in.Order.Customer.LastName = "jean", "Jean", "Dupont"
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(s.t, err)
	return a
}

func (s *shop) settle(a *Accepted) {
	s.claimed(a.Starts[0].FulfillmentID)
	s.finishCall(a.Starts[1].FulfillmentID, answered(s.beginCall(a.Starts[1].FulfillmentID), "PARTNER-KEY"))
	require.NoError(s.t, s.StageSupply(s.ctx, a.Starts[2].FulfillmentID, "", []string{"SUPPLIED-KEY"}))
	s.resolve(a.Starts[2].FulfillmentID, keyturn.ActionSupply)
	r := refused(s.beginCall(a.Starts[3].FulfillmentID), keyturn.KindRejected)
	r.Reply, r.PartnerSays = []byte("no Dupont here"), "no Dupont"
	s.finishCall(a.Starts[3].FulfillmentID, r)
	for _, start := range a.Starts[:3] {
		s.delivered(start.FulfillmentID)
	}
	_, err := s.Resolve(s.ctx, a.Starts[3].FulfillmentID, keyturn.Resolution{
		ID: "d1", Action: keyturn.ActionRefund,
		By: "ana", Reason: "Jean Dupont rang",
	})
	require.NoError(s.t, err)
	s.refunded(a.Starts[3].FulfillmentID)
	s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now()`)
	s.exec(`UPDATE revocations SET status = 'DONE', done_at = now()`)
}

func TestErasureLeavesTheMoneyAndNothingOfThePerson(t *testing.T) {
	s := newShop(t)
	a := erasable(s)
	_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "o1 (a line is PENDING)")
	s.settle(a)
	require.NoError(t, s.OweReplacements(s.ctx, a.Starts[0].FulfillmentID, nil, "Jean Dupont saw it on a forum", "ana"))
	served, err := s.ReplaceOwed(s.ctx, 10, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, served)
	mail := read[string](s, `SELECT id FROM deliveries WHERE status = 'READY'`)
	_, _, err = s.BeginSend(s.ctx, mail)
	require.NoError(t, err)
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: mail}, nil))
	money := reads[string](s, `SELECT CAST(r AS text) FROM refunds r`)
	require.Contains(t, money[0], "Jean Dupont rang")
	backup := read[string](s,
		`SELECT encode(data_key, 'hex') || ' ' || (SELECT encode(customer, 'hex') FROM orders WHERE id = 'o1') FROM customers
			WHERE id = 'jean'`)
	require.NotEmpty(t, backup)

	e, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	require.Equal(t, []int{1, 4}, []int{e.Orders, e.Lines})
	require.False(t, e.Repeated)
	require.Zero(t, read[int](s, `
		SELECT (SELECT count(*) FROM customers WHERE data_key IS NOT NULL) + (SELECT count(*) FROM orders
			WHERE customer <> '')
			+ (SELECT count(*) FROM idempotency_keys WHERE response <> '') + (SELECT count(*) FROM deliverables
				WHERE content <> '')
			+ (SELECT count(*) FROM deliveries WHERE message <> '') + (SELECT count(*) FROM partner_requests) + (SELECT count(*)
				FROM supplies)
			+ (SELECT count(*) FROM attempts WHERE reply IS NOT NULL OR message IS NOT NULL)`))
	for _, table := range reads[string](s, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`) {
		for _, row := range reads[string](s, `SELECT CAST(t AS text) FROM `+table+` t`) {
			require.NotContains(t, row, "Dupont", table)
		}
	}
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM refunds WHERE status = 'DONE' AND amount_minor > 0`),
		"the money's record stays")
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM line_items`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'delivered'`), "and the pool's books")

	t.Run("whatever is asked for afterwards is gone", func(t *testing.T) {
		for _, start := range a.Starts[:3] {
			_, err := s.Deliverables(s.ctx, start.FulfillmentID, "ana")
			wantKind(t, err, keyturn.KindErased)
			_, err = s.Resend(s.ctx, start.FulfillmentID, "", "ana", renderMail)
			wantKind(t, err, keyturn.KindErased)
			v, err := s.Fulfillment(s.ctx, start.FulfillmentID)
			require.NoError(t, err, "operators still see what became of the line")
			require.Equal(t, keyturn.LineDelivered, v.Status)
		}
		_, err := s.CustomerPage(s.ctx, s.PageToken("o1"), 1)
		wantKind(t, err, keyturn.KindNotFound)
		_, err = s.RevealToCustomer(s.ctx, s.PageToken("o1"), a.Starts[0].FulfillmentID, "keys", home)
		wantKind(t, err, keyturn.KindNotFound)
		in := orderOf("o1", lineOf("game", 1))
		_, _, err = s.Accept(s.ctx, in)
		wantKind(t, err, keyturn.KindErased)
		found, err := s.licenses("jean", "ana")
		require.NoError(t, err)
		require.Len(t, found, 3)
		for _, v := range found {
			require.Empty(t, v.ActivationCodes)
		}
		_, err = s.Order(s.ctx, "o1")
		require.NoError(t, err)
	})
	t.Run("again changes nothing", func(t *testing.T) {
		again, err := s.EraseCustomer(s.ctx, "", "jean", "bob")
		require.NoError(t, err)
		require.True(t, again.Repeated)
		require.Equal(t, e.ID, again.ID)
		require.Equal(t, 1, read[int](s, `SELECT count(*) FROM erasures`))
	})
	t.Run("the key is out of memory", func(t *testing.T) {
		require.False(t, s.keys.Cached("customer/jean"))
	})
	_, err = s.EraseCustomer(s.ctx, "", "nobody", "ana")
	wantKind(t, err, keyturn.KindNotFound)
}

// A customer who comes back begins anew, and the orders of before stay erased.
func TestErasedCustomerMayOrderAgain(t *testing.T) {
	s := newShop(t)
	s.settle(erasable(s))
	first, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	in := orderOf("o2", lineOf("game", 1))
	in.Order.Customer.ID = "jean"
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	f := a.Starts[0].FulfillmentID
	_, err = s.EraseCustomer(s.ctx, "", "jean", "ana")
	wantKind(t, err, keyturn.KindConflict)
	s.claimed(f)
	s.delivered(f)
	require.Equal(t, []string{"POOL-KEY-2"}, s.keysOf(f))
	_, err = s.CustomerPage(s.ctx, s.PageToken("o2"), 1)
	require.NoError(t, err)
	_, err = s.CustomerPage(s.ctx, s.PageToken("o1"), 1)
	wantKind(t, err, keyturn.KindNotFound)
	second, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	require.False(t, second.Repeated)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, first.CustomerHash, second.CustomerHash)
}

// An order that is being accepted is either seen by the erasure, or sealed with a new key; it is never lost.
func TestErasureWhileAnOrderIsBeingAccepted(t *testing.T) {
	s := newShop(t)
	s.settle(erasable(s))
	in := orderOf("o2", lineOf("game", 1))
	in.Order.Customer.ID = "jean"
	respond, asked := in.Respond, 0
	in.Respond = func(a Accepted) ([]byte, error) { // the order is sealed by now, and not stored
		if asked++; asked == 1 {
			_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
			require.NoError(t, err)
		}
		return respond(a)
	}
	_, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, 2, asked, "sealed once more")
	_, err = s.CustomerPage(s.ctx, s.PageToken("o2"), 1)
	require.NoError(t, err)
	_, err = s.EraseCustomer(s.ctx, "", "jean", "ana")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "o2 (a line is PENDING)")
}

// A database that was restored from a backup has the person's data again, until the list is replayed.
func TestErasureSurvivesARestore(t *testing.T) {
	s := newShop(t)
	s.settle(erasable(s))
	save := func(tables ...string) {
		for _, table := range tables {
			s.exec(`CREATE TABLE backup_` + table + ` AS TABLE ` + table)
		}
	}
	restore := func(table, set, on string) {
		s.exec(`UPDATE ` + table + ` t SET ` + set + ` FROM backup_` + table + ` b WHERE ` + on)
	}
	save("customers", "orders", "idempotency_keys", "deliverables", "deliveries")
	_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	list, err := s.Erasures(s.ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)

	restore("customers", "data_key = b.data_key, erased_at = NULL", "t.id = b.id")
	restore("orders", "customer = b.customer", "t.id = b.id")
	restore("idempotency_keys", "response = b.response", "t.order_id = b.order_id")
	restore("deliverables", "content = b.content", "t.line_id = b.line_id AND t.unit_no = b.unit_no AND t.kind = b.kind")
	restore("deliveries", "message = b.message", "t.id = b.id")
	s.exec(`DELETE FROM erasures`)
	_, err = s.CustomerPage(s.ctx, s.PageToken("o1"), 1)
	require.NoError(t, err, "the person is there again")
	lagging := func() []string {
		customers, err := s.Unerased(s.ctx, s.pg, list)
		require.NoError(t, err)
		return customers
	}
	require.Len(t, lagging(), 1, "and an audit with the list says so")

	in := orderOf("o3", lineOf("game", 1)) // somebody opened the shop before the list was replayed
	in.Order.Customer.ID = "jean"
	_, _, err = s.Accept(s.ctx, in)
	require.NoError(t, err)
	done, err := s.ReplayErasures(s.ctx, list, "replay")
	require.NoError(t, err)
	require.Equal(t, 1, done.Erased)
	_, err = s.CustomerPage(s.ctx, s.PageToken("o1"), 1)
	wantKind(t, err, keyturn.KindNotFound)
	_, err = s.CustomerPage(s.ctx, s.PageToken("o3"), 1)
	require.NoError(t, err, "what was ordered after the erasure is not part of it")
	require.Empty(t, lagging())
	done, err = s.ReplayErasures(s.ctx, list, "replay")
	require.NoError(t, err)
	require.Equal(t, Replayed{Gone: 1}, done)
}

// What comes up for an order after its customer was erased comes to its end: the money goes back and is booked, its
// partner is told, and nothing of a person is written down, whatever people say about it.
func TestAfterAnErasureEverythingStillEnds(t *testing.T) {
	s := newShop(t)
	a := erasable(s)
	s.settle(a)
	_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	wantKind(t, s.OweReplacements(s.ctx, a.Starts[0].FulfillmentID, nil, "Jean Dupont saw it", "ana"), keyturn.KindErased)
	require.NoError(t, s.Stock().Recall(s.ctx, "p", s.batchOf("p"), "leaked", true, "ops"))
	require.Equal(t, []string{"VOID [erased]"}, reads[string](s, `SELECT status || ' ' || reason FROM replacements`),
		"nobody knows where to send it")

	require.NoError(t, s.CancelOrder(s.ctx, "o1", "the shop: Jean Dupont rang"))
	game, app, gift := a.Starts[0].FulfillmentID, a.Starts[1].FulfillmentID, a.Starts[2].FulfillmentID
	for _, f := range []string{game, app, gift} {
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
	}
	for _, f := range []string{game, app, gift} {
		s.refunded(f)
	}
	require.Equal(t, keyturn.OrderCanceled, s.orderStatus(game))
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM refunds WHERE status = 'DONE'`))
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM deliveries`), "nobody is written to")
	var asked CallFacts
	call, err := s.BeginRevocation(s.ctx, app, "endpoint/acme", callTimeout, func(f CallFacts) ([]byte, error) {
		asked = f
		return renderCall(f)
	})
	require.NoError(t, err)
	require.Equal(t, app, asked.LicenseID)
	require.Equal(t, keyturn.Customer{ID: "jean"}, asked.Customer)
	r := refused(call, keyturn.KindRejected)
	r.Failed.Failure.Message = "there is no Jean Dupont"
	done, err := s.FinishRevocation(s.ctx, app, "endpoint/acme", r)
	require.NoError(t, err)
	require.False(t, done)
	_, ids := s.openAlerts()
	require.Len(t, ids, 1)
	_, err = s.CloseAlert(s.ctx, ids[0], "ana", "Jean Dupont told us")
	require.NoError(t, err)
	s.beginRevocation(app, "endpoint/acme") // and its process dies
	s.revoked(app, "endpoint/acme")
	for _, table := range reads[string](s, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`) {
		for _, row := range reads[string](s, `SELECT CAST(t AS text) FROM `+table+` t`) {
			require.NotContains(t, row, "Dupont", table)
		}
	}
	require.Zero(t, read[int](s, `SELECT (SELECT count(*) FROM partner_requests)
		+ (SELECT count(*) FROM attempts WHERE reply IS NOT NULL OR message IS NOT NULL)`))
}

// Nobody is erased who is still owed a key or the end of a cancellation.
func TestErasureWaitsForWhatIsOwed(t *testing.T) {
	s := newShop(t)
	a := erasable(s)
	s.settle(a)
	game := a.Starts[0].FulfillmentID
	require.NoError(t, s.OweReplacements(s.ctx, game, nil, "leaked", "ana"))
	_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "o1 (a recalled key is to be replaced from pool p)")
	_, err = s.ReplaceOwed(s.ctx, 10, renderMail)
	require.NoError(t, err)
	s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now()`)
	s.exec(`UPDATE pool_keys SET state = 'delivered' WHERE state = 'claimed'`)
	s.exec(`UPDATE pool_stock SET delivered = delivered + claimed, claimed = 0 WHERE claimed > 0`)
	require.NoError(t, s.CancelOrder(s.ctx, "o1", "the shop"))
	_, err = s.EraseCustomer(s.ctx, "", "jean", "ana")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "o1 (it is being cancelled)")
}

// An installation in which a customer was erased who was owed a key gives all others theirs.
func TestAnErasedCustomerWhoWasOwedAKeyStopsNobody(t *testing.T) {
	s := newShop(t)
	a := erasable(s)
	s.settle(a)
	require.NoError(t, s.Stock().Recall(s.ctx, "p", s.batchOf("p"), "leaked", false, "ops"))
	other := s.sell("game")
	s.stock("p", "GOOD-1")
	s.claimed(other)
	s.delivered(other)
	_, err := s.EraseCustomer(s.ctx, "", "jean", "ana")
	require.NoError(t, err)
	s.exec(`UPDATE replacements SET status = 'OWED', done_at = NULL`) // as builds before this one left it
	require.NoError(t, s.OweReplacements(s.ctx, other, nil, "leaked", "ana"))
	s.stock("p", "GOOD-2")
	n, err := s.ReplaceOwed(s.ctx, 10, renderMail)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, []string{"GOOD-2"}, s.keysOf(other))
	require.Equal(t, []string{"DONE", "VOID"}, reads[string](s, `SELECT status FROM replacements ORDER BY status`))
}
