package stripe_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// repay asks for a refund once more, as those who owe it do.
func (s *sale) repay(id string, minor int64, known payment.Repetition) (string, error) {
	s.Helper()
	return payment.Providers{stripe.Name: s.Processor}.Repay(s.Context(), stripe.Name, payment.Refund{
		ID: id, Reference: s.ref.PaymentReference, OrderID: "o1", Amount: eur(minor),
	}, "refund-"+id, known, func(context.Context) (int, error) { return known.No + 1, nil })
}

func (s *sale) refunds() []emulator.Refund { return s.emulator.Books().Refunds }

func (s *sale) charged(card string) *sale {
	s.Helper()
	s.opening.AuthorizeFirst = false
	require.Equal(s, keyturn.AtProcessorCaptured, s.paid(emulator.Card(card)).Status)
	return s
}

// However its answers go wrong and however often it is asked for, a refund is made once.
func TestARefundIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, f := range []emulator.Fault{
		"", emulator.Lost, emulator.Cut, emulator.Failed, emulator.FailedAfter, emulator.InUse, emulator.Limited,
	} {
		s := sell(t).charged("")
		s.fault("refund.create", f)
		first := payment.Repetition{No: 1}
		_, err := s.repay("line-1", 400, first)
		require.Equal(t, f == "", err == nil, "%s: %v", f, err)
		next := first // most may be asked for at once
		if f == emulator.Failed {
			_, err = s.repay("line-1", 400, payment.Repetition{No: 1, Failed: 14 * time.Minute})
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "it may still come")
			require.Empty(t, s.refunds())
			next.Failed = 16 * time.Minute // it is made under another key
		}
		id, err := s.repay("line-1", 400, next)
		require.NoError(t, err, f)
		s.emulator.Advance(25 * time.Hour) // its keys are forgotten
		again, err := s.repay("line-1", 400, payment.Repetition{No: 1, Since: 25 * time.Hour})
		require.NoError(t, err)
		require.Equal(t, id, again, f)
		other, err := s.repay("line-2", 600, first)
		require.NoError(t, err)
		require.NotEqual(t, id, other)
		require.Len(t, s.refunds(), 2, f)
	}
}

func TestRefundsThatTakeTime(t *testing.T) {
	t.Parallel()
	s := sell(t).charged(emulator.CardRefundLate)
	status := func(id string) (payment.RefundStatus, error) {
		_, err := s.repay(id, 400, payment.Repetition{No: 1})
		if taken, ok := errorsAs(err); ok {
			return taken.Status, err
		}
		return "", err
	}
	got, err := status("line-1")
	require.Equal(t, payment.RefundUnderWay, got, "%v", err)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	s.emulator.Advance(time.Hour)
	_, err = status("line-1")
	require.NoError(t, err)
	require.Len(t, s.refunds(), 1)

	s = sell(t).charged(emulator.CardRefundFails)
	_, err = s.repay("line-1", 400, payment.Repetition{No: 1})
	require.NoError(t, err)
	s.emulator.Advance(2 * time.Hour)
	got, err = status("line-1")
	require.Equal(t, payment.RefundFailed, got, "%v", err)
}

func TestRefundsOfWhatCameInPaidAndOfWhatWentBack(t *testing.T) {
	t.Parallel()
	s := sell(t)
	s.ref.PaymentReference = s.emulator.PaidElsewhere(1000, "eur", nil, emulator.Card(""))
	id, err := s.repay("line-1", 1000, payment.Repetition{No: 1})
	require.NoError(t, err)
	require.Equal(t, "re_", id[:3])
	_, err = s.repay("line-2", 100, payment.Repetition{No: 1})
	require.NoError(t, err, "all of it went back")

	s.ref.PaymentReference = s.emulator.PaidElsewhere(1000, "eur", nil, emulator.Card(""))
	_, err = s.repay("line-3", 1001, payment.Repetition{No: 1})
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err), "more than was taken")
	s.ref.PaymentReference = "ch_1"
	_, err = s.Refund(t.Context(), payment.Refund{Reference: "ch_1", Amount: eur(1), IdempotencyKey: "k"})
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
}

func errorsAs(err error) (*payment.RefundError, bool) {
	return errors.AsType[*payment.RefundError](err)
}
