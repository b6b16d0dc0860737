package db

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// paymentMails sends the payment's e-mails that are due, and gives what each was made of.
func (s *shop) paymentMails(pay string) (out []PaymentMailFacts) {
	s.t.Helper()
	for {
		m, _, err := s.BeginPaymentMail(s.ctx, pay, func(f PaymentMailFacts) ([]byte, error) {
			out = append(out, f)
			return []byte(f.Kind), nil
		})
		require.NoError(s.t, err)
		if m == nil {
			return out
		}
		_, err = s.FinishPaymentMail(s.ctx, pay, m, nil)
		require.NoError(s.t, err)
	}
}

func kindsOf(facts []PaymentMailFacts) (out []keyturn.PaymentMailKind) {
	for _, f := range facts {
		out = append(out, f.Kind)
	}
	return out
}

// paidLink is an order of a link whose money is authorized: its payment, and the fulfillment of its line.
func (s *shop) paidLink(key string) (pay, fulfillment string) {
	s.t.Helper()
	_, token := s.link(linkOf(key, "game"))
	pay = s.openPayment(token)
	return pay, s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
}

// capturedLink is paidLink of which the key is in hand and the money taken.
func (s *shop) capturedLink(key string) (pay, fulfillment string) {
	s.t.Helper()
	pay, f := s.paidLink(key)
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(s.t, err)
	require.NotNil(s.t, due)
	_, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, 1000))
	require.NoError(s.t, err)
	return pay, f
}

func (s *shop) keysWait(f string) bool {
	s.t.Helper()
	d, _, wait, err := s.BeginDelivery(s.ctx, f, renderMail)
	if first, ok := errors.AsType[*ConfirmationFirst](err); ok {
		require.NotEmpty(s.t, first.PaymentID)
		require.Positive(s.t, wait)
		require.LessOrEqual(s.t, wait, keysWait)
		return true
	}
	require.NoError(s.t, err)
	require.NotNil(s.t, d)
	return false
}

// The confirmation is made once and sent byte for byte. Keys wait for its first attempt, not for its success, and a
// minute at most.
func TestAConfirmationComesBeforeTheKeys(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2", "K-3")
	refused := keyturn.Errorf(keyturn.KindUnavailable, "no mail server")

	pay, f := s.capturedLink("k1")
	require.True(t, s.keysWait(f))
	facts := s.paymentMails(pay)
	require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailConfirmation}, kindsOf(facts))
	require.Equal(t, "ada@buyer.test", facts[0].Snapshot.Customer.Email)
	require.Equal(t, s.PageToken(facts[0].OrderID), facts[0].PageToken)
	require.False(t, facts[0].AtOnce, "it was charged when the key was in hand")
	require.False(t, s.keysWait(f))

	pay, f = s.capturedLink("k2")
	made := 0
	once := func(PaymentMailFacts) ([]byte, error) { made++; return []byte("the confirmation"), nil }
	m, next, err := s.BeginPaymentMail(s.ctx, pay, once)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoWait, next.Do, "another process waits until the lease ends")
	require.True(t, s.keysWait(f), "it is under way")
	other, _, err := s.BeginPaymentMail(s.ctx, pay, once)
	require.NoError(t, err)
	require.Nil(t, other, "one process sends")
	next, err = s.FinishPaymentMail(s.ctx, pay, m, refused)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoWait, next.Do)
	require.InDelta(t, mailAgain.Seconds(), time.Duration(next.Wait).Seconds(), 2)
	require.False(t, s.keysWait(f), "its first attempt was made")
	require.Equal(t, 1, s.alerts(`cause = 'Undelivered' AND closed_at IS NULL`))
	s.later(mailAgain)
	again, _, err := s.BeginPaymentMail(s.ctx, pay, once)
	require.NoError(t, err)
	require.Equal(t, m.Message, again.Message)
	require.Equal(t, m.ID, again.ID)
	require.Equal(t, 1, made)
	next, err = s.FinishPaymentMail(s.ctx, pay, again, nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoNothing, next.Do)
	require.Zero(t, s.count(`alerts WHERE cause = 'Undelivered' AND closed_at IS NULL`))
	_, err = s.FinishPaymentMail(s.ctx, pay, m, refused) // of a process that wakes up late
	require.NoError(t, err)
	require.Equal(t, "SENT", read[string](s, `SELECT status FROM payment_mails WHERE id = $1`, m.ID))

	_, f = s.capturedLink("k3")
	require.True(t, s.keysWait(f))
	s.later(keysWait)
	require.False(t, s.keysWait(f), "nobody sends it, and the customer has paid")
}

