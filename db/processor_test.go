package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// payingCustomers begins n payments, each of a link of its own.
func (s *shop) payingCustomers(n int) (payments []string) {
	s.product("game", fromPool("p"))
	for range n {
		_, token := s.link(linkOf(newID(), "game"))
		payments = append(payments, s.openPayment(token))
	}
	return payments
}

func (s *shop) told(payment, id string, outcome keyturn.PayOutcome) {
	s.t.Helper()
	_, err := s.BookProviderEvent(s.ctx, ProviderEvent{
		Provider: "sandbox", ID: id, Type: "test", SessionReference: "session-" + payment, Outcome: outcome,
	})
	require.NoError(s.t, err)
}

func (s *shop) nextOf(payment string) keyturn.PaymentDo {
	s.t.Helper()
	next, err := s.ReviewPayment(s.ctx, payment)
	require.NoError(s.t, err)
	return next.Do
}

// What comes while the processor is being asked is asked for once more: the answer may be older.
func TestAnEventDuringALookIsAskedForAgain(t *testing.T) {
	s := newShop(t)
	pay := s.payingCustomers(1)[0]
	facts, err := s.Payment(s.ctx, pay)
	require.NoError(t, err)
	s.told(pay, "evt_1", "")
	state := keyturn.ProcessorState{Status: keyturn.AtProcessorOpen, AskedAt: facts.Now}
	require.Equal(t, keyturn.PaymentDoRetrieve, s.processorSays(pay, state).Next.Do, "the answer is older than the event")
	state.AskedAt = time.Time{}
	require.Equal(t, keyturn.PaymentDoWait, s.processorSays(pay, state).Next.Do)

	facts, err = s.Payment(s.ctx, pay)
	require.NoError(t, err)
	s.told(pay, "evt_2", "")
	state = keyturn.ProcessorState{Status: keyturn.AtProcessorExpired, AskedAt: facts.Now}
	require.Equal(t, keyturn.PaymentDoRetrieve, s.processorSays(pay, state).Next.Do, "also of a payment that has ended")
	state.AskedAt = time.Time{}
	require.Equal(t, keyturn.PaymentDoNothing, s.processorSays(pay, state).Next.Do)
}

// A payment with another sum waits for a person, and is asked for where somebody tells of it.
func TestAMismatchIsAskedForWhenItIsToldOf(t *testing.T) {
	s := newShop(t)
	pay := s.payingCustomers(1)[0]
	require.Equal(t, keyturn.PaymentDoWait, s.processorSays(pay, s.authorized(pay, 999)).Next.Do)
	s.later(10 * time.Minute)
	n, err := s.WakeForgottenPayments(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n, "nobody has forgotten it")
	s.told(pay, "evt_1", "")
	require.Equal(t, keyturn.PaymentDoRetrieve, s.nextOf(pay))
	require.Equal(t, keyturn.PaymentDoWait, s.processorSays(pay, s.authorized(pay, 999)).Next.Do)
}

func TestAProcessorThatIsDown(t *testing.T) {
	open := "cause = 'ProcessorDown' AND closed_at IS NULL"
	fails := func(s *shop, pay string) {
		require.NoError(t, s.ProcessorFailed(s.ctx, "sandbox", pay, keyturn.KindUnavailable))
	}
	s := newShop(t)
	payments := s.payingCustomers(5)
	for range 9 {
		fails(s, payments[0])
	}
	for _, pay := range payments[1:4] {
		fails(s, pay)
	}
	require.Zero(t, s.alerts(open), "four payments are no outage")
	s.processorSays(payments[0], keyturn.ProcessorState{Status: keyturn.AtProcessorOpen})
	require.Zero(t, s.count(`processor_troubles`), "it answers")
	for _, pay := range payments {
		fails(s, pay)
	}
	require.Equal(t, 1, s.alerts(open))
	s.processorSays(payments[3], keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	require.Zero(t, s.alerts(open))

	fails(s, payments[0]) // one customer, for six minutes
	s.later(6 * time.Minute)
	require.Zero(t, s.alerts(open))
	fails(s, payments[0])
	require.Equal(t, 1, s.alerts(open))
	s.exec(`UPDATE alerts SET mailed_at = now()`)
	f := s.processorSays(payments[0], s.authorized(payments[0], 1000)).Accepted.Starts[0].FulfillmentID
	require.Zero(t, s.alerts(open))
	s.stock("p", "AAAA")
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	fails(s, payments[0])
	state := s.capturedAs(payments[0], 1000)
	state.AskedAt = due.Now
	_, err = s.FinishCapture(s.ctx, f, state)
	require.NoError(t, err)
	require.Zero(t, s.count(`processor_troubles`), "a capture is an answer, too")
}

// A processor that does not know what it has opened leaves the payment where it is, and people hear of it.
func TestAPaymentThatItsProcessorDoesNotKnow(t *testing.T) {
	s := newShop(t)
	pay := s.payingCustomers(1)[0]
	open := "cause = 'UnknownPayment' AND closed_at IS NULL AND subject = 'payment/" + pay + "'"
	for range 2 {
		require.NoError(t, s.UnknownPayment(s.ctx, pay))
	}
	require.Equal(t, 1, s.alerts(open))
	require.Equal(t, keyturn.PaymentOpen, s.paymentStatus(pay))
	v, err := s.PaymentView(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, "NotFound", v.Failure)
	require.NotNil(t, s.processorSays(pay, s.authorized(pay, 1000)).Accepted)
	require.Zero(t, s.alerts(open))
	v, err = s.PaymentView(s.ctx, pay)
	require.NoError(t, err)
	require.Empty(t, v.Failure)
}

func TestCardTestingIsToldOf(t *testing.T) {
	s := newShop(t)
	pays := s.payingCustomers(4)
	watch := func() int {
		require.NoError(t, s.WatchCardTesting(s.ctx))
		return s.alerts("cause = 'CardTesting' AND closed_at IS NULL AND subject = 'processor/sandbox'")
	}
	for i := range 19 {
		s.told(pays[0], "refused-"+itoa(i), keyturn.Refused)
	}
	require.Zero(t, watch())
	s.told(pays[0], "refused-19", keyturn.Refused)
	require.Equal(t, 1, watch())
	require.Equal(t, 1, watch())
	for i, pay := range pays[1:] {
		s.told(pay, "authorized-"+itoa(i), keyturn.Paid)
		s.told(pay, "captured-"+itoa(i), keyturn.Paid) // the same try
		want := 1
		if i == 2 {
			want = 0 // 20 of 23 are fewer than nine in ten
		}
		require.Equal(t, want, watch())
	}
	for i := range 10 {
		s.told(pays[0], "more-"+itoa(i), keyturn.Refused)
	}
	require.Equal(t, 1, watch())
	s.later(11 * time.Minute)
	require.Zero(t, watch())
}
