package db

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// eventCanaries are what customers, partners and the shop have written, and no event tells.
var eventCanaries = []string{
	"Ada", "Lovelace", "buyer.test", "CANARY", "the partner said no", "KEY-", "A game", "customers-words", "whsec_",
	"session-", "pi-", "pay.test",
}

// Everything that an event can tell happens, and each type is told, without a key, a name, an address or a partner's
// text.
func TestEveryTypeOfEventIsToldWithoutSecrets(t *testing.T) {
	s := newShop(t)
	s.subscribe("all", "*")
	s.put(keyturn.Product{
		ID: "app", Sources: []keyturn.Source{fromEndpoint("acme")},
		Retry: keyturn.RetryPolicy{Schedule: []keyturn.Duration{keyturn.Duration(time.Hour)}},
	})
	s.product("game", fromPool("p"))
	s.product("deluxe", fromPool("d"))
	s.product("byhand", byHand)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", Threshold: 2})
	require.NoError(t, err)
	s.ordersThatAreTold()
	s.licencesThatAreTold()
	s.linksThatAreTold()
	s.moneyThatIsTold()
	s.partnersThatAreTold()
	s.webhookThatIsTested()

	told, _ := s.events()
	told = slices.Compact(slices.Sorted(slices.Values(told)))
	var all []keyturn.EventType
	for _, info := range keyturn.EventTypes {
		all = append(all, info.Type)
	}
	require.Equal(t, slices.Sorted(slices.Values(all)), told)
	for _, text := range reads[string](s, `SELECT facts || ' ' || body FROM events`) {
		for _, canary := range eventCanaries {
			require.NotContains(t, text, canary)
		}
	}
}

// ordersThatAreTold go through every status of an order and a line, and their pools run low and empty.
func (s *shop) ordersThatAreTold() {
	s.t.Helper()
	f := s.sell("game")
	s.claimed(f) // and waits
	s.stock("p", "CANARY-KEY-1", "CANARY-KEY-2", "CANARY-KEY-3")
	require.NoError(s.t, s.Stock().WatchPools(s.ctx))
	s.claimed(f)
	s.delivered(f)
	f = s.sell("game") // obtained at the first attempt
	s.claimed(f)
	s.delivered(f)
	result, err := s.Bounced(s.ctx, BounceReport{
		DeliveryID: s.newestMail(f), Kind: keyturn.BounceRefused, Status: "5.7.1", Diagnostic: "customers-words",
		Via: keyturn.InletSMTP,
	})
	require.NoError(s.t, err)
	require.Equal(s.t, BounceBooked, result)
	require.NoError(s.t, s.Stock().WatchPools(s.ctx)) // low
	f = s.sell("game")
	s.claimed(f)
	s.delivered(f)
	for range 2 {
		require.NoError(s.t, s.Stock().WatchPools(s.ctx)) // empty
	}
	s.stock("p", "CANARY-KEY-4", "CANARY-KEY-5", "CANARY-KEY-6", "CANARY-KEY-7", "CANARY-KEY-8", "CANARY-KEY-9")
	require.NoError(s.t, s.Stock().WatchPools(s.ctx))
	lines := s.order("half", lineOf("game", 1), lineOf("byhand", 1))
	s.claimed(lines[0])
	s.delivered(lines[0])
	s.claimed(lines[1])
	_, err = s.Resolve(s.ctx, lines[1], keyturn.Resolution{
		Action: keyturn.ActionHold, By: "ops", Reason: "customers-words",
	})
	require.NoError(s.t, err)
	s.resolve(lines[1], keyturn.ActionRefund)
	s.refunded(lines[1])
	f = s.sell("byhand")
	s.claimed(f)
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
}

