package audit

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// blockKey is a key that a person supplies, of several lines.
const blockKey = "-----BEGIN LICENSE-----\nU1VQ\n-----END LICENSE-----"

// fill makes one order for each way that a line can go. Orders are named after what becomes of them.
func (s *shop) fill() {
	s.exec(`CREATE FUNCTION line_of(place text) RETURNS uuid LANGUAGE sql STABLE AS
		$$ SELECT id FROM line_items WHERE order_id = split_part(place, '/', 1)
			AND position = 1 + CAST('0' || split_part(place, '/', 2) AS int) $$`)
	s.catalog()
	s.webhooks()

	sold := s.order("sold", line("game", 2), line("game", 1))
	for _, f := range sold {
		s.claim(f)
		s.deliver(f)
	}
	studio := s.order("studio", line("studio", 2))[0] // two units, two calls
	s.call(studio, answers("STUDIO-KEY-1"))
	s.call(studio, answers("STUDIO-KEY-2"))
	s.deliver(studio)

	supplied := s.order("supplied", line("byhand", 1))[0]
	_, err := s.Review(s.ctx, supplied)
	s.ok(err)
	s.supply(supplied, blockKey)
	s.deliver(supplied)
	_, err = s.Bounced(s.ctx, db.BounceReport{
		DeliveryID: s.read(`SELECT id FROM deliveries WHERE line_id = line_of('supplied/0')`),
		Kind:       keyturn.BounceDelayed, Via: keyturn.InletSMTP,
	})
	s.ok(err)

	resent := s.order("resent", line("game", 1))[0]
	s.claim(resent)
	s.deliver(resent)
	again, err := s.Resend(s.ctx, resent, "other@buyer.test", "ops", render)
	s.ok(err)
	s.send(again)

	moved := s.order("moved", line("game", 1))[0] // its e-mail came back, and its customer gave another address
	s.claim(moved)
	s.deliver(moved)
	_, err = s.Bounced(s.ctx, db.BounceReport{
		DeliveryID: s.read(`SELECT id FROM deliveries WHERE line_id = line_of('moved/0')`), Kind: keyturn.BounceRefused,
		Via: keyturn.InletSMTP,
	})
	s.ok(err)
	_, err = s.CorrectAddress(s.ctx, s.PageToken("moved"), moved, "new@buyer.test", render)
	s.ok(err)
	for range 2 { // the keys, and the news to the old address
		s.send(s.read(`SELECT id FROM deliveries WHERE line_id = line_of('moved/0') AND status <> 'SENT'
			ORDER BY number LIMIT 1`))
	}

	s.order("fresh", line("game", 1))
	s.claim(s.order("waiting", line("rare", 1))[0])

	failing := s.order("failing", line("studio", 1))[0]
	s.call(failing, isSilent)
	s.resolve(failing, keyturn.ActionRetry)
	s.call(failing, isSilent)

	held := s.order("held", line("game", 1))[0]
	s.claim(held)
	s.resolve(held, keyturn.ActionHold)

	revoked := s.order("revoked", line("game", 1))[0] // delivered, then taken back
	s.claim(revoked)
	s.deliver(revoked)
	s.ok(s.CancelOrder(s.ctx, "revoked", "fraud"))
	_, err = s.Review(s.ctx, revoked)
	s.ok(err)
	s.refund(revoked)

	mixed := s.order("mixed", line("game", 1), line("studio", 1)) // one delivered, one given up
	s.claim(mixed[0])
	s.deliver(mixed[0])
	s.call(mixed[1], isSilent)
	s.resolve(mixed[1], keyturn.ActionRefund)
	s.refund(mixed[1])
	s.revoke(mixed[1], "endpoint/studio")

	dynamic := s.order("dynamic", line("dynamic", 1))[0] // nobody can be told
	s.call(dynamic, isSilent)
	s.resolve(dynamic, keyturn.ActionRefund)
	s.refund(dynamic)
	s.revoke(dynamic, "dynamicurl")

	unseen := s.order("unseen", line("game", 1))[0] // its keys went back
	s.claim(unseen)
	s.resolve(unseen, keyturn.ActionRefund)
	s.refund(unseen)

	owned := s.order("owned", line("studio", 1))[0] // renewed, then paused
	s.call(owned, answers("OWNED-KEY-1"))
	s.deliver(owned)
	renewed, paused := s.operation("renewed", "owned", keyturn.OpRenew), s.operation("paused", "owned", keyturn.OpPause)
	s.call(renewed, answers("OWNED-KEY-1"))
	s.deliver(renewed)
	s.ok(s.AdvanceLicense(s.ctx, owned))
	s.exec(`UPDATE line_items SET wake_at = NULL WHERE order_id = 'paused'`) // the relay has been
	s.call(paused, answers())
	s.deliver(paused)
	queued := s.operation("queued", "held", keyturn.OpPause)

	owed := s.order("owed", line("game", 1))[0]
	s.claim(owed)
	s.resolve(owed, keyturn.ActionRefund)

	erased := s.order("erased", line("game", 1), line("studio", 1), line("studio", 1))
	s.claim(erased[0])
	s.call(erased[1], answers("STUDIO-KEY-9"))
	for _, f := range erased[:2] {
		s.deliver(f)
	}
	s.call(erased[2], isSilent)
	s.resolve(erased[2], keyturn.ActionRefund)
	s.refund(erased[2])
	s.revoke(erased[2], "endpoint/studio")
	_, err = s.EraseCustomer(s.ctx, "", "c-erased", "test")
	s.ok(err)

	s.fillLinks()

	s.ok(s.Stock().WatchPools(s.ctx))
	s.tells()
	_, err = s.TakeAlerts(s.ctx, 1000, func([]db.Alert) error { return nil })
	s.ok(err)
	s.exec(`DELETE FROM outbox`) // the relay has been
	for _, f := range []string{
		failing, held, owed, queued,
		s.read(`SELECT fulfillment_id FROM line_items WHERE order_id = 'waiting'`),
	} {
		s.outer.Running = append(s.outer.Running, OpenWorkflow{
			ID: workflows.LineWorkflowID(f), Type: "FulfillLineItem",
			Started: time.Now().Add(-time.Hour),
		})
	}
}

