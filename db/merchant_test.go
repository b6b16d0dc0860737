package db

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A token with a prefix may not name a payment of somebody else's order, whose money its cancellation would give back.
// Orders of one merchant share a payment, also when they come at once.
func TestAMerchantsOrdersNameNoPaymentOfAnother(t *testing.T) {
	s := newShop(t)
	for _, prefix := range []string{"", "m42:", "m43:"} {
		s.put(keyturn.Product{ID: prefix + "byhand", Name: "By hand", Sources: []keyturn.Source{byHand}})
	}
	accept := func(prefix keyturn.Prefix, provider, reference string) error {
		in := orderOf(string(prefix)+uuid.NewString(), lineOf(string(prefix)+"byhand", 1))
		in.Prefix, in.Order.Payment = prefix, keyturn.Payment{Provider: provider, Reference: reference}
		_, _, err := s.Accept(s.ctx, in)
		return err
	}
	require.NoError(t, accept("m42:", "psp", "pay_1"))
	require.NoError(t, accept("m42:", "psp", "pay_1"), "its own")
	err := accept("m43:", "psp", "pay_1")
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	e, _ := errors.AsType[*keyturn.Error](err)
	require.Equal(t, "payment.reference", e.Fields[0].Location)
	require.NoError(t, accept("m43:", "other", "pay_1"), "at another provider it is another payment")
	require.NoError(t, accept("", "psp", "pay_2"))
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(accept("m42:", "psp", "pay_2")), "no merchant's")
	require.NoError(t, accept("", "psp", "pay_1"), "a token for all")
	require.NoError(t, accept("m42:", keyturn.PaymentNone, "free"))
	require.NoError(t, accept("m43:", keyturn.PaymentNone, "free"), "there is no money")

	const rounds, each = 10, 3
	for i := range rounds {
		reference := "race_" + strconv.Itoa(i)
		var all sync.WaitGroup
		for range each {
			for _, prefix := range []keyturn.Prefix{"m42:", "m43:"} {
				all.Go(func() {
					if kind := keyturn.KindOf(accept(prefix, "psp", reference)); kind != "" && kind != keyturn.KindConflict {
						t.Errorf("%s: %s", prefix, kind)
					}
				})
			}
		}
		all.Wait()
		require.Equal(t, []int{1, each}, []int{
			read[int](s, `SELECT count(DISTINCT split_part(id, ':', 1)) FROM orders WHERE payment_reference = $1`, reference),
			read[int](s, `SELECT count(*) FROM orders WHERE payment_reference = $1`, reference),
		})
	}
	require.Zero(t, read[int](s, `
		SELECT count(*) FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)`),
		"a refused order leaves nothing")
}
