package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var noAnswer = keyturn.Errorf(keyturn.KindUnavailable, "no answer")

// capturing sells a line by a link and asks for its capture, whose answer is to come.
func (s *shop) capturing(products ...string) (pay string, lines []string, due *CaptureDue) {
	s.t.Helper()
	s.product("game", fromPool("p"))
	s.product("late", fromPool("empty"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", products...))
	pay = s.openPayment(token)
	for _, start := range s.processorSays(pay, s.authorized(pay, int64(1000*len(products)))).Accepted.Starts {
		lines = append(lines, start.FulfillmentID)
		s.claimed(start.FulfillmentID)
	}
	due, _, _, err := s.BeginCapture(s.ctx, lines[0])
	require.NoError(s.t, err)
	require.NotNil(s.t, due)
	return pay, lines, due
}

func (s *shop) clock() time.Time {
	s.t.Helper()
	return read[time.Time](s, `SELECT clock_timestamp()`)
}

// What a processor said before a capture was tried does not prove that the capture took nothing.
func TestAnOldAnswerProvesNothingOfACapture(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.claimed(f)
	before := s.clock()
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	during := s.clock()
	_, err = s.FailCapture(s.ctx, f, due, noAnswer)
	require.NoError(t, err)

	giveUp := func() error {
		_, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
		return err
	}
	for _, asked := range []time.Time{before, during} {
		state := s.authorized(pay, 1000)
		state.AskedAt = asked
		s.processorSays(pay, state)
		wantKind(t, giveUp(), keyturn.KindConflict)
	}
	s.processorSays(pay, s.authorized(pay, 1000))
	require.NoError(t, giveUp())
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	s.refunded(f)
}

// What a process finds out that another one has overtaken leaves that one's lease alone, unless it is how the payment
// ended.
func TestACaptureThatWasOvertaken(t *testing.T) {
	s := newShop(t)
	pay, lines, _ := s.capturing("game")
	s.later(captureLease)
	second, _, _, err := s.BeginCapture(s.ctx, lines[0])
	require.NoError(t, err)
	require.True(t, second.Look)
	_, err = s.FinishCapture(s.ctx, lines[0], s.authorized(pay, 1000))
	require.NoError(t, err)
	_, err = s.Resolve(s.ctx, lines[0], keyturn.Resolution{Action: keyturn.ActionRefund})
	wantKind(t, err, keyturn.KindConflict)
	next, err := s.FinishCapture(s.ctx, lines[0], s.capturedAs(pay, 1000))
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
}

// A capture that takes effect after its authorization was let go: what was given up as not charged goes back by the
// payment, what is yet to be given up by its own refund, and nothing twice.
func TestACaptureThatCameLate(t *testing.T) {
	s := newShop(t)
	pay, lines, due := s.capturing("game", "late")
	_, err := s.FailCapture(s.ctx, lines[0], due, noAnswer)
	require.NoError(t, err)
	s.exec(`UPDATE payments SET capture_by = now() WHERE id = $1`, pay)
	s.processorSays(pay, s.authorized(pay, 2000))
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	next, err := s.Review(s.ctx, lines[0])
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)

	s.processorSays(pay, s.capturedAs(pay, 2000))
	for _, told := range s.paymentMails(pay) {
		if told.Kind == keyturn.MailEnded {
			require.True(t, told.Returned)
			require.Equal(t, s.euro(1000), told.Paid, "the other line tells of its own refund")
			require.Len(t, told.Items, 1)
		}
	}
	owed, _, err := s.BeginPaymentRefund(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, s.euro(1000), owed.Amount)
	id, err := s.LedgerRefund(s.ctx, "refund-"+pay, owed.Reference, owed.OrderID, owed.Amount, never)
	require.NoError(t, err)
	_, err = s.FinishPaymentRefund(s.ctx, pay, id)
	require.NoError(t, err)

	next, err = s.Review(s.ctx, lines[1])
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	for i, minor := range []int64{0, 1000} {
		refund, _, err := s.BeginRefund(s.ctx, lines[i])
		require.NoError(t, err)
		require.Equal(t, minor, refund.Minor)
		s.refunded(lines[i])
	}
	require.Equal(t, 2000, read[int](s, `SELECT sum(amount_minor) FROM sandbox_refunds WHERE applied_at IS NOT NULL`))
}

// A capture without an answer is booked also past the line's time: it must be known first whether the money was taken.
func TestACaptureWithoutAnAnswerPastTheDeadline(t *testing.T) {
	s := newShop(t)
	pay, lines, due := s.capturing("game")
	s.exec(`UPDATE payments SET capture_by = now() - interval '1 second' WHERE id = $1`, pay)
	next, err := s.FailCapture(s.ctx, lines[0], due, noAnswer)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Equal(t, keyturn.DoCapture, next.Do)
	require.GreaterOrEqual(t, time.Duration(next.Wait), captureFirst-time.Second)
	require.Equal(t, 1, s.alerts("cause = 'Capture' AND closed_at IS NULL"))
	s.processorSays(pay, s.authorized(pay, 1000))
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	next, err = s.Review(s.ctx, lines[0])
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	s.refunded(lines[0])
}

// A line whose capture fails until its own time is over is given up, uncharged.
func TestACaptureThatFailsUntilTheDeadline(t *testing.T) {
	s := newShop(t)
	pay, lines, due := s.capturing("game")
	_, err := s.FailCapture(s.ctx, lines[0], due, noAnswer)
	require.NoError(t, err)
	s.processorSays(pay, s.authorized(pay, 1000))
	s.exec(`UPDATE payments SET capture_by = now() WHERE id = $1`, pay)
	due, next, _, err := s.BeginCapture(s.ctx, lines[0])
	require.NoError(t, err)
	require.Nil(t, due)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	s.refunded(lines[0])
}

// An answer from before an authorization is let go does not put that off.
func TestAnOldAnswerPutsNothingOffThatIsToBeLetGo(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.claimed(f)
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
	require.NoError(t, err)
	s.exec(`DELETE FROM payment_mails`) // they go first
	for range 2 {
		next := s.processorSays(pay, s.authorized(pay, 1000)).Next
		require.Equal(t, keyturn.PaymentDoVoid, next.Do)
		require.LessOrEqual(t, time.Duration(next.Wait), 10*time.Second)
	}
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	s.refunded(f)
}

// A look while somebody captures does not put off the next one: whoever captures may have died.
func TestALookDuringACaptureIsNotTheLast(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	pay, f := s.paidLink("k1")
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.NotNil(t, due)
	s.exec(`UPDATE payments SET looks = 3`) // the next one would be in an hour
	s.processorSays(pay, s.authorized(pay, 1000))
	require.Equal(t, 1, s.count(`payments WHERE status = 'CAPTURING' AND look_at <= capture_until`))
}
