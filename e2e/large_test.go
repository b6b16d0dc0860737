package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A large order leaves others alone: a small one beside it is delivered, and cancelled, while most of the large one is
// still to come; so it is beside the cancellation of the large one.
func TestALargeOrderLeavesOthersAlone(t *testing.T) {
	s := start(t, options{})
	const lines = 150
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, keys("GAME", lines+2)...)
	var many []keyturn.LineItem
	for range lines {
		many = append(many, keyturn.LineItem{ProductID: "game", Quantity: 1, GrossPrice: "1"})
	}
	cancel := func(order string) { require.NoError(t, s.db.CancelOrder(t.Context(), order, "a mistake")) }
	of := func(order, status string) int {
		return s.count(`SELECT count(*) FROM line_items WHERE order_id = $1 AND status = $2`, order, status)
	}

	large := s.accept(many, "pay_large")
	small := s.order("game")
	s.await(small, keyturn.OrderCompleted)
	require.Greater(t, of(large.Order.ID, "PENDING"), lines/2, "most of the large order is to come")
	cancel(small.Order.ID)
	s.await(small, keyturn.OrderCanceled)
	require.Greater(t, of(large.Order.ID, "PENDING"), lines/3)

	other := s.order("game")
	s.await(other, keyturn.OrderCompleted)
	cancel(large.Order.ID)
	cancel(other.Order.ID)
	s.await(other, keyturn.OrderCanceled)
	require.Less(t, of(large.Order.ID, "CANCELED"), lines/2, "most of the large order is to be cancelled")

	s.await(large, keyturn.OrderCanceled)
	s.atRest(small, other, large)
}
