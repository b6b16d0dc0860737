package db

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// soldTo is an order of a link of which the shop handles withdrawals in this way, with its money authorized.
func (s *shop) soldTo(key string, withdrawal keyturn.Withdrawal, products ...string) (pay, token string,
	lines []string,
) {
	s.t.Helper()
	_, linkToken := s.link(linkOf(key, products...))
	page, err := s.CheckoutPage(s.ctx, linkToken)
	require.NoError(s.t, err)
	begun, err := s.BeginPayment(s.ctx, PaymentStart{
		Token: linkToken, Version: page.Version, Customer: page.Customer, From: home, PayWithin: 30 * time.Minute,
		Withdrawal:   withdrawal,
		CheckAddress: func(string) error { return nil }, Respond: answerOf,
	})
	require.NoError(s.t, err)
	s.processorSays(begun.ID, keyturn.ProcessorState{Status: keyturn.AtProcessorOpen, SessionReference: "s-" + begun.ID})
	out := s.processorSays(begun.ID, s.authorized(begun.ID, int64(1000*len(products))))
	for _, start := range out.Accepted.Starts {
		lines = append(lines, start.FulfillmentID)
	}
	return begun.ID, s.PageToken(out.Accepted.Order.ID), lines
}

// charged takes the money and delivers the first line.
func (s *shop) chargedAndDelivered(pay, f string, minor int64) {
	s.t.Helper()
	s.claimed(f)
	s.exec(`UPDATE payments SET first_tries = 0 WHERE id = $1`, pay)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(s.t, err)
	require.NotNil(s.t, due)
	_, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, minor))
	require.NoError(s.t, err)
	s.paymentMails(pay)
	mail, _, _, err := s.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(s.t, err)
	_, err = s.FinishDelivery(s.ctx, f, mail, nil, false)
	require.NoError(s.t, err)
}

func (s *shop) page(token string) CustomerPage {
	s.t.Helper()
	p, err := s.CustomerPage(s.ctx, token, 1)
	require.NoError(s.t, err)
	return p
}

// Until it is delivered, whatever the shop offers, an order can be withdrawn from: nothing is charged, and the customer
// is told once when the withdrawal arrived.
func TestACustomerWithdrawsBeforeTheDelivery(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	for i, w := range []keyturn.Withdrawal{"", keyturn.WithdrawalWaived, keyturn.WithdrawalOffered} {
		pay, token, lines := s.soldTo("k"+itoa(i), w, "game")
		require.True(t, s.page(token).MayWithdraw)
		s.paymentMails(pay)
		require.NoError(t, s.Withdraw(s.ctx, token))
		require.NoError(t, s.Withdraw(s.ctx, token), "pressed twice")
		page := s.page(token)
		require.False(t, page.MayWithdraw)
		require.NotNil(t, page.WithdrawnAt)
		_, err := s.Review(s.ctx, lines[0])
		require.NoError(t, err)
		require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
		s.refunded(lines[0])
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailWithdrawal, keyturn.MailEnded}, kindsOf(facts))
		require.WithinDuration(t, facts[0].Now, facts[0].AskedAt, time.Minute)
		require.Equal(t, CancelWithdrawn, facts[1].EndedBy)
		require.Nil(t, s.page(token).AgainUntil, "nobody offers it again to who did not want it")
	}
}

