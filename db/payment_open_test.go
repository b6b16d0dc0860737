package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A session is opened under the next key only where the one before was answered with a failure, once.
func TestNextOpenKey(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k", "game"))
	begun, err := s.beginPayment(token)
	require.NoError(t, err)
	facts, err := s.Payment(s.ctx, begun.ID)
	require.NoError(t, err)
	require.Equal(t, 1, facts.OpenNo)
	require.Zero(t, facts.OpenFailed)
	require.NoError(t, s.OpenFailed(s.ctx, begun.ID, 2)) // of a key that is not used yet: too late or too early
	require.NoError(t, s.OpenFailed(s.ctx, begun.ID, 1))
	s.later(10 * time.Minute)
	require.NoError(t, s.OpenFailed(s.ctx, begun.ID, 1))
	facts, err = s.Payment(s.ctx, begun.ID)
	require.NoError(t, err)
	require.GreaterOrEqual(t, facts.OpenFailed, 10*time.Minute, "since it first failed")
	no, err := s.NextOpenKey(s.ctx, begun.ID, 1)
	require.NoError(t, err)
	require.Equal(t, 2, no)
	_, err = s.NextOpenKey(s.ctx, begun.ID, 1)
	wantKind(t, err, keyturn.KindConflict)
	facts, err = s.Payment(s.ctx, begun.ID)
	require.NoError(t, err)
	require.Equal(t, 2, facts.OpenNo)
	require.Zero(t, facts.OpenFailed)
	s.processorSays(begun.ID, keyturn.ProcessorState{
		Status: keyturn.AtProcessorOpen, SessionReference: "cs_1", URL: "https://pay.test/1",
	})
	_, err = s.NextOpenKey(s.ctx, begun.ID, 2)
	wantKind(t, err, keyturn.KindConflict)
}

// A payment whose processor is gone ends if nobody has asked for its session, and only then.
func TestAPaymentWhoseProcessorIsGone(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	never, token := s.link(linkOf("never", "game"))
	begun, err := s.beginPayment(token)
	require.NoError(t, err)
	next, err := s.ProcessorMissing(s.ctx, begun.ID)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentExpired, next.Status)
	require.Equal(t, keyturn.LinkOpen, s.linkStatus(never))
	require.Equal(t, 1, s.alerts("cause = 'ProcessorRefuses' AND closed_at IS NULL"))
	wantKind(t, s.BeginOpening(s.ctx, begun.ID), keyturn.KindConflict)

	_, token = s.link(linkOf("asked", "game"))
	begun, err = s.beginPayment(token)
	require.NoError(t, err)
	require.NoError(t, s.BeginOpening(s.ctx, begun.ID))
	require.NoError(t, s.BeginOpening(s.ctx, begun.ID))
	next, err = s.ProcessorMissing(s.ctx, begun.ID)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentCreated, next.Status, "it may have been paid")

	_, token = s.link(linkOf("race", "game"))
	s.exec(`UPDATE checkout_links SET payments_most = 100`)
	// who opens it and who gives it up at the same moment do not both succeed
	for range 10 {
		begun, err = s.beginPayment(token)
		require.NoError(t, err)
		var opens error
		atOnce(2, func(who int) (err error) {
			if who == 0 {
				opens = s.BeginOpening(s.ctx, begun.ID)
				return nil
			}
			_, err = s.ProcessorMissing(s.ctx, begun.ID)
			return err
		})
		if opens == nil {
			require.Equal(t, keyturn.PaymentCreated, s.paymentStatus(begun.ID))
			_, err = s.NeverOpened(s.ctx, begun.ID)
			require.NoError(t, err)
		}
		require.Equal(t, keyturn.PaymentExpired, s.paymentStatus(begun.ID))
	}
}
