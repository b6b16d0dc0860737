package db

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// receiver puts a webhook with an address into the catalog.
func (s *shop) receiver(id string, patterns ...string) {
	s.t.Helper()
	w, err := s.PrepareWebhook(s.ctx, keyturn.Webhook{ID: id, URL: "https://a.test", Events: patterns}.WithDefaults())
	require.NoError(s.t, err)
	_, _, err = s.PutWebhook(s.ctx, w)
	require.NoError(s.t, err)
}

// takes numbers what has happened and takes what is due for a webhook.
func (s *shop) takes(id string) Sending {
	s.t.Helper()
	_, _, err := s.NumberEvents(s.ctx)
	require.NoError(s.t, err)
	sending, err := s.TakeEvents(s.ctx, id, 100)
	require.NoError(s.t, err)
	return sending
}

// answers books what a receiver answered to all that was taken.
func (s *shop) answers(sending Sending, failed keyturn.Kind, reply string) {
	s.t.Helper()
	require.NotEmpty(s.t, sending.Events)
	for _, e := range sending.Events {
		require.NoError(s.t, s.BookSent(s.ctx, SendResult{
			Webhook: sending.Webhook.ID, Event: e, Failed: failed, Reply: reply,
		}))
	}
}

func (s *shop) webhookState(id string) keyturn.WebhookState {
	s.t.Helper()
	v, err := s.WebhookView(s.ctx, id)
	require.NoError(s.t, err)
	return v.State
}

// A receiver that takes nothing on five days of tries is switched off, and on again by a test that it takes: not by
// time, and not by one that it does not take. Days without a try do not count.
func TestAReceiverThatTakesNothingForFiveDaysIsSwitchedOff(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.receiver("shop", "order.created")
	s.sell("game")
	s.answers(s.takes("shop"), keyturn.KindUnavailable, "")
	s.days(3) // on which nothing was tried
	for range 4 {
		require.Empty(t, s.webhookState("shop").SwitchedOff)
		s.days(1)
		s.exec(`UPDATE event_deliveries SET next_at = now()`)
		s.answers(s.takes("shop"), keyturn.KindUnavailable, "")
	}
	require.Equal(t, keyturn.OffFailing, s.webhookState("shop").SwitchedOff)
	require.Equal(t, []string{"WebhookFailing webhook/shop"},
		reads[string](s, `SELECT cause || ' ' || subject FROM alerts WHERE closed_at IS NULL AND subject LIKE 'webhook/%'`))
	s.sell("game")
	s.later(day)
	require.Empty(t, s.takes("shop").Events, "it is sent nothing")
	due, err := s.DueWebhooks(s.ctx)
	require.NoError(t, err)
	require.Empty(t, due)

	test := func(failed keyturn.Kind) {
		sending, err := s.BeginWebhookTest(s.ctx, "shop")
		require.NoError(t, err)
		s.answers(sending, failed, "")
	}
	test(keyturn.KindUnavailable)
	require.NotEmpty(t, s.webhookState("shop").SwitchedOff)
	test("")
	require.NoError(t, s.SwitchWebhookOn(s.ctx, "shop"))
	require.Equal(t, keyturn.WebhookState{Breaker: keyturn.BreakerClosed, Due: 1},
		withoutTimes(s.webhookState("shop")), "what it has not taken is due")
	require.Zero(t, s.count(`alerts WHERE cause = 'WebhookFailing' AND closed_at IS NULL`))
	s.sell("game")
	require.Len(t, s.takes("shop").Events, 2)
}

// days lets days pass, for receivers.
func (s *shop) days(n int) {
	s.t.Helper()
	s.later(time.Duration(n) * day)
	s.exec(`UPDATE webhooks SET failed_on = failed_on - CAST($1 AS int)`, n)
}

func withoutTimes(v keyturn.WebhookState) keyturn.WebhookState {
	v.OldestDueAt = nil
	return v
}

// One success is enough: the days before it do not count any more.
func TestASuccessForgivesAReceiver(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.receiver("shop", "order.created")
	s.sell("game")
	s.answers(s.takes("shop"), keyturn.KindUnavailable, "")
	for i := range 10 {
		s.days(1)
		s.sell("game")
		s.exec(`UPDATE event_deliveries SET next_at = now() WHERE status = 'PENDING'`)
		failed := keyturn.KindUnavailable
		if i%4 == 3 {
			failed = ""
		}
		s.answers(s.takes("shop"), failed, "")
		s.exec(`UPDATE webhooks SET next_try_at = NULL`) // the breaker's pause is over
	}
	require.Empty(t, s.webhookState("shop").SwitchedOff)
}