// Where the right was waived, a withdrawal takes what is not delivered and leaves what is; where it is offered, all of
// it, keys and money, for fourteen days after that of the order.
func TestACustomerWithdrawsAfterADelivery(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("late", fromPool("empty"))
	s.stock("p", "K-1", "K-2", "K-3")

	pay, token, lines := s.soldTo("waived", keyturn.WithdrawalWaived, "game", "late")
	s.claimed(lines[1])
	s.chargedAndDelivered(pay, lines[0], 2000)
	page := s.page(token)
	require.True(t, page.MayWithdraw)
	require.False(t, page.WithdrawAll)
	require.NoError(t, s.Withdraw(s.ctx, token))
	for _, f := range lines {
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
	}
	require.Equal(t, keyturn.LineDelivered, s.status(lines[0]))
	require.Equal(t, keyturn.LineCanceling, s.status(lines[1]))
	s.refunded(lines[1])
	require.Equal(t, 1, s.count(`refunds WHERE amount_minor = 1000 AND reason = '`+whyWithdrawn+`'`))
	require.False(t, s.page(token).MayWithdraw)

	pay, token, lines = s.soldTo("kept", keyturn.WithdrawalWaived, "game")
	s.chargedAndDelivered(pay, lines[0], 1000)
	require.False(t, s.page(token).MayWithdraw)
	wantKind(t, s.Withdraw(s.ctx, token), keyturn.KindConflict)

	pay, token, lines = s.soldTo("offered", keyturn.WithdrawalOffered, "game")
	s.chargedAndDelivered(pay, lines[0], 1000)
	page = s.page(token)
	require.True(t, page.MayWithdraw && page.WithdrawAll)
	require.Equal(t, page.CreatedAt.Truncate(day).Add(15*day), *page.WithdrawBefore)
	s.later(14 * day) // the last day, whatever the hour
	require.True(t, s.page(token).MayWithdraw)
	require.NoError(t, s.Withdraw(s.ctx, token))
	_, err := s.Review(s.ctx, lines[0])
	require.NoError(t, err)
	s.refunded(lines[0])
	require.Equal(t, 1, s.count(`pool_keys WHERE state = 'revoked' OR state = 'quarantined'`), "its key is sold to nobody")
	_, err = s.RevealToCustomer(s.ctx, token, lines[0], "keys", home)
	wantKind(t, err, keyturn.KindConflict)
}

// The time for a withdrawal ends.
func TestAWithdrawalThatComesTooLate(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	pay, token, lines := s.soldTo("offered", keyturn.WithdrawalOffered, "game")
	s.chargedAndDelivered(pay, lines[0], 1000)
	s.later(15 * day)
	require.False(t, s.page(token).MayWithdraw)
	wantKind(t, s.Withdraw(s.ctx, token), keyturn.KindConflict)
	require.Zero(t, s.count(`payment_mails WHERE kind = 'withdrawal'`))
}

// A withdrawal beside a capture, a delivery, and another withdrawal: the customer has the key or the money, and is told
// of one withdrawal.
func TestAWithdrawalRaces(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 60)...)
	for i := range 25 {
		pay, token, lines := s.soldTo("r"+itoa(i), keyturn.WithdrawalWaived, "game")
		f := lines[0]
		s.claimed(f)
		s.exec(`UPDATE payments SET keys_wait_until = NULL WHERE id = $1`, pay)
		state := s.capturedAs(pay, 1000)
		var all sync.WaitGroup
		withdrawn := make([]error, 2)
		for j := range withdrawn {
			all.Go(func() { withdrawn[j] = s.Withdraw(s.ctx, token) })
		}
		all.Go(func() {
			due, _, _, err := s.BeginCapture(s.ctx, f)
			if err != nil || due == nil {
				return
			}
			if _, err := s.FinishCapture(s.ctx, f, state); err != nil {
				return
			}
			if mail, _, _, err := s.BeginDelivery(s.ctx, f, renderMail); err == nil && mail != nil {
				_, _ = s.FinishDelivery(s.ctx, f, mail, nil, false)
			}
		})
		all.Wait()
		delivered := s.status(f) == keyturn.LineDelivered
		if _, err := s.Review(s.ctx, f); err != nil {
			require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
		}
		for _, err := range withdrawn {
			require.True(t, err == nil || delivered && keyturn.KindOf(err) == keyturn.KindConflict, "%v", err)
		}
		told := s.count(`payment_mails WHERE kind = 'withdrawal' AND payment_id = $1`, pay)
		if withdrawn[0] != nil && withdrawn[1] != nil {
			require.Equal(t, keyturn.LineDelivered, s.status(f))
			require.Zero(t, told)
			continue
		}
		require.Equal(t, 1, told)
		require.Equal(t, keyturn.LineCanceling, s.status(f))
		if s.paymentStatus(pay) == keyturn.PaymentCaptured {
			require.Equal(t, 1, s.count(`refunds WHERE order_id = (SELECT order_id FROM payments WHERE id = $1)
				AND amount_minor = 1000`, pay))
		} else {
			s.exec(`DELETE FROM sandbox_payments WHERE reference = $1`, state.PaymentReference)
		}
		s.refunded(f)
	}
}

