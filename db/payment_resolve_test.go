package db

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// mismatched is a payment of a line of 10.00 EUR by which another sum was paid.
func (s *shop) mismatched(key string, state func(id string) keyturn.ProcessorState) (link, pay string) {
	s.t.Helper()
	link, token := s.link(linkOf(key, "game"))
	pay = s.openPayment(token)
	s.processorSays(pay, state(pay))
	require.Equal(s.t, keyturn.PaymentMismatch, s.paymentStatus(pay))
	require.Equal(s.t, 1, s.alerts("cause = 'Mismatch' AND closed_at IS NULL"))
	return link, pay
}

func (s *shop) decide(pay string, action keyturn.PaymentAction, state keyturn.ProcessorState) (Reconciled, error) {
	r := keyturn.PaymentResolution{Action: action, Reason: "a cent"}
	return s.ResolvePayment(s.ctx, pay, r, "ada", state, answerOf)
}

// A person accepts another sum: at most the price is kept, and a refund is of no more than was taken.
func TestAPersonAcceptsAnotherSum(t *testing.T) {
	for name, c := range map[string]struct {
		paid, kept, back int64
		atOnce           bool
	}{
		"a cent more, authorized": {1001, 1000, 0, false},
		"a cent less, authorized": {999, 999, 0, false},
		"a cent more, taken":      {1001, 1001, 1, true},
		"a cent less, taken":      {999, 999, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("p"))
			s.stock("p", "K-1")
			state := func(id string) keyturn.ProcessorState {
				if c.atOnce {
					return s.capturedAs(id, c.paid)
				}
				return s.authorized(id, c.paid)
			}
			link, pay := s.mismatched("k1", state)
			out, err := s.decide(pay, keyturn.PaymentAccept, state(pay))
			require.NoError(t, err)
			require.NotNil(t, out.Accepted)
			require.Zero(t, s.alerts("cause = 'Mismatch' AND closed_at IS NULL"))
			require.Equal(t, keyturn.LinkUsed, s.linkStatus(link))
			require.Equal(t, []string{"ada accept: a cent"}, reads[string](s,
				`SELECT by || ' ' || reason FROM payment_log WHERE from_status = 'MISMATCH'`))
			_, err = s.decide(pay, keyturn.PaymentAccept, state(pay))
			wantKind(t, err, keyturn.KindConflict)
			s.paymentMails(pay)
			f := out.Accepted.Starts[0].FulfillmentID
			s.claimed(f)
			if !c.atOnce {
				due, _, _, err := s.BeginCapture(s.ctx, f)
				require.NoError(t, err)
				require.Equal(t, s.euro(c.kept), due.Sum)
				_, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, c.kept))
				require.NoError(t, err)
			}
			if c.back > 0 {
				due, _, err := s.BeginPaymentRefund(s.ctx, pay)
				require.NoError(t, err)
				require.Equal(t, s.euro(c.back), due.Amount)
				_, err = s.LedgerRefund(s.ctx, "refund-"+pay, due.Reference, due.OrderID, due.Amount, never)
				require.NoError(t, err)
				_, err = s.FinishPaymentRefund(s.ctx, pay, "re_1")
				require.NoError(t, err)
			}
			s.delivered(f)
			require.NoError(t, s.CancelOrder(s.ctx, link, "test"))
			_, err = s.Review(s.ctx, f)
			require.NoError(t, err)
			s.refunded(f)
			require.Equal(t, int(min(c.paid, 1000)), read[int](s, `SELECT amount_minor FROM refunds`))
		})
	}
}

// A person gives another sum back: no order comes of it, the link is open again, and the customer is told.
func TestAPersonGivesAnotherSumBack(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	link, pay := s.mismatched("k1", func(id string) keyturn.ProcessorState { return s.authorized(id, 999) })
	out, err := s.decide(pay, keyturn.PaymentGiveBack, s.authorized(pay, 999))
	require.NoError(t, err)
	require.Nil(t, out.Accepted)
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	require.Equal(t, keyturn.LinkOpen, s.linkStatus(link))
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	facts := s.paymentMails(pay)
	require.Equal(t, []keyturn.PaymentMailKind{keyturn.MailEnded}, kindsOf(facts))
	require.False(t, facts[0].Returned)

	_, pay = s.mismatched("k2", func(id string) keyturn.ProcessorState { return s.capturedAs(id, 1001) })
	_, err = s.decide(pay, keyturn.PaymentGiveBack, s.capturedAs(pay, 1001))
	require.NoError(t, err)
	due, _, err := s.BeginPaymentRefund(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, s.euro(1001), due.Amount)
	facts = s.paymentMails(pay)
	require.True(t, facts[0].Returned)
	require.Equal(t, s.euro(1001), facts[0].Paid)
}

// What cannot be accepted is refused, and decided twice at the same time it is decided once.
func TestDecisionsOnAnotherSum(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, pay := s.mismatched("k1", func(id string) keyturn.ProcessorState { return s.authorized(id, 999) })
	_, err := s.decide(pay, keyturn.PaymentAccept, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	wantKind(t, err, keyturn.KindConflict)
	_, err = s.decide(pay, keyturn.PaymentAccept, s.authorized(pay, 0))
	wantKind(t, err, keyturn.KindConflict)
	foreign := s.authorized(pay, 999)
	foreign.Authorized.Currency = "USD"
	_, err = s.decide(pay, keyturn.PaymentAccept, foreign)
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, keyturn.PaymentMismatch, s.paymentStatus(pay))
	var all sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = s.decide(pay, []keyturn.PaymentAction{keyturn.PaymentAccept, keyturn.PaymentGiveBack}[i%2],
				s.authorized(pay, 999))
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		}
	}
	require.Equal(t, 1, done)
}

// While a person is to decide, whoever presses "order and pay" once more is told that the link is not for sale.
func TestAnOrderWhileAPersonIsToDecide(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	page, err := s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	pay := s.openPayment(token)
	s.processorSays(pay, s.authorized(pay, 999))
	_, err = s.BeginPayment(s.ctx, PaymentStart{
		Token: token, Version: page.Version, Customer: page.Customer, PayWithin: time.Hour,
		CheckAddress: func(string) error { return nil }, Respond: answerOf,
	})
	wantKind(t, err, keyturn.KindConflict)
}

// What a person wrote about a payment goes with its customer.
func TestWordsAboutAPaymentAreErased(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, pay := s.mismatched("k1", func(id string) keyturn.ProcessorState { return s.authorized(id, 999) })
	_, err := s.decide(pay, keyturn.PaymentGiveBack, s.authorized(pay, 999))
	require.NoError(t, err)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	s.paymentMails(pay)
	_, err = s.EraseCustomer(s.ctx, "", read[string](s, `SELECT customer_id FROM payments`), "ada")
	require.NoError(t, err)
	require.Equal(t, 1, s.alerts("cause = 'Mismatch'"))
	require.Zero(t, s.alerts("close_reason LIKE '%a cent%'"))
}
