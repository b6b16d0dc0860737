package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/starter"
)

// begunSince is a payment that was begun after the backup: Stripe has it, and the restored database does not.
func (s *stripeShop) begunSince(minor int64, pays bool) (session string) {
	s.t.Helper()
	id := uuid.NewString()
	price := keyturn.Money{Minor: minor, Currency: "EUR"}
	state, err := s.acts.Desk.Processors[stripe.Name].Open(s.t.Context(), payment.Opening{
		Key: "open-" + id, PaymentID: id, Currency: "EUR", Total: price, AuthorizeFirst: true,
		Lines:     []payment.OpeningLine{{Name: "Game", UnitPrice: price, Quantity: 1}},
		ExpiresAt: time.Now().Add(2 * time.Hour), ReturnURL: "https://shop.test/r", BackURL: "https://shop.test/b",
	})
	require.NoError(s.t, err)
	if pays {
		_, err = s.emulator.Pay(state.SessionReference, emulator.Card(""))
		require.NoError(s.t, err)
	}
	return state.SessionReference
}

// After a restore Stripe is asked for everything since the backup. What is here is brought to where it stands there,
// what was refunded is not refunded again, and what is not here goes back.
func TestStripeIsAskedAfterARestore(t *testing.T) {
	s := startStripe(t)
	ctx := t.Context()
	s.sellsGames(10)
	s.product(keyturn.Product{ID: "pair", Sources: sources(fromPool("p"))})
	before := s.emulator.Now().Add(-time.Hour)

	refunded := s.stripeLink("game", "pair") // of which one line was refunded since the backup
	s.pays(refunded, emulator.Card(""))
	s.awaitLink(refunded, keyturn.OrderCompleted)
	pay := s.awaitPayment(refunded, keyturn.PaymentCaptured)
	var line, fulfillment string
	require.NoError(t, s.sql(&line, `SELECT id FROM line_items WHERE order_id = $1 AND position = 1`, refunded))
	require.NoError(t, s.sql(&fulfillment, `SELECT fulfillment_id FROM line_items WHERE id = $1`, line))
	_, err := s.acts.Providers.Refund(ctx, stripe.Name, payment.Refund{
		ID: line, IdempotencyKey: "refund-" + line, Reference: s.atStripe(refunded).ID, OrderID: refunded,
		Amount: keyturn.Money{Minor: 1000, Currency: "EUR"},
	})
	require.NoError(t, err)
	paid := s.stripeLink("game") // paid since, and nobody here knows
	s.emulator.SetWebhooks(func(emulator.Notice) []emulator.Delivery { return nil })
	s.pays(paid, emulator.Card(""))
	open := s.begunSince(700, false)
	blocked := s.begunSince(800, true)
	of := func(installation string) map[string]string {
		return map[string]string{"keyturn": installation + "/" + uuid.NewString()}
	}
	taken := s.emulator.PaidElsewhere(900, "eur", of("e2e"), emulator.Card(""))
	s.emulator.PaidElsewhere(1100, "eur", of("elsewhere"), emulator.Card(""))
	s.emulator.PaidElsewhere(1200, "eur", nil, emulator.Card(""))

	s.worker.Stop() // as whoever restores has done
	s.worker = nil
	_, err = starter.StopWorkflows(ctx, s.temporal, s.queue)
	require.NoError(t, err)
	// the backup knows of the authorization, and not of the capture
	s.exec(`ALTER TABLE payment_log DISABLE TRIGGER ALL`)
	s.exec(`UPDATE payments SET status = 'AUTHORIZED', captured_minor = 0, captured_at = NULL, ended_at = NULL,
		capture_minor = NULL WHERE id = $1`, pay)
	s.exec(`UPDATE line_items SET status = 'OBTAINED', delivered_at = NULL WHERE order_id = $1`, refunded)
	all, err := s.acts.Desk.Abroad(ctx, before)
	require.NoError(t, err)
	require.Len(t, all, 1)
	a := all[0]
	require.Equal(t, []db.MoneyApart{{
		Provider: "stripe", Currency: "EUR", Captured: "20.00", Authorized: "10.00", Refunded: "10.00",
		UnknownCaptured: "9.00", UnknownAuthorized: "8.00", GivenBack: "0.00", LetGo: "0.00",
	}}, a.Sums())
	require.NoError(t, a.Settle(ctx))
	require.Equal(t, "CAPTURED", s.texts(`SELECT status FROM payments WHERE id = $1`, pay)[0])
	known, err := a.AddOutcomes(ctx, nil)
	require.NoError(t, err)
	require.Len(t, known, 1)
	require.Equal(t, fulfillment, known[0].FulfillmentID)
	require.Equal(t, keyturn.LineCanceled, known[0].Status)
	require.NoError(t, a.CatchUp(ctx))
	for range 2 { // whoever was interrupted repeats it
		require.NoError(t, a.GiveBack(ctx, map[string]string{}))
		all, err = s.acts.Desk.Abroad(ctx, before)
		require.NoError(t, err)
		require.Empty(t, all[0].Missing)
	}
	require.Equal(t, "9.00", a.Sums()[0].GivenBack[:4])
	books := s.emulator.Books()
	for _, x := range books.Sessions {
		require.False(t, x.ID == open && x.Status == "open", "nobody can pay for what is not here")
	}
	for _, p := range books.Payments {
		switch {
		case p.ID == taken:
			require.EqualValues(t, 900, p.Refunded)
		case p.Session == blocked:
			require.Equal(t, "canceled", p.Status)
		case p.Metadata["keyturn"] == "" || p.Metadata["keyturn"][:4] != "e2e/":
			require.Zero(t, p.Refunded, "it is somebody else's")
		}
	}
	require.Equal(t, 2, s.count(`SELECT count(*) FROM alerts WHERE cause = 'LatePayment' AND closed_at IS NULL`))
}

