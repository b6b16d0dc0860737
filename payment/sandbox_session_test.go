package payment_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// sessions keeps one session in memory; the real ones are tried in package db.
type sessions struct {
	kept *keyturn.SandboxSession
	now  time.Time
}

func (m *sessions) OpenSandboxSession(_ context.Context, s keyturn.SandboxSession) (keyturn.SandboxSession, error) {
	if m.kept == nil {
		s.Status = keyturn.AtProcessorOpen
		s.Authorized.Currency, s.Captured.Currency = s.Total.Currency, s.Total.Currency
		m.kept = &s
	}
	out := *m.kept
	out.Now = m.now
	return out, nil
}

func (m *sessions) ChangeSandboxSession(_ context.Context, _ keyturn.SandboxRef,
	change func(*keyturn.SandboxSession) error,
) (keyturn.SandboxSession, error) {
	if m.kept == nil {
		return keyturn.SandboxSession{}, keyturn.Errorf(keyturn.KindNotFound, "there is none")
	}
	s := *m.kept
	s.Now = m.now
	if err := change(&s); err != nil {
		return s, err
	}
	*m.kept = s
	return s, nil
}

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func eur(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: "EUR"} }

// sale is a session of the sandbox in which one thing happens after the other.
type sale struct {
	*testing.T
	payment.Sandbox
	books  *sessions
	token  string
	ref    payment.Ref
	events []string
}

func openingOf(script string) payment.Opening {
	return payment.Opening{
		Key: "open-1", PaymentID: "019b0000-0000-7000-8000-000000000001", OrderID: "o1", Currency: "EUR",
		Lines: []payment.OpeningLine{{Name: "Game", UnitPrice: eur(500), Quantity: 2}}, Total: eur(1000),
		Email: "ada@buyer.test", AuthorizeFirst: true, ExpiresAt: noon.Add(time.Hour),
		ReturnURL: "https://shop.test/c/x/return", BackURL: "https://shop.test/c/x",
		AdditionalData: map[string]string{"sandbox": script},
	}
}

func newSandbox(books *sessions) payment.Sandbox {
	return payment.Sandbox{Sessions: books, PublicURL: "https://shop.test", Secret: []byte("secret")}
}

func sell(t *testing.T, script string, change ...func(*payment.Opening)) *sale {
	t.Helper()
	s := &sale{T: t, books: &sessions{now: noon}}
	s.Sandbox = newSandbox(s.books)
	s.OnEvent = func(_ context.Context, e payment.Event) {
		s.events = append(s.events, strings.TrimPrefix(e.Type, "session."))
	}
	o := openingOf(script)
	for _, c := range change {
		c(&o)
	}
	state, err := s.Open(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorOpen, state.Status)
	var ok bool
	s.token, ok = strings.CutPrefix(state.URL, "https://shop.test/sandbox/pay/")
	require.True(t, ok, state.URL)
	s.ref.SessionReference = state.SessionReference
	return s
}

func (s *sale) pay(a keyturn.SandboxAction) keyturn.ProcessorStatus {
	s.Helper()
	got, err := s.Act(s.Context(), s.token, a)
	require.NoError(s, err)
	return got.Status
}

func (s *sale) now() keyturn.ProcessorState {
	s.Helper()
	state, err := s.Retrieve(s.Context(), s.ref)
	require.NoError(s, err)
	return state
}

func (s *sale) capture(minor int64, key string) (keyturn.ProcessorState, keyturn.Kind) {
	s.Helper()
	state, err := s.Capture(s.Context(), s.ref, eur(minor), key)
	return state, keyturn.KindOf(err)
}

func TestOneKeyOpensOneSession(t *testing.T) {
	t.Parallel()
	s := sell(t, "")
	first := s.now()
	again, err := s.Open(t.Context(), openingOf(""))
	require.NoError(t, err)
	require.Equal(t, first, again)
	for name, change := range map[string]func(*payment.Opening){
		"sum":     func(o *payment.Opening) { o.Total.Minor++ },
		"line":    func(o *payment.Opening) { o.Lines[0].Name = "Other" },
		"address": func(o *payment.Opening) { o.Email = "eve@buyer.test" },
		"end":     func(o *payment.Opening) { o.ExpiresAt = o.ExpiresAt.Add(time.Second) },
	} {
		o := openingOf("")
		change(&o)
		_, err := s.Open(t.Context(), o)
		require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err), name)
	}
	require.Equal(t, "https://shop.test", s.Origin())
	require.NotContains(t, string(s.books.kept.Request), "buyer.test")
}