// An e-mail that does not go out is tried for three days, later each time, and then left to operations.
func TestAnEmailAboutAPaymentIsTriedForThreeDays(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	pay, _ := s.capturedLink("k1")
	tries, waited := 0, time.Duration(0)
	for {
		m, _, err := s.BeginPaymentMail(s.ctx, pay, func(PaymentMailFacts) ([]byte, error) { return []byte("m"), nil })
		require.NoError(t, err)
		require.NotNil(t, m)
		tries++
		next, err := s.FinishPaymentMail(s.ctx, pay, m, keyturn.Errorf(keyturn.KindRejected, "no such mailbox"))
		require.NoError(t, err)
		if next.Do == keyturn.PaymentDoNothing {
			break
		}
		require.Positive(t, next.Wait)
		require.LessOrEqual(t, time.Duration(next.Wait), mailSlowly)
		waited += time.Duration(next.Wait)
		s.later(time.Duration(next.Wait))
	}
	require.InDelta(t, mailFor.Hours(), waited.Hours(), 1.1)
	require.Less(t, tries, 85)
	require.Equal(t, 1, s.count(`alerts WHERE cause = 'Undelivered' AND closed_at IS NULL`))
	n, err := s.WakeForgottenPayments(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// The e-mails of a payment whose workflow is gone are found.
func TestForgottenEmailsAboutPaymentsAreSent(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	pay, _ := s.capturedLink("k1")
	s.exec(`DELETE FROM outbox`)
	n, err := s.WakeForgottenPayments(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	s.later(looksSoon + time.Minute)
	n, err = s.WakeForgottenPayments(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{pay}, reads[string](s, `SELECT subject FROM outbox WHERE workflow = $1`, WorkflowPayment))
	require.Len(t, s.paymentMails(pay), 1)
}

// What an e-mail says of money is what the books say when nothing about it is open any more.
func TestWhoIsToldWhatOfAPayment(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2", "K-3")

	t.Run("its authorization ran out", func(t *testing.T) {
		pay, f := s.paidLink("k1")
		s.paymentMails(pay)
		out := s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
		require.Equal(t, keyturn.PaymentDoMail, out.Next.Do)
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(facts))
		require.Equal(t, CancelPayment, facts[0].EndedBy)
		require.False(t, facts[0].Returned)
		require.Equal(t, []string{"A game"}, facts[0].Items)
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		s.refunded(f)
		require.Zero(t, s.count(`deliveries WHERE kind = 'canceled'`), "the line says no more")
		require.Empty(t, s.paymentMails(pay))
	})
	t.Run("a line was given up before it was charged", func(t *testing.T) {
		pay, f := s.paidLink("k2")
		s.paymentMails(pay)
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		require.Empty(t, s.paymentMails(pay), "nobody knows yet that nothing was taken")
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(facts))
		require.Equal(t, CancelAsked, facts[0].EndedBy)
		require.False(t, facts[0].Returned)
	})
	t.Run("it was taken after all", func(t *testing.T) {
		pay, f := s.paidLink("k3")
		s.paymentMails(pay)
		s.resolve(f, keyturn.ActionRefund)
		s.processorSays(pay, s.capturedAs(pay, 1000))
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(facts))
		require.True(t, facts[0].Returned)
		s.refunded(f)
		require.Zero(t, s.count(`deliveries WHERE kind = 'canceled'`))
	})
	t.Run("its method failed later", func(t *testing.T) {
		_, token := s.link(linkOf("k4", "game"))
		pay := s.openPayment(token)
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorProcessing})
		out := s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorFailed})
		require.Equal(t, keyturn.PaymentDoMail, out.Next.Do)
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailRefused}, kindsOf(facts))
		require.NotNil(t, facts[0].OpenUntil, "the link is open again")
		require.Empty(t, facts[0].OrderID)
	})
	t.Run("it came too late", func(t *testing.T) {
		for _, captured := range []bool{false, true} {
			id, token := s.link(linkOf("k5"+map[bool]string{true: "c"}[captured], "game"))
			pay := s.openPayment(token)
			s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
			require.NoError(t, s.CancelLink(s.ctx, id, "test", "over"))
			if captured {
				s.processorSays(pay, s.capturedAs(pay, 1000))
			} else {
				s.processorSays(pay, s.authorized(pay, 1000))
				require.Empty(t, s.paymentMails(pay))
				s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
			}
			facts := s.paymentMails(pay)
			require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(facts))
			require.Equal(t, captured, facts[0].Returned)
			require.Empty(t, facts[0].OrderID)
			require.Nil(t, facts[0].OpenUntil)
		}
	})
	t.Run("it was nothing", func(t *testing.T) {
		in := linkOf("k6", "game")
		in.Link.LineItems[0].UnitPrice = "0"
		_, token := s.link(in)
		begun, err := s.beginPayment(token)
		require.NoError(t, err)
		require.Equal(t, 1, s.count(`outbox WHERE workflow = $1 AND subject = $2`, WorkflowPayment, begun.ID),
			"its workflow sends the confirmation")
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailConfirmation}, kindsOf(s.paymentMails(begun.ID)))
	})
}

