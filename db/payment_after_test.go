package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// voidedLink is a payment of a link whose order was given up before it was charged, and whose customer was told so.
func (s *shop) voidedLink(key string) (pay string) {
	s.t.Helper()
	pay, f := s.paidLink(key)
	s.paymentMails(pay)
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Equal(s.t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(s.paymentMails(pay)))
	return pay
}

// What was taken after a payment had ended uncharged goes back, and the customer, who was told that nothing was
// charged, is told the truth.
func TestAPaymentThatIsTakenAfterItsEndGoesBack(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2")
	lost, f := s.paidLink("lost")
	s.paymentMails(lost)
	s.processorSays(lost, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Len(t, s.paymentMails(lost), 1)
	_, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	s.refunded(f)
	for _, pay := range []string{lost, s.voidedLink("voided")} {
		was := s.paymentStatus(pay)
		require.True(t, was.Uncharged())
		s.processorSays(pay, s.authorized(pay, 1000))
		require.Equal(t, was, s.paymentStatus(pay), "it is no more than blocked")
		for range 2 {
			out := s.processorSays(pay, s.capturedAs(pay, 1000))
			require.Equal(t, keyturn.PaymentCaptured, out.Next.Status)
		}
		facts := s.paymentMails(pay)
		require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailCorrected}, kindsOf(facts))
		require.Equal(t, s.euro(1000), facts[0].Paid)
		due, _, err := s.BeginPaymentRefund(s.ctx, pay)
		require.NoError(t, err)
		require.Equal(t, s.euro(1000), due.Amount)
		require.Equal(t, 1, s.count(`alerts WHERE cause = 'LatePayment' AND subject = $1`, "payment/"+pay))
	}
}

// Somebody who captures at the processor may take more than is due: what is more goes back, and the customer is told.
func TestWhatIsCapturedBeyondWhatIsDueGoesBack(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("late", fromPool("empty"))
	s.stock("p", "K-1")
	_, token := s.link(linkOf("k", "game", "late"))
	pay := s.openPayment(token)
	starts := s.processorSays(pay, s.authorized(pay, 2000)).Accepted.Starts
	s.paymentMails(pay)
	s.resolve(starts[1].FulfillmentID, keyturn.ActionRefund) // and is not charged
	s.refunded(starts[1].FulfillmentID)
	out := s.processorSays(pay, s.capturedAs(pay, 2000))
	require.Equal(t, keyturn.PaymentDoMail, out.Next.Do)
	facts := s.paymentMails(pay)
	require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailCorrected}, kindsOf(facts))
	require.Equal(t, s.euro(1000), facts[0].Paid)
	require.Equal(t, keyturn.PaymentDoRefund, s.nextOf(pay))
	due, _, err := s.BeginPaymentRefund(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, s.euro(1000), due.Amount)
	require.Contains(t, read[string](s, `SELECT detail FROM alerts WHERE cause = 'Mismatch'`),
		"20.00 EUR instead of 10.00 EUR. What is more goes back")
}

// Alerts about a payment name the order that its link makes, so that a merchant sees those about its own.
func TestAMerchantSeesAlertsAboutItsPayments(t *testing.T) {
	s := newShop(t)
	s.product("acme:game", fromPool("p"))
	in := linkOf("k", "acme:game")
	in.Link.OrderID = "acme:1"
	_, token := s.link(in)
	pay := s.openPayment(token)
	s.processorSays(pay, s.authorized(pay, 999))
	for prefix, n := range map[keyturn.Prefix]int{"": 1, "acme:": 1, "other:": 0} {
		alerts, err := s.Alerts(s.ctx, prefix, false, keyturn.AlertMismatch, 0, 10)
		require.NoError(t, err)
		require.Len(t, alerts, n, prefix)
		for _, a := range alerts {
			require.Equal(t, "acme:1", a.OrderID)
			require.Contains(t, a.ToDo, "keyturn payment show "+pay)
		}
	}
	subject, err := s.AlertSubject(s.ctx, read[int64](s, `SELECT id FROM alerts`))
	require.NoError(t, err)
	require.Equal(t, "acme:1", subject)
}

// The alert of a payment that waits for a decision is closed by the decision, and by nobody before.
func TestTheAlertOfAnUndecidedPaymentStaysOpen(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k", "game"))
	pay := s.openPayment(token)
	s.processorSays(pay, s.authorized(pay, 999))
	id := read[int64](s, `SELECT id FROM alerts WHERE cause = 'Mismatch'`)
	_, err := s.CloseAlert(s.ctx, id, "ana", "looked at it")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "keyturn payment resolve "+pay+" accept|giveBack")
	s.exec(`UPDATE payments SET status = 'VOIDING' WHERE id = $1`, pay)
	_, err = s.CloseAlert(s.ctx, id, "ana", "decided")
	require.NoError(t, err)
}

// A person closes the alert of a provider that is not used any more; one that is in use, and still down, is told of
// anew.
func TestTheAlertOfAProviderThatIsGoneIsClosed(t *testing.T) {
	s := newShop(t)
	payments := s.payingCustomers(5)
	fail := func() {
		for _, pay := range payments {
			require.NoError(t, s.ProcessorFailed(s.ctx, "sandbox", pay, keyturn.KindUnavailable))
		}
	}
	const open = `alerts WHERE cause = 'ProcessorDown' AND closed_at IS NULL`
	fail()
	require.Equal(t, 1, s.count(open))
	_, err := s.CloseAlert(s.ctx, read[int64](s, `SELECT id FROM alerts`), "ana", "we have left it")
	require.NoError(t, err)
	require.Zero(t, s.count(open))
	require.NoError(t, s.ProcessorFailed(s.ctx, "sandbox", payments[0], keyturn.KindUnavailable))
	require.Zero(t, s.count(open))
	fail()
	require.Equal(t, 1, s.count(open))
}