// The audit compares Stripe's lists with our rows, both ways.
func TestTheAuditReadsStripesLists(t *testing.T) {
	s := startStripe(t)
	s.sellsGames(20)
	link := s.stripeLink("game")
	s.pays(link, emulator.Card(""))
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
	canceled := s.stripeLink("game")
	s.pays(canceled, emulator.Card(""))
	s.awaitLink(canceled, keyturn.OrderCompleted)
	require.NoError(t, s.db.CancelOrder(t.Context(), canceled, "the customer asks for it"))
	s.awaitLink(canceled, keyturn.OrderCanceled)
	a, _ := s.cameInPaid()
	require.NoError(t, s.db.CancelOrder(t.Context(), a.Order.ID, "the customer asks for it"))
	s.await(a, keyturn.OrderCanceled)
	disputed := s.stripeLink("game")
	s.pays(disputed, emulator.Card(""))
	s.awaitLink(disputed, keyturn.OrderCompleted)
	s.awaitPayment(disputed, keyturn.PaymentCaptured)
	_, err := s.emulator.Dispute(s.atStripe(disputed).ID)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	lists := func(e *audit.Evidence) { e.Quiescent = true }
	s.eventually(func() (bool, string) {
		e := s.evidence()
		lists(&e)
		r, err := audit.Run(t.Context(), e)
		require.NoError(t, err)
		var listed []audit.Violation
		for _, res := range r.Invariants {
			listed = append(listed, res.Listed...)
		}
		return r.OK, fmt.Sprint(listed)
	})
	r := s.books(lists)
	require.Empty(t, r.Result("P5").NotChecked)

	s.emulator.SetFaults(emulator.Shaky(100, emulator.Down))
	require.Contains(t, s.books(lists).Result("P5").NotChecked, "in part: stripe did not answer")
	s.emulator.SetFaults(nil)

	s.emulator.PaidElsewhere(900, "eur", map[string]string{"keyturn": "e2e/" + uuid.NewString()}, emulator.Card(""))
	s.exec(`UPDATE refunds SET provider_id = 're_none' WHERE order_id = $1`, canceled)
	s.exec(`UPDATE payments SET captured_minor = 999 WHERE order_id = $1`, link)
	s.exec(`DELETE FROM payment_aftermath`)
	e := s.evidence()
	lists(&e)
	e.Slack = time.Nanosecond
	report, err := audit.Run(t.Context(), e)
	require.NoError(t, err)
	subjects := map[string]int{}
	for _, v := range report.Result("P5").Listed {
		subjects[v.OrderID]++
	}
	require.Equal(t, map[string]int{"": 1, canceled: 1, link: 1}, subjects, report.Result("P5").Listed)
	require.EqualValues(t, 1, report.Result("P8").Violations)
}