func TestAuthorizedThenCaptured(t *testing.T) {
	t.Parallel()
	s := sell(t, "")
	require.Equal(t, keyturn.AtProcessorAuthorized, s.pay(keyturn.SandboxPay))
	state := s.now()
	require.Equal(t, eur(1000), state.Authorized)
	require.Equal(t, eur(0), state.Captured)
	require.Equal(t, 7*24*time.Hour, state.CaptureWithin)
	require.NotEmpty(t, state.PaymentReference)
	for _, bad := range []int64{0, -1, 1001} {
		_, kind := s.capture(bad, "c1")
		require.Equal(t, keyturn.KindRejected, kind)
	}
	_, err := s.Capture(t.Context(), s.ref, keyturn.Money{Minor: 1000, Currency: "USD"}, "c1")
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	for range 2 { // a repetition captures nothing more
		state, kind := s.capture(600, "c1")
		require.Empty(t, kind)
		require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
		require.Equal(t, eur(600), state.Captured)
	}
	_, kind := s.capture(700, "c1")
	require.Equal(t, keyturn.KindRejected, kind)
	state, kind = s.capture(1000, "c2")
	require.Empty(t, kind)
	require.Equal(t, eur(600), state.Captured, "the rest was let go")
	state, err = s.Void(t.Context(), s.ref, "v1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
	require.Equal(t, []string{"authorized", "captured"}, s.events)
}

func TestWhatEndsASession(t *testing.T) {
	t.Parallel()
	s := sell(t, "")
	require.Equal(t, keyturn.AtProcessorOpen, s.pay(keyturn.SandboxCancel))
	_, err := s.Act(t.Context(), s.token, keyturn.SandboxDecline)
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	require.Equal(t, keyturn.AtProcessorOpen, s.now().Status, "a declined payment can be tried again")
	_, kind := s.capture(1000, "c1")
	require.Equal(t, keyturn.KindRejected, kind)
	state, err := s.Expire(t.Context(), s.ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorExpired, state.Status)
	require.Equal(t, keyturn.AtProcessorExpired, s.pay(keyturn.SandboxPay), "it cannot be paid any more")

	s = sell(t, "")
	s.pay(keyturn.SandboxPay)
	state, err = s.Expire(t.Context(), s.ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorAuthorized, state.Status, "it was paid already")
	state, err = s.Void(t.Context(), s.ref, "v1")
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorVoided, state.Status)
	_, err = s.Capture(t.Context(), s.ref, eur(1000), "c1")
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	require.True(t, keyturn.IsPermanent(err))

	s = sell(t, "")
	s.books.now = noon.Add(time.Hour)
	require.Equal(t, keyturn.AtProcessorExpired, s.now().Status)
}

func TestAScriptIsTroubleOnDemand(t *testing.T) {
	t.Parallel()
	const unavailable, rejected = keyturn.KindUnavailable, keyturn.KindRejected
	for _, c := range []struct {
		script string
		kinds  []keyturn.Kind // of captures of 10.00, under one key
		end    keyturn.ProcessorStatus
	}{
		{"", []keyturn.Kind{""}, keyturn.AtProcessorCaptured},
		{"capture-lost", []keyturn.Kind{unavailable, ""}, keyturn.AtProcessorCaptured},
		{"capture-refused", []keyturn.Kind{rejected, rejected}, keyturn.AtProcessorVoided},
		{"capture-fails-3", []keyturn.Kind{unavailable, unavailable, unavailable, "", ""}, keyturn.AtProcessorCaptured},
		{"capture-fails-2 capture-lost", []keyturn.Kind{unavailable, unavailable, ""}, keyturn.AtProcessorCaptured},
	} {
		s := sell(t, c.script)
		require.Equal(t, keyturn.AtProcessorAuthorized, s.pay(keyturn.SandboxPay))
		for i, want := range c.kinds {
			_, kind := s.capture(1000, "c1")
			require.Equal(t, want, kind, "%s, try %d", c.script, i+1)
			if c.script == "capture-lost" && i == 0 {
				require.Equal(t, eur(1000), s.now().Captured, "the money was taken all the same")
			}
		}
		require.Equal(t, c.end, s.now().Status, c.script)
	}
	s := sell(t, "capture-refused")
	s.pay(keyturn.SandboxPay)
	_, err := s.Capture(t.Context(), s.ref, eur(1000), "c1")
	require.True(t, keyturn.IsPermanent(err))

	s = sell(t, "runs-out-in:90s")
	s.pay(keyturn.SandboxPay)
	require.Equal(t, 90*time.Second, s.now().CaptureWithin)
	s.books.now = noon.Add(90 * time.Second)
	require.Equal(t, keyturn.AtProcessorVoided, s.now().Status)

	for script, end := range map[string]keyturn.ProcessorStatus{
		"settles:60s": keyturn.AtProcessorCaptured, "settles:60s settles-not": keyturn.AtProcessorFailed,
	} {
		s = sell(t, script)
		require.Equal(t, keyturn.AtProcessorProcessing, s.pay(keyturn.SandboxPay))
		s.books.now = noon.Add(59 * time.Second)
		require.Equal(t, keyturn.AtProcessorProcessing, s.now().Status)
		s.books.now = noon.Add(60 * time.Second)
		require.Equal(t, end, s.now().Status)
	}

	s = sell(t, "pays-other-amount")
	s.pay(keyturn.SandboxPay)
	require.Equal(t, eur(1001), s.now().Authorized)

	s = sell(t, "cannot-authorize,refund-fails-3")
	require.Equal(t, keyturn.AtProcessorCaptured, s.pay(keyturn.SandboxPay))
	require.Equal(t, eur(1000), s.now().Captured)
	require.Contains(t, s.now().PaymentReference, "refund-fails-3")

	for _, unknown := range []string{
		"sorry", "settles", "settles:x", "settles:-1s", "runs-out-in:9000h", "capture-fails-x", "capture-lost:1s",
		"refund-declined refund-fails-1",
	} {
		_, err := newSandbox(&sessions{now: noon}).Open(t.Context(), openingOf(unknown))
		require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err), unknown)
	}
}