func (s *shop) catalog() {
	for _, p := range []keyturn.Pool{{ID: "games"}, {ID: "rare"}, {ID: "low", Threshold: 3}, {ID: "spare"}} {
		_, _, err := s.PutPool(s.ctx, p)
		s.ok(err)
	}
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{ID: "studio", BaseURL: "https://studio.test"})
	s.ok(err)
	for id, source := range map[string]keyturn.Source{
		"game": {Type: keyturn.SourcePool, Pool: "games"}, "rare": {Type: keyturn.SourcePool, Pool: "rare"},
		"byhand":  {Type: keyturn.SourceManual},
		"studio":  {Type: keyturn.SourceEndpoint, Integration: "studio"},
		"dynamic": {Type: keyturn.SourceDynamicURL, URL: "https://dynamic.test"},
	} {
		_, _, err := s.PutProduct(s.ctx, keyturn.Product{ID: id, Name: id, Sources: []keyturn.Source{source}})
		s.ok(err)
	}
	var keys []string
	for _, n := range "ABCDEFGHIJKLMNOPQRST" {
		keys = append(keys, "GAME-KEY-"+string(n))
	}
	for pool, keys := range map[string][]string{
		"games": keys, "low": {"LOW-KEY-1", "LOW-KEY-2"},
		"spare": {"SPARE-KEY-1", "SPARE-KEY-2"},
	} {
		_, err := s.Import(s.ctx, pool, strings.NewReader(strings.Join(keys, "\n")), "test", false)
		s.ok(err)
	}
}

// operation accepts an order that acts on the licence that another order's first line makes.
func (s *shop) operation(name, of string, op keyturn.OperationName) string {
	f := s.fulfillment(of)
	in := s.input(name, keyturn.LineItem{
		ProductID: s.read(`SELECT product_id FROM line_items WHERE fulfillment_id = $1`, f), Quantity: 1, GrossPrice: "10.00",
		Operation: op, LicenseID: f,
	})
	in.Order.Customer.ID = "c-" + of
	a, _, err := s.Accept(s.ctx, in)
	s.ok(err)
	return a.Starts[0].FulfillmentID
}

func (s *shop) claim(f string) {
	_, err := s.Claim(s.ctx, f, nil)
	s.ok(err)
}

func (s *shop) supply(f string, keys ...string) {
	require.NoError(s.t, s.StageSupply(s.ctx, f, "", keys))
	s.resolve(f, keyturn.ActionSupply)
}
