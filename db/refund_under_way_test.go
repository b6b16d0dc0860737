package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) underWay(f string, p RefundProgress) keyturn.Next {
	s.t.Helper()
	p.ID = "re_1"
	next, err := s.RefundUnderWay(s.ctx, f, p, time.Minute, renderMail)
	require.NoError(s.t, err)
	return next
}

// A refund that the provider has taken on keeps its line CANCELING until it has come through.
func TestARefundThatIsUnderWay(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	_, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	next := s.underWay(f, RefundProgress{})
	require.Equal(t, keyturn.DoRefund, next.Do)
	require.Equal(t, keyturn.LineCanceling, s.status(f))
	require.Zero(t, s.alerts("closed_at IS NULL"))
	s.underWay(f, RefundProgress{NeedsCustomer: true})
	require.Equal(t, 1, s.alerts("cause = 'Refund' AND closed_at IS NULL"))
	s.underWay(f, RefundProgress{})
	require.Zero(t, s.alerts("closed_at IS NULL"), "the customer has answered")
	s.refunded(f)
	require.Equal(t, keyturn.LineCanceled, s.status(f))
	s.underWay(f, RefundProgress{})
	require.Equal(t, "DONE", read[string](s, `SELECT status FROM refunds`), "a late look changes nothing")
}

// After ten days it counts as done, and a person looks; a failure for good ends it at once.
func TestARefundThatDoesNotComeThrough(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	_, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	s.underWay(f, RefundProgress{})
	s.later(RefundMost - time.Hour)
	s.underWay(f, RefundProgress{})
	require.Equal(t, keyturn.LineCanceling, s.status(f))
	s.later(time.Hour)
	require.Equal(t, keyturn.DoNothing, s.underWay(f, RefundProgress{}).Do)
	require.Equal(t, keyturn.LineCanceled, s.status(f))
	require.Equal(t, 1, s.alerts("cause = 'RefundPending' AND closed_at IS NULL"))
	require.Equal(t, "re_1", read[string](s, `SELECT provider_id FROM refunds WHERE failed_at IS NULL`))

	f = s.canceling()
	_, _, err = s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	s.underWay(f, RefundProgress{Failed: true})
	require.Equal(t, keyturn.LineCanceled, s.status(f))
	require.Equal(t, 1, s.alerts("cause = 'RefundFailed' AND closed_at IS NULL"))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM refunds WHERE failed_at IS NOT NULL`))
}

// The same of a payment without an order.
func TestAPaymentsRefundThatIsUnderWay(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	owes := func(key string) string {
		id, token := s.link(linkOf(key, "game"))
		pay := s.openPayment(token)
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
		s.processorSays(pay, s.capturedAs(pay, 1000))
		require.Equal(t, keyturn.LinkOpen, s.linkStatus(id))
		due, _, err := s.BeginPaymentRefund(s.ctx, pay)
		require.NoError(t, err)
		require.EqualValues(t, 1000, due.Amount.Minor)
		return pay
	}
	pay := owes("a")
	owed := func() string { return read[string](s, `SELECT status FROM payment_refunds WHERE payment_id = $1`, pay) }
	_, err := s.PaymentRefundUnderWay(s.ctx, pay, RefundProgress{ID: "re_1", NeedsCustomer: true})
	require.NoError(t, err)
	require.Equal(t, "PENDING", owed())
	require.Equal(t, 1, s.alerts("cause = 'Refund' AND closed_at IS NULL"))
	s.later(RefundMost)
	_, err = s.PaymentRefundUnderWay(s.ctx, pay, RefundProgress{ID: "re_1"})
	require.NoError(t, err)
	require.Equal(t, "DONE", owed())
	require.Equal(t, 1, s.alerts("cause = 'RefundPending' AND closed_at IS NULL"))
	require.Zero(t, s.alerts("cause = 'Refund' AND closed_at IS NULL"))

	pay = owes("b")
	_, err = s.PaymentRefundUnderWay(s.ctx, pay, RefundProgress{ID: "re_2", Failed: true})
	require.NoError(t, err)
	require.Equal(t, 1, s.alerts("cause = 'RefundFailed' AND closed_at IS NULL"))
	require.Equal(t, "DONE", owed())
}
