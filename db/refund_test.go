package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// canceling gives a line that is owed its money.
func (s *shop) canceling() string {
	s.t.Helper()
	if _, err := s.Product(s.ctx, "game"); err != nil {
		s.product("game", fromPool("p"))
	}
	f := s.sell("game")
	s.resolve(f, keyturn.ActionRefund)
	return f
}

func TestRefund(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	due, next, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoRefund, next.Do)
	require.EqualValues(t, 1000, due.Minor)
	require.Equal(t, "EUR", due.Currency)
	require.Equal(t, 1, due.Attempts)
	require.Equal(t, keyturn.OrderCancelPending, s.orderStatus(f))

	next, err = s.FinishRefund(s.ctx, f, "re_1", renderMail)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoNothing, next.Do)
	again, err := s.FinishRefund(s.ctx, f, "re_2", renderMail)
	require.NoError(t, err)
	require.Equal(t, next, again)
	require.Equal(t, "re_1", read[string](s, `SELECT provider_id FROM refunds`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM deliveries WHERE kind = 'canceled'`),
		"the customer is told once")
	none, next, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, keyturn.DoNothing, next.Do)
}

// A refund that does not come through stays owed. A slow or refused one is somebody's business.
func TestFailedRefunds(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	fail := func(kind keyturn.Kind) {
		due, _, err := s.BeginRefund(s.ctx, f)
		require.NoError(t, err)
		require.NoError(t, s.FailRefund(s.ctx, f, due, keyturn.Errorf(kind, "no"), time.Second))
		require.Equal(t, keyturn.LineCanceling, s.status(f))
	}
	fail(keyturn.KindUnavailable)
	require.Zero(t, s.alerts("closed_at IS NULL"), "a hiccup")
	s.later(slowRefund)
	fail(keyturn.KindUnavailable)
	require.Equal(t, 1, s.alerts("cause = 'Refund' AND closed_at IS NULL"))

	f = s.canceling()
	fail(keyturn.KindRejected)
	require.Equal(t, 2, s.alerts("cause = 'Refund' AND closed_at IS NULL"), "at once")
	s.refunded(f)
	require.Equal(t, 1, s.alerts("cause = 'Refund' AND closed_at IS NULL"))

	f = s.canceling()
	due, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	due.Disputed = true
	require.NoError(t, s.FailRefund(s.ctx, f, due, keyturn.Errorf(keyturn.KindConflict, "disputed"), time.Second))
	require.Equal(t, 1, s.alerts("cause = 'Refund' AND detail LIKE '%the refund waits: the customer disputes%'"))
}

// An e-mail that cannot be made does not undo the refund.
func TestRefundWithoutItsEmail(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	next, err := s.FinishRefund(s.ctx, f, "re_1", func(MailFacts) ([]byte, error) {
		return nil,
			keyturn.Errorf(keyturn.KindInvalid, "no")
	})
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceled, next.Status)
}

// A retry that succeeds while the refund begins cannot do both.
func TestRefundRacesDelivery(t *testing.T) {
	s := newShop(t)
	for range 20 {
		f := s.obtained()
		var began *Delivery
		var refundErr error
		atOnce(2, func(who int) (err error) {
			if who == 0 {
				began, _, _, err = s.BeginDelivery(s.ctx, f, renderMail)
			} else {
				_, refundErr = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
			}
			return err
		})
		if refundErr == nil {
			require.Nil(t, began, "the keys do not go out for a line that is refunded")
			s.refunded(f)
		} else {
			wantKind(t, refundErr, keyturn.KindConflict)
			_, err := s.FinishDelivery(s.ctx, f, began, nil, false)
			require.NoError(t, err)
		}
	}
}

func TestLedger(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("o1", lineOf("game", 1), lineOf("game", 1), lineOf("game", 1)) // 30.00 EUR
	euro := func(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: "EUR"} }
	refund := func(key string, m keyturn.Money) (string, error) {
		return s.LedgerRefund(s.ctx, key, "pay-o1", "o1", m, never)
	}
	first, err := refund("a", euro(1000))
	require.NoError(t, err)
	again, err := refund("a", euro(1000))
	require.NoError(t, err)
	require.Equal(t, first, again, "one key is one refund")
	_, err = refund("b", euro(1500))
	require.NoError(t, err)
	_, err = refund("c", euro(501))
	wantKind(t, err, keyturn.KindRejected)
	_, err = refund("c", euro(500))
	require.NoError(t, err)
	_, err = refund("d", euro(1))
	wantKind(t, err, keyturn.KindRejected)
	_, err = refund("e", keyturn.Money{Minor: 1, Currency: "USD"})
	wantKind(t, err, keyturn.KindRejected)
	_, err = s.LedgerRefund(s.ctx, "f", "no such payment", "o1", euro(1), never)
	wantKind(t, err, keyturn.KindRejected)
	require.Equal(t, 3000, read[int](s, `SELECT sum(amount_minor) FROM sandbox_refunds WHERE applied_at IS NOT NULL`))
}

func TestLedgerUnderConcurrency(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("o1", lineOf("game", 1)) // 10.00 EUR
	errs := atOnce(16, func(i int) error {
		_, err := s.LedgerRefund(s.ctx, string(rune('a'+i/2)), "pay-o1", "o1", keyturn.Money{Minor: 400, Currency: "EUR"},
			never)
		return err
	})
	for _, err := range errs {
		if err != nil {
			wantKind(t, err, keyturn.KindRejected)
		}
	}
	require.Equal(t, 800, read[int](s, `SELECT sum(amount_minor) FROM sandbox_refunds WHERE applied_at IS NOT NULL`))
}

func TestLedgerCountsTries(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("o1", lineOf("game", 1))
	for try := range 4 {
		id, err := s.LedgerRefund(s.ctx, "k", "pay-o1", "o1", keyturn.Money{Minor: 1000, Currency: "EUR"},
			func(before int) bool {
				require.Equal(t, try, before)
				return before < 3
			})
		require.NoError(t, err)
		require.Equal(t, try < 3, id == "")
	}
}

// A line past its deadline whose refund is tried again later, or was woken just now, is left alone; one whose workflow
// does not move is woken, once in the given time.
func TestARefundThatIsTriedLaterIsNotForgotten(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	wake := func(want int, why string) {
		t.Helper()
		n, err := s.WakeForgotten(s.ctx, 10*time.Minute)
		require.NoError(t, err)
		require.Equal(t, want, n, why)
		s.exec(`UPDATE line_items SET wake_at = NULL`) // the relay has been
	}
	due, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	s.later(1000 * time.Hour) // past every deadline
	require.NoError(t, s.FailRefund(s.ctx, f, due, keyturn.Errorf(keyturn.KindUnavailable, "down"), 20*time.Minute))
	wake(0, "it is tried again in 20 minutes")
	s.later(31 * time.Minute)
	wake(1, "it was not tried")
	wake(0, "it was woken just now")
	s.later(11 * time.Minute)
	wake(1, "it still was not tried")
}