func (s *shop) licencesThatAreTold() {
	s.t.Helper()
	s.stock("d", "CANARY-DELUXE-1")
	id := s.sell("game")
	s.claimed(id)
	s.delivered(id)
	s.applied(s.operates(keyturn.OpRenew, id, until(time.Now().Add(time.Hour))))
	s.applied(s.operates(keyturn.OpPause, id))
	s.applied(s.operates(keyturn.OpResume, id))
	up := s.operates(keyturn.OpUpgrade, id, to("deluxe"))
	s.claimed(up)
	s.delivered(up)
	s.exec(`UPDATE licenses SET expires_at = now() WHERE id = $1`, id)
	require.NoError(s.t, s.WatchEvents(s.ctx))
	s.applied(s.operates(keyturn.OpCancel, id))
}

func (s *shop) linksThatAreTold() {
	s.t.Helper()
	canceled, _ := s.link(linkOf("canceled", "game"))
	require.NoError(s.t, s.CancelLink(s.ctx, canceled, "test", "customers-words"))
	_, token := s.link(linkOf("abandoned", "game"))
	for range 2 {
		require.NoError(s.t, s.OpenedCheckout(s.ctx, token))
	}
	pay := s.openPayment(token)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	s.later(2 * time.Hour)
	require.NoError(s.t, s.WatchEvents(s.ctx))
	s.later(15 * day)
	n, err := s.ExpireLinks(s.ctx)
	require.NoError(s.t, err)
	require.Equal(s.t, 1, n)
}

// moneyThatIsTold goes every way that a payment of a link can.
func (s *shop) moneyThatIsTold() {
	s.t.Helper()
	s.stock("p", "CANARY-KEY-A", "CANARY-KEY-B", "CANARY-KEY-C", "CANARY-KEY-D", "CANARY-KEY-E")
	s.voidedLink("voided")
	lost, f := s.paidLink("lost")
	s.paymentMails(lost)
	s.processorSays(lost, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	s.paymentMails(lost)
	_, err := s.Review(s.ctx, f)
	require.NoError(s.t, err)
	s.refunded(f)
	_, token := s.link(linkOf("failed", "game"))
	failed := s.openPayment(token)
	s.processorSays(failed, keyturn.ProcessorState{Status: keyturn.AtProcessorProcessing, PaymentReference: "pi-1"})
	s.processorSays(failed, keyturn.ProcessorState{Status: keyturn.AtProcessorFailed, PaymentReference: "pi-1"})
	_, token = s.link(linkOf("mismatch", "game"))
	mismatch := s.openPayment(token)
	s.processorSays(mismatch, s.authorized(mismatch, 999))

	pay, f := s.capturedLink("captured")
	s.paymentMails(pay)
	s.delivered(f)
	require.NoError(s.t, s.BookAftermath(s.ctx, pay, keyturn.Aftermath{
		Refunds:  []keyturn.MadeRefund{{ID: "re_1", Amount: s.euro(100)}},
		Disputes: []keyturn.Dispute{{ID: "dp_1", Amount: s.euro(1000), Reason: "CANARY", Status: keyturn.DisputeOpen}},
		Warnings: []string{"issfr_1"},
	}))
	require.NoError(s.t, s.BookAftermath(s.ctx, pay, keyturn.Aftermath{
		Disputes: []keyturn.Dispute{{ID: "dp_1", Amount: s.euro(1000), Reason: "CANARY", Status: keyturn.DisputeWon}},
	}))
	require.NoError(s.t, s.CancelOrder(s.ctx, s.orderIDOf(f), "customers-words"))
	_, err = s.Review(s.ctx, f)
	require.NoError(s.t, err)
	_, _, err = s.BeginRefund(s.ctx, f)
	require.NoError(s.t, err)
	_, err = s.RefundUnderWay(s.ctx, f, RefundProgress{ID: "re_2", Failed: true}, time.Minute, renderMail)
	require.NoError(s.t, err)
}

// orderIDOf is the order of a fulfillment.
func (s *shop) orderIDOf(fulfillment string) string {
	s.t.Helper()
	return read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, fulfillment)
}

func (s *shop) partnersThatAreTold() {
	s.t.Helper()
	failed := s.down()
	s.later(probeFirst)
	s.dispatched()
	s.finishCall(failed[0], answered(s.beginCall(failed[0]), "CANARY-KEY-0"))
}

