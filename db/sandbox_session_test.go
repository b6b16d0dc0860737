package db

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	processor "keyturn.dev/keyturn/payment"
)

// sandboxSale is a session of the sandbox for 20.00 EUR, and the token of its page.
func (s *shop) sandboxSale(script string) (x processor.Sandbox, o processor.Opening, ref processor.Ref, token string) {
	s.t.Helper()
	x = processor.Sandbox{Ledger: s.DB, Sessions: s.DB, PublicURL: "https://shop.test", Secret: s.SandboxSecret()}
	o = processor.Opening{
		Key: "open-" + newID(), PaymentID: newID(), OrderID: "order-" + newID(), Currency: "EUR", Total: s.euro(2000),
		Lines:          []processor.OpeningLine{{Name: "Game", UnitPrice: s.euro(1000), Quantity: 2}},
		AuthorizeFirst: true, ExpiresAt: time.Now().Add(2 * time.Hour), ReturnURL: "https://shop.test/c/x/return",
		BackURL: "https://shop.test/c/x", AdditionalData: map[string]string{"sandbox": script},
	}
	state, err := x.Open(s.ctx, o)
	require.NoError(s.t, err)
	ref = processor.Ref{PaymentID: o.PaymentID, SessionReference: state.SessionReference}
	return x, o, ref, strings.TrimPrefix(state.URL, "https://shop.test/sandbox/pay/")
}

func TestTheSandboxOpensASessionOnce(t *testing.T) {
	s := newShop(t)
	x, o, ref, token := s.sandboxSale("capture-lost")
	for _, err := range atOnce(8, func(int) error {
		again, err := x.Open(s.ctx, o)
		if err == nil && again.SessionReference != ref.SessionReference {
			return errUndo
		}
		return err
	}) {
		require.NoError(t, err)
	}
	o.Total.Minor++
	_, err := x.Open(s.ctx, o)
	wantKind(t, err, keyturn.KindRejected)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM sandbox_sessions`))

	session, err := x.Session(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, []keyturn.SandboxLine{{Name: "Game", UnitPrice: "10.00", Quantity: 2}}, session.Lines)
	require.Equal(t, "capture-lost", session.Script)
	byPayment, err := x.Retrieve(s.ctx, processor.Ref{PaymentID: o.PaymentID})
	require.NoError(t, err, "whose session was never heard of")
	require.Equal(t, ref.SessionReference, byPayment.SessionReference)
	for _, unknown := range []processor.Ref{
		{}, {SessionReference: "sbx_1", PaymentID: o.PaymentID}, {PaymentReference: "sbxp_1"}, {PaymentID: newID()},
	} {
		_, err = x.Retrieve(s.ctx, unknown)
		wantKind(t, err, keyturn.KindNotFound)
	}
	_, err = x.Session(s.ctx, "guessed")
	wantKind(t, err, keyturn.KindNotFound)
}

// However many processes capture, and whatever is heard of it, the customer is charged once.
func TestTheSandboxCapturesOnce(t *testing.T) {
	s := newShop(t)
	x, o, ref, token := s.sandboxSale("capture-lost")
	for _, err := range atOnce(4, func(int) error {
		_, err := x.Act(s.ctx, token, keyturn.SandboxPay)
		return err
	}) {
		require.NoError(t, err)
	}
	state, err := x.Retrieve(s.ctx, ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorAuthorized, state.Status)
	require.Zero(t, read[int](s, `SELECT count(*) FROM sandbox_payments`))

	lost := 0
	for _, err := range atOnce(4, func(int) error {
		_, err := x.Capture(s.ctx, ref, s.euro(1500), "capture-1")
		return err
	}) {
		if keyturn.KindOf(err) == keyturn.KindUnavailable {
			lost++
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, 1, lost)
	state, err = x.Retrieve(s.ctx, processor.Ref{PaymentReference: state.PaymentReference})
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
	require.Equal(t, s.euro(1500), state.Captured)
	require.Equal(t, []int64{1500}, reads[int64](s, `SELECT captured_minor FROM sandbox_payments WHERE order_id = $1`,
		o.OrderID))

	refund := processor.Refund{
		IdempotencyKey: "refund-1", Reference: state.PaymentReference, OrderID: o.OrderID, Amount: s.euro(1000),
	}
	for range 2 {
		_, err = x.Refund(s.ctx, refund)
		require.NoError(t, err)
	}
	refund.IdempotencyKey = "refund-2"
	_, err = x.Refund(s.ctx, refund)
	wantKind(t, err, keyturn.KindRejected)
	state, err = x.Retrieve(s.ctx, ref)
	require.NoError(t, err)
	require.Equal(t, s.euro(1000), state.Refunded)
}

func TestTheSandboxSettlesLater(t *testing.T) {
	s := newShop(t)
	x, _, ref, token := s.sandboxSale("settles:60s pays-other-amount")
	_, err := x.Act(s.ctx, token, keyturn.SandboxPay)
	require.NoError(t, err)
	state, err := x.Expire(s.ctx, ref)
	require.NoError(t, err)
	require.Equal(t, keyturn.AtProcessorProcessing, state.Status, "it cannot be ended any more")
	x.Clock = func(now time.Time) time.Time { return now.Add(time.Minute) }
	for range 2 {
		state, err = x.Retrieve(s.ctx, ref)
		require.NoError(t, err)
		require.Equal(t, keyturn.AtProcessorCaptured, state.Status)
		require.Equal(t, s.euro(2001), state.Captured)
	}
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM sandbox_payments`))
}
