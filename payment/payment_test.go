package payment_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// ledger is one that counts tries and refuses nothing; the real one is tried in package db.
type ledger struct {
	tries map[string]int
	err   error
}

func (l *ledger) LedgerRefund(_ context.Context, key, _, _ string, _ keyturn.Money, refuse func(int) bool) (string,
	error,
) {
	before := l.tries[key]
	l.tries[key]++
	if l.err != nil || refuse(before) {
		return "", l.err
	}
	return "refund of " + key, nil
}

func refund(reference string) payment.Refund {
	return payment.Refund{
		IdempotencyKey: "k-" + reference, Reference: reference, OrderID: "o1",
		Amount: keyturn.Money{Minor: 1000, Currency: "EUR"},
	}
}

func TestSandboxDoesWhatTheReferenceSays(t *testing.T) {
	t.Parallel()
	const again, no = keyturn.KindUnavailable, keyturn.KindRejected
	for _, c := range []struct {
		reference string
		want      []keyturn.Kind // of each attempt
		id        string         // of the last
	}{
		{"pay_1", []keyturn.Kind{"", ""}, "refund of k-pay_1"},
		{"pay-refund-fails-3-x", []keyturn.Kind{again, again, again, "", ""}, "refund of k-pay-refund-fails-3-x"},
		{"refund-fails-0", []keyturn.Kind{""}, "refund of k-refund-fails-0"},
		{"refund-fails-", []keyturn.Kind{""}, "refund of k-refund-fails-"},
		{"refund-fails-x", []keyturn.Kind{""}, "refund of k-refund-fails-x"},
		{"refund-fails-99999999999999999999", []keyturn.Kind{again, again}, ""},
		{"pay-refund-declined", []keyturn.Kind{no, no}, ""},
		{"already-refunded", []keyturn.Kind{"", ""}, "sandbox-already-refunded"},
	} {
		sandbox := payment.Sandbox{Ledger: &ledger{tries: map[string]int{}}}
		var id string
		for i, want := range c.want {
			var err error
			id, err = sandbox.Refund(t.Context(), refund(c.reference))
			require.Equal(t, want, keyturn.KindOf(err), "%s, try %d: %v", c.reference, i+1, err)
		}
		require.Equal(t, c.id, id, c.reference)
	}
}

func TestSandboxPassesErrorsOn(t *testing.T) {
	t.Parallel()
	sandbox := payment.Sandbox{Ledger: &ledger{
		tries: map[string]int{},
		err:   keyturn.Errorf(keyturn.KindRejected, "more than was captured"),
	}}
	_, err := sandbox.Refund(t.Context(), refund("pay_1"))
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	sandbox = payment.Sandbox{Ledger: &ledger{tries: map[string]int{}, err: errors.New("down")}}
	_, err = sandbox.Refund(t.Context(), refund("pay_1"))
	require.EqualError(t, err, "down")
}

func TestProviders(t *testing.T) {
	t.Parallel()
	books := &ledger{tries: map[string]int{}}
	providers := payment.Providers{payment.SandboxName: payment.Sandbox{Ledger: books}}
	id, err := providers.Refund(t.Context(), "sandbox", refund("pay_1"))
	require.NoError(t, err)
	require.Equal(t, "refund of k-pay_1", id)

	_, err = providers.Refund(t.Context(), "stripe", refund("pay_1"))
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.ErrorContains(t, err, "stripe")

	free := refund("pay_free")
	free.Amount.Minor = 0
	_, err = providers.Refund(t.Context(), "stripe", free)
	require.NoError(t, err, "nothing was paid, so nobody is asked")
	require.Zero(t, books.tries["k-pay_free"])
}
