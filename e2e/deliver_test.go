package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestPoolLineIsDelivered(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "editor", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "editor-keys"}}},
		"KEY-1", "KEY-2", "KEY-3")

	a := s.accept([]keyturn.LineItem{{ProductID: "editor", Quantity: 2, GrossPrice: "59.98"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)

	got := s.letters("jean@buyer.test")
	require.Len(t, got, 1, "one e-mail with all keys of the line")
	require.Contains(t, got[0].Text, "KEY-1")
	require.Contains(t, got[0].Text, "KEY-2")
	require.NotContains(t, got[0].Text, "KEY-3")
	require.Equal(t, 2, s.count(`SELECT count(*) FROM pool_keys WHERE state = 'delivered'`))
	require.Equal(t, 1, s.count(`SELECT sum(available) FROM pool_stock`))
	require.Equal(t, 2, s.count(`SELECT sum(delivered) FROM pool_stock`))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM licenses WHERE status = 'Running'`))
}
