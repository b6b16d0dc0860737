package stripe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// sale is one payment at the emulator.
type sale struct {
	*testing.T
	stripe.Processor
	emulator *emulator.Server
	opening  payment.Opening
	ref      payment.Ref
}

func eur(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: "EUR"} }

// sell opens a session of 10.00 EUR that is authorized first.
func sell(t *testing.T, change ...func(*payment.Opening)) *sale {
	t.Helper()
	return sellAt(t, emulator.New(emulator.Config{}), change...)
}

// sellAt is sell at an emulator.
func sellAt(t *testing.T, e *emulator.Server, change ...func(*payment.Opening)) *sale {
	t.Helper()
	s := &sale{T: t, emulator: e}
	require.NoError(t, s.emulator.Start())
	t.Cleanup(func() { require.NoError(t, s.emulator.Close()) })
	c := configured()
	c.Key, c.URL, c.PageOrigin = emulator.Key, s.emulator.URL(), s.emulator.PageURL()
	s.Processor = made(t, c)
	s.opening = payment.Opening{
		Key: "open-1", PaymentID: paymentID, OrderID: "o1", Currency: "EUR",
		Lines: []payment.OpeningLine{{Name: "Game", UnitPrice: eur(500), Quantity: 2}}, Total: eur(1000),
		Email: "ada@buyer.test", Locale: "de-AT", AuthorizeFirst: true, ExpiresAt: s.emulator.Now().Add(2 * time.Hour),
		ReturnURL: "https://shop.test/c/x/return", BackURL: "https://shop.test/c/x",
	}
	for _, c := range change {
		c(&s.opening)
	}
	s.ref = payment.Ref{PaymentID: paymentID, Since: s.emulator.Now()}
	return s
}

func (s *sale) open() keyturn.ProcessorState {
	s.Helper()
	state, err := s.Open(s.Context(), s.opening)
	require.NoError(s, err)
	require.Equal(s, keyturn.AtProcessorOpen, state.Status)
	require.True(s, strings.HasPrefix(state.URL, s.Origin()+"/"), state.URL)
	s.ref.SessionReference = state.SessionReference
	return state
}

// paid opens the session and pays it.
func (s *sale) paid(m emulator.Method) keyturn.ProcessorState {
	s.Helper()
	s.open()
	_, err := s.emulator.Pay(s.ref.SessionReference, m)
	require.NoError(s, err)
	state := s.now()
	s.ref.PaymentReference = state.PaymentReference
	return state
}

func (s *sale) now() keyturn.ProcessorState {
	s.Helper()
	state, err := s.Retrieve(s.Context(), s.ref)
	require.NoError(s, err)
	return state
}

// fault has the next call of an operation go wrong.
func (s *sale) fault(operation string, f emulator.Fault) {
	done := false
	s.emulator.SetFaults(func(c emulator.Call) emulator.Fault {
		if done || c.Operation != operation {
			return ""
		}
		done = true
		return f
	})
}