func (s *shop) webhookThatIsTested() {
	s.t.Helper()
	s.receiver("shop", "order.canceled")
	_, err := s.BeginWebhookTest(s.ctx, "shop")
	require.NoError(s.t, err)
}

// What fails of the money is told as that, and only that: a refund that the provider took on and that failed, one that
// counted as done and failed later; and nothing goes back that was not charged.
func TestRefundsAreToldAsTheyAre(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("byhand", byHand)
	s.stock("p", "K-1", "K-2")
	s.subscribe("all", "refund.*")
	s.voidedLink("voided")
	told, _ := s.events()
	require.Empty(t, told, "nothing was charged")

	f := s.sell("byhand")
	s.claimed(f)
	s.resolve(f, keyturn.ActionRefund)
	_, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	_, err = s.RefundUnderWay(s.ctx, f, RefundProgress{ID: "re_1", Failed: true}, time.Minute, renderMail)
	require.NoError(t, err)
	told, bodies := s.events()
	require.Equal(t, []keyturn.EventType{keyturn.EventRefundFailed}, told)
	require.Equal(t, "10.00", bodies[0]["amount"])
	s.exec(`DELETE FROM events`)

	pay, f := s.capturedLink("late")
	s.paymentMails(pay)
	s.delivered(f)
	require.NoError(t, s.CancelOrder(s.ctx, s.orderIDOf(f), "asked for"))
	_, err = s.Review(s.ctx, f)
	require.NoError(t, err)
	s.refunded(f)
	require.NoError(t, s.BookAftermath(s.ctx, pay, keyturn.Aftermath{Refunds: []keyturn.MadeRefund{
		{ID: "provider-id", OurID: s.lineID(f), Amount: s.euro(1000), Failed: true},
	}}))
	told, bodies = s.events()
	require.Equal(t, []keyturn.EventType{keyturn.EventRefundCompleted, keyturn.EventRefundFailed}, told)
	require.Equal(t, map[string]any{"id": read[string](s, `SELECT link_id FROM payments WHERE id = $1`, pay)},
		bodies[1]["link"])
}

// Disputes, warnings and refunds of others are told once each, with what a shop needs to act.
func TestDisputesAreTold(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	pay, f := s.capturedLink("k")
	s.paymentMails(pay)
	s.delivered(f)
	s.subscribe("all", "payment.*", "refund.external")
	due := time.Date(2036, 12, 6, 0, 0, 0, 0, time.UTC)
	dispute := keyturn.Dispute{ID: "dp_1", Amount: s.euro(1000), Status: keyturn.DisputeOpen, DueAt: due}
	for _, status := range []keyturn.DisputeStatus{keyturn.DisputeOpen, keyturn.DisputeOpen, keyturn.DisputeWon} {
		dispute.Status = status
		require.NoError(t, s.BookAftermath(s.ctx, pay, keyturn.Aftermath{
			Refunds:  []keyturn.MadeRefund{{ID: "re_1", Amount: s.euro(100)}},
			Disputes: []keyturn.Dispute{dispute}, Warnings: []string{"issfr_1"},
		}))
	}
	told, bodies := s.events()
	require.Equal(t, []keyturn.EventType{
		keyturn.EventPaymentFraudWarning, keyturn.EventPaymentDisputed, keyturn.EventRefundExternal,
		keyturn.EventPaymentDisputeClosed,
	}, told)
	require.Equal(t, []any{pay, "CAPTURED", "10.00", nil},
		[]any{bodies[0]["paymentId"], bodies[0]["status"], bodies[0]["captured"], bodies[0]["dispute"]})
	require.Equal(t, map[string]any{
		"id": "dp_1", "status": "open", "amount": "10.00", "currency": "EUR", "evidenceDueBy": "2036-12-06T00:00:00Z",
	}, bodies[1]["dispute"])
	require.Equal(t, []any{"1.00", pay}, []any{bodies[2]["amount"], bodies[2]["paymentId"]})
	require.Equal(t, "won", bodies[3]["dispute"].(map[string]any)["status"])
}