// Whose order came to nothing can have one link that sells the same at the same price, for a week, and no second one.
func TestAnOrderIsMadeAgain(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	pay, token, lines := s.soldTo("k1", keyturn.WithdrawalWaived, "game", "game")
	_, err := s.OrderAgain(s.ctx, token)
	wantKind(t, err, keyturn.KindConflict)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided}) // it ran out
	for _, f := range lines {
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		s.refunded(f)
	}
	facts := s.paymentMails(pay)
	require.NotNil(t, facts[len(facts)-1].AgainUntil)
	var all sync.WaitGroup
	links := make([]string, 4)
	for i := range links {
		all.Go(func() { links[i], _ = s.OrderAgain(s.ctx, token) })
	}
	all.Wait()
	link, err := s.OrderAgain(s.ctx, token)
	require.NoError(t, err)
	for _, other := range links {
		require.Contains(t, []string{"", link}, other)
	}
	order := read[string](s, `SELECT order_id FROM payments WHERE id = $1`, pay)
	require.Equal(t, 1, s.count(`checkout_links WHERE reference = 'again-' || $1`, order))
	page, err := s.CheckoutPage(s.ctx, link)
	require.NoError(t, err)
	require.Equal(t, s.euro(2000), page.Total)
	require.Equal(t, "A game", page.Lines[0].Name)
	require.Equal(t, "ada@buyer.test", page.Customer.Email)
	require.WithinRange(t, page.ExpiresAt, page.Now.Add(7*day), page.Now.Add(8*day))

	s.later(8 * day)
	require.Nil(t, s.page(token).AgainUntil)
	_, err = s.OrderAgain(s.ctx, token)
	wantKind(t, err, keyturn.KindConflict)
}

// Who decided that nothing comes of an order is not offered it again.
func TestAnOrderThatSomebodyEndedIsNotMadeAgain(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	pay, token, lines := s.soldTo("k1", "", "game")
	s.resolve(lines[0], keyturn.ActionRefund)
	s.refunded(lines[0])
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Nil(t, s.page(token).AgainUntil)
	_, err := s.OrderAgain(s.ctx, token)
	wantKind(t, err, keyturn.KindConflict)
}

// The address of an order's page goes to the order's address, three times a day.
func TestAnOrdersPageIsSentAgain(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, linkToken := s.link(linkOf("k1", "game"))
	wantKind(t, s.SendOrderPage(s.ctx, linkToken), keyturn.KindConflict)
	wantKind(t, s.SendOrderPage(s.ctx, "unknown"), keyturn.KindNotFound)
	pay := s.openPayment(linkToken)
	s.processorSays(pay, s.authorized(pay, 1000))
	s.paymentMails(pay)
	for range orderPagesADay {
		require.NoError(t, s.SendOrderPage(s.ctx, linkToken))
	}
	wantKind(t, s.SendOrderPage(s.ctx, linkToken), keyturn.KindRateLimited)
	require.Len(t, s.paymentMails(pay), orderPagesADay)
	s.later(25 * time.Hour)
	require.NoError(t, s.SendOrderPage(s.ctx, linkToken))
}

// An order whose ID is as long as an ID may be is made again as the same merchant's, and can be paid.
func TestAnOrderWithALongIDIsMadeAgain(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	for before, owner := range map[string]string{"m:": "m:", strings.Repeat("a", 40) + ":": "lnk-"} {
		in := linkOf(before, "game")
		in.Link.OrderID = before + strings.Repeat("x", 64-len(before))
		_, token := s.link(in)
		pay := s.openPayment(token)
		out := s.processorSays(pay, s.authorized(pay, 1000))
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
		_, err := s.Review(s.ctx, out.Accepted.Starts[0].FulfillmentID)
		require.NoError(t, err)
		s.refunded(out.Accepted.Starts[0].FulfillmentID)
		again, err := s.OrderAgain(s.ctx, s.PageToken(in.Link.OrderID))
		require.NoError(t, err)
		page, err := s.CheckoutPage(s.ctx, again)
		require.NoError(t, err)
		order, err := s.OrderOfLink(s.ctx, page.LinkID)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(order, owner), order)
		_, err = s.beginPayment(again)
		require.NoError(t, err)
	}
}