func TestAuthorizedThenCaptured(t *testing.T) {
	t.Parallel()
	s := sell(t)
	state := s.paid(emulator.Card(""))
	require.Equal(t, keyturn.AtProcessorAuthorized, state.Status)
	require.Equal(t, eur(1000), state.Authorized)
	require.Equal(t, eur(0), state.Captured)
	require.Equal(t, "card/visa", state.Method)
	require.InDelta(t, (7 * 24 * time.Hour).Seconds(), state.CaptureWithin.Seconds(), 60)

	state, err := s.Capture(t.Context(), s.ref, eur(600), "c1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
	require.Equal(t, eur(600), state.Captured)
	state, err = s.Capture(t.Context(), s.ref, eur(1000), "c2")
	require.NoError(t, err)
	require.Equal(t, eur(600), state.Captured, "it is captured once, whatever the key")
	state, err = s.Void(t.Context(), s.ref, "v1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
	state, err = s.Expire(t.Context(), s.ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
}

func TestWhenTheMoneyIsTaken(t *testing.T) {
	t.Parallel()
	debit := emulator.Debit(emulator.AccountGood)
	s := sell(t, func(o *payment.Opening) { o.AuthorizeFirst = false })
	require.Equal(t, keyturn.AtProcessorCaptured, s.paid(emulator.Card("")).Status)

	s = sell(t)
	require.Equal(t, keyturn.AtProcessorProcessing, s.paid(debit).Status)
	s.emulator.Advance(3 * time.Minute)
	require.Equal(t, eur(1000), s.now().Captured)

	s = sell(t)
	s.paid(emulator.Debit(emulator.AccountFails))
	s.emulator.Advance(3 * time.Minute)
	require.Equal(t, keyturn.AtProcessorFailed, s.now().Status)

	s = sell(t, func(o *payment.Opening) { o.AuthorizeOnly = true })
	s.open()
	_, err := s.emulator.Pay(s.ref.SessionReference, debit)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "it cannot be authorized")
	_, err = s.emulator.Pay(s.ref.SessionReference, emulator.Card(emulator.CardDeclined))
	require.ErrorIs(t, err, emulator.ErrDeclined)
	require.Equal(t, keyturn.AtProcessorOpen, s.now().Status, "it can be tried again")
	_, err = s.emulator.Pay(s.ref.SessionReference, emulator.Card(""))
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorAuthorized, s.now().Status)
}

func TestWhatEndsAPayment(t *testing.T) {
	t.Parallel()
	s := sell(t)
	s.open()
	state, err := s.Expire(t.Context(), s.ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorExpired, state.Status)
	state, err = s.Expire(t.Context(), s.ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorExpired, state.Status)

	s = sell(t)
	s.paid(emulator.Card(""))
	state, err = s.Void(t.Context(), s.ref, "v1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorVoided, state.Status)
	state, err = s.Capture(t.Context(), s.ref, eur(1000), "c1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorVoided, state.Status, "it is gone, and that is an answer")

	s = sell(t)
	s.paid(emulator.Card(""))
	s.fault("payment_intent.capture", emulator.Refused)
	_, err = s.Capture(t.Context(), s.ref, eur(1000), "c1")
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	require.True(t, keyturn.IsPermanent(err))

	s = sell(t)
	s.paid(emulator.Card(""))
	s.emulator.Advance(8 * 24 * time.Hour)
	require.Equal(t, keyturn.AtProcessorVoided, s.now().Status)
	_, err = s.Retrieve(t.Context(), payment.Ref{SessionReference: "cs_test_none"})
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
	_, err = s.Retrieve(t.Context(), payment.Ref{PaymentID: paymentID})
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
}

// A session whose answer was lost is there, and is found by when it was asked for.
func TestASessionWhoseAnswerWasLostIsFound(t *testing.T) {
	t.Parallel()
	s := sell(t)
	for _, f := range []emulator.Fault{emulator.Lost, emulator.Cut, emulator.FailedAfter} {
		s.fault("checkout.session.create", f)
		s.opening.Key = "open-" + string(f)
		s.opening.PaymentID = "019b0000-0000-7000-8000-0000000000" + map[emulator.Fault]string{
			emulator.Lost: "11", emulator.Cut: "12", emulator.FailedAfter: "13",
		}[f]
		_, err := s.Open(t.Context(), s.opening)
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), f)
		require.Equal(t, f == emulator.FailedAfter, keyturn.WasAnswered(err), f)
		state, err := s.Retrieve(t.Context(), payment.Ref{PaymentID: s.opening.PaymentID, Since: s.emulator.Now()})
		require.NoError(t, err, f)
		require.NotEmpty(t, state.SessionReference)
		again, err := s.Open(t.Context(), s.opening)
		if f == emulator.FailedAfter {
			require.True(t, keyturn.WasAnswered(err), "the key answers so for a day")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, state.SessionReference, again.SessionReference, "one key is one session")
	}
	_, err := s.Retrieve(t.Context(), payment.Ref{PaymentID: paymentID, Since: s.emulator.Now()})
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), "another payment has none")
}

// Each way in which a call goes wrong has its kind.
func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	s := sell(t)
	for f, want := range map[emulator.Fault]keyturn.Kind{
		emulator.Lost: keyturn.KindUnavailable, emulator.Failed: keyturn.KindUnavailable,
		emulator.InUse: keyturn.KindUnavailable, emulator.Locked: keyturn.KindRateLimited,
		emulator.Limited: keyturn.KindRateLimited, emulator.Down: keyturn.KindUnavailable,
	} {
		s.fault("checkout.session.create", f)
		s.opening.Key = "key-" + string(f)
		_, err := s.Open(t.Context(), s.opening)
		require.Equal(t, want, keyturn.KindOf(err), "%s: %v", f, err)
		require.NotContains(t, err.Error(), "ada@buyer.test")
	}
	s.opening.Key = "open-1"
	s.open()
	s.opening.Email = "eve@buyer.test"
	_, err := s.Open(t.Context(), s.opening)
	require.True(t, keyturn.WasAnswered(err), "another request under the same key: %v", err)
	s.opening.Key, s.opening.ExpiresAt = "open-2", s.emulator.Now().Add(time.Minute)
	_, err = s.Open(t.Context(), s.opening)
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err), "it would end too soon: %v", err)
	c := s.Config
	c.Key = "sk_test_wrong"
	_, err = made(t, c).Retrieve(t.Context(), s.ref)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
}