// Closing the alert of an e-mail about a payment that does not go out says that the customer was reached otherwise:
// nothing tries any more, and the customer can be erased. The next e-mail has an alert of its own.
func TestAnEmailAboutAPaymentWhoseAlertIsClosedIsNotTriedAnyMore(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	fails := func() *PaymentMail {
		t.Helper()
		m, _, err := s.BeginPaymentMail(s.ctx, pay, func(PaymentMailFacts) ([]byte, error) { return []byte("m"), nil })
		require.NoError(t, err)
		require.NotNil(t, m)
		_, err = s.FinishPaymentMail(s.ctx, pay, m, keyturn.Errorf(keyturn.KindUnavailable, "down"))
		require.NoError(t, err)
		return m
	}
	closes := func() {
		t.Helper()
		_, err := s.CloseAlert(s.ctx, read[int64](s, `SELECT id FROM alerts WHERE cause = 'Undelivered' AND closed_at IS NULL`),
			"ana", "called ada")
		require.NoError(t, err)
	}
	first := fails()
	closes()
	s.later(mailSlowly)
	require.Empty(t, s.paymentMails(pay))
	_, err := s.FinishPaymentMail(s.ctx, pay, first, keyturn.Errorf(keyturn.KindUnavailable, "down")) // late
	require.NoError(t, err)
	require.Zero(t, s.alerts(`cause = 'Undelivered' AND closed_at IS NULL`))

	require.NoError(t, s.SendOrderPage(s.ctx, token))
	fails()
	require.Equal(t, 1, s.alerts(`cause = 'Undelivered' AND closed_at IS NULL`))
	s.later(mailAgain)
	s.paymentMails(pay)
	require.Equal(t, 1, s.count(`payment_mails WHERE kind = 'orderPage' AND status = 'SENT'`))
	require.Zero(t, s.alerts(`cause = 'Undelivered' AND closed_at IS NULL`), "it went out")

	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	fails()
	_, err = s.EraseCustomer(s.ctx, "", read[string](s, `SELECT customer_id FROM payments`), "ana")
	wantKind(t, err, keyturn.KindConflict)
	closes()
	_, err = s.EraseCustomer(s.ctx, "", read[string](s, `SELECT customer_id FROM payments`), "ana")
	require.NoError(t, err)
	require.Zero(t, s.alerts(`close_reason LIKE '%ada%'`))
}