// A webhook whose secrets do not open is sent nothing, operations are told once, and no other webhook notices.
func TestAWebhookWhoseSecretsDoNotOpenIsAlerted(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.receiver("shop", "order.created")
	s.receiver("other", "order.created")
	s.exec(`UPDATE webhooks SET secrets = '\x00' WHERE id = 'shop'`)
	s.sell("game")
	_, _, err := s.NumberEvents(s.ctx)
	require.NoError(t, err)
	for range 2 {
		_, err = s.TakeEvents(s.ctx, "shop", 10)
		wantKind(t, err, keyturn.KindConfiguration)
	}
	require.Equal(t, []string{"webhook/shop"},
		reads[string](s, `SELECT subject FROM alerts WHERE cause = 'WebhookFailing' AND closed_at IS NULL`))
	require.Len(t, s.takes("other").Events, 1)
	require.NoError(t, s.DeleteWebhook(s.ctx, "shop"))
	require.Zero(t, s.count(`alerts WHERE cause = 'WebhookFailing' AND closed_at IS NULL`))
}

// soldAndTold is an order that is delivered, and its events, which a process has taken to send.
func (s *shop) soldAndTold() (customer string, sending Sending) {
	s.t.Helper()
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	return s.customerIDOf(f), s.takes("shop")
}

// What a receiver answers may tell of the buyer. It is gone after the buyer's erasure, and is not kept when it is
// booked later, or while the erasure is under way.
func TestAnswersAboutAnErasedBuyerAreNotKept(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2", "K-3")
	s.receiver("shop", "*")
	const kept = `event_deliveries WHERE reply LIKE '%Ada%'`
	customer, sending := s.soldAndTold()
	early, late := sending, sending
	early.Events, late.Events = sending.Events[:1], sending.Events[1:]
	s.answers(early, "", "thanks, Ada")
	require.Equal(t, 1, s.count(kept))
	_, err := s.EraseCustomer(s.ctx, "", customer, "test")
	require.NoError(t, err)
	s.answers(late, "", "thanks, Ada")
	require.Zero(t, s.count(kept))

	customer, sending = s.soldAndTold()
	erasing, err := s.pg.BeginTxx(s.ctx, nil)
	require.NoError(t, err)
	_, err = erasing.ExecContext(s.ctx, `SELECT FROM customers WHERE id = $1 FOR UPDATE`, customer)
	require.NoError(t, err)
	booked := make(chan error)
	go func() {
		booked <- s.BookSent(s.ctx, SendResult{Webhook: "shop", Event: sending.Events[0], Reply: "thanks, Ada"})
	}()
	require.Eventually(t, func() bool {
		return s.count(`pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, 10*time.Millisecond)
	_, err = erasing.ExecContext(s.ctx, `UPDATE customers SET erased_at = clock_timestamp() WHERE id = $1`, customer)
	require.NoError(t, err)
	require.NoError(t, erasing.Commit())
	require.NoError(t, <-booked)
	require.Zero(t, s.count(kept))
	s.exec(`UPDATE customers SET erased_at = NULL WHERE id = $1`, customer)
	_, sending = s.soldAndTold()
	s.answers(sending, "", "thanks, Ada")
	require.NotZero(t, s.count(kept), "of whom nothing was erased")
}

// The same holds for who was sold nothing: of a link that came to nothing, and of its payment.
func TestAnswersAboutALinkOfAnErasedBuyerAreNotKept(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.receiver("shop", "checkout.*", "payment.*")
	id, token := s.link(linkOf("k", "game"))
	pay := s.openPayment(token)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorProcessing, PaymentReference: "pi-1"})
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorFailed, PaymentReference: "pi-1"})
	s.paymentMails(pay)
	sending := s.takes("shop")
	require.Len(t, sending.Events, 3, "made, processing, failed")
	early, late := sending, sending
	early.Events, late.Events = sending.Events[:2], sending.Events[2:]
	s.answers(early, "", "thanks, Ada")
	require.NoError(t, s.CancelLink(s.ctx, id, "test", "over"))
	_, err := s.EraseCustomer(s.ctx, "", read[string](s, `SELECT customer_id FROM checkout_links WHERE id = $1`, id), "test")
	require.NoError(t, err)
	s.answers(late, "", "thanks, Ada")
	require.Zero(t, s.count(`event_deliveries WHERE reply IS NOT NULL`))
}

// While no webhook was ever there, a step does not even ask for one.
func TestAStepAsksNobodyWithoutWebhooks(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("o", lineOf("game", 1))
	called := func() (plan string) {
		require.ErrorIs(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
			var lines []string
			if err := tx.SelectContext(s.ctx, &lines, `EXPLAIN (ANALYZE, COSTS OFF)
				INSERT INTO line_log (line_id, version, from_status, to_status, by)
				SELECT id, version + 1, 'PENDING', 'HELD', 'test' FROM line_items`); err != nil {
				return err
			}
			for _, line := range lines {
				plan += line + "\n"
			}
			return errUndo
		}), errUndo)
		return plan
	}
	require.NotContains(t, called(), "line_events")
	s.subscribe("all", "line.*")
	require.Contains(t, called(), "line_events")
}