func TestWhenTheMoneyIsTaken(t *testing.T) {
	t.Parallel()
	atOnce := func(o *payment.Opening) { o.AuthorizeFirst = false }
	require.Equal(t, keyturn.AtProcessorCaptured, sell(t, "", atOnce).pay(keyturn.SandboxPay))
	require.Equal(t, keyturn.AtProcessorProcessing, sell(t, "").pay(keyturn.SandboxPayLate))

	only := func(o *payment.Opening) { o.AuthorizeOnly = true }
	require.Equal(t, keyturn.AtProcessorAuthorized, sell(t, "", only).pay(keyturn.SandboxPay))
	for script, a := range map[string]keyturn.SandboxAction{
		"": keyturn.SandboxPayLate, "cannot-authorize": keyturn.SandboxPay,
	} {
		s := sell(t, script, only)
		_, err := s.Act(t.Context(), s.token, a)
		require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
		require.Equal(t, keyturn.AtProcessorOpen, s.now().Status)
	}
}

func TestTheClockCanBeMoved(t *testing.T) {
	t.Parallel()
	s := sell(t, "")
	s.pay(keyturn.SandboxPay)
	s.Clock = func(now time.Time) time.Time { return now.Add(8 * 24 * time.Hour) }
	require.Equal(t, keyturn.AtProcessorVoided, s.now().Status)
}

func TestEventsOfTheSandboxAreSigned(t *testing.T) {
	t.Parallel()
	x := newSandbox(nil)
	sent := payment.Event{
		ID: "evt_1", Type: "session.captured", SessionReference: "sbx_1", PaymentReference: "sbxp_1", Outcome: keyturn.Paid,
	}
	body, header := x.SignedEvent(sent, noon)
	for _, at := range []time.Time{noon, noon.Add(5 * time.Minute), noon.Add(-5 * time.Minute)} {
		got, err := x.Event(body, header, at)
		require.NoError(t, err)
		require.Equal(t, sent, got)
	}
	other := newSandbox(nil)
	other.Secret = []byte("another")
	signature := header.Get(payment.SandboxSignature)
	for name, c := range map[string]struct {
		by        payment.Sandbox
		body      string
		signature string
		at        time.Time
	}{
		"another secret": {other, string(body), signature, noon},
		"a changed byte": {x, strings.Replace(string(body), "sbx_1", "sbx_2", 1), signature, noon},
		"cut":            {x, string(body[:len(body)-1]), signature, noon},
		"too old":        {x, string(body), signature, noon.Add(5*time.Minute + time.Second)},
		"of the future":  {x, string(body), signature, noon.Add(-5*time.Minute - time.Second)},
		"another time":   {x, string(body), strings.Replace(signature, "t=", "t=1", 1), noon},
		"no signature":   {x, string(body), "", noon},
		"no hex":         {x, string(body), signature + "x", noon},
	} {
		h := http.Header{}
		h.Set(payment.SandboxSignature, c.signature)
		_, err := c.by.Event([]byte(c.body), h, c.at)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), name)
	}
}
