package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

func keys(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%03d", prefix, i)
	}
	return out
}

// patient waits for stock without asking again, so that only an import can serve.
var patient = every(time.Hour, 2*time.Hour)

func TestImportServesAWaitingLine(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient})
	a := s.order("game")
	f := fulfillment(a)
	s.await(a, keyturn.OrderPartialCompleted)
	require.Equal(t, keyturn.LineWaitingForStock, s.status(f))
	require.Equal(t, []string{"OutOfStock open"}, s.alerts(f))
	s.failure(f)
	s.record(workflows.LineWorkflowID(f), "open-waiting-for-stock")
	require.Equal(t, 1, s.load("game-keys", "GAME-1"))
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING WAITING_FOR_STOCK RETRYING DELIVERED", s.path(f))
	require.Contains(t, s.letters(buyer)[0].Text, "GAME-1")
	require.Equal(t, []string{"OutOfStock closed"}, s.alerts(f))
	require.Equal(t, "0/0/1/0", s.stock("game-keys"))
	s.record(workflows.LineWorkflowID(f), "stock-waited-then-served")
}

func TestAHundredLinesAndOneKey(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient}, "GAME-FIRST")
	lines := make([]keyturn.LineItem, 100)
	for i := range lines {
		lines[i] = keyturn.LineItem{ProductID: "game", Quantity: 1, GrossPrice: "1"}
	}
	a := s.accept(lines, "pay_1")
	waiting := `SELECT count(*) FROM line_items WHERE status = 'WAITING_FOR_STOCK'`
	s.eventually(func() (bool, string) {
		n := s.count(waiting)
		return n == 99 && s.count(`SELECT count(*) FROM line_items WHERE status = 'DELIVERED'`) == 1,
			fmt.Sprintf("%d lines wait", n)
	})
	first := s.texts(`SELECT fulfillment_id::text FROM line_items WHERE status = 'WAITING_FOR_STOCK' ORDER BY created_at, id LIMIT 9`)
	require.Equal(t, 9, s.load("game-keys", keys("GAME-A", 9)...))
	require.Equal(t, 90, s.count(waiting))
	for _, f := range first {
		require.NotEqual(t, keyturn.LineWaitingForStock, s.status(f), "first come, first served")
	}
	require.Equal(t, 90, s.load("game-keys", keys("GAME-B", 90)...))
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	letters := map[string]string{} // on a busy machine one may come twice
	for _, l := range s.letters(buyer) {
		letters[l.MessageID] = l.Text
	}
	require.Len(t, letters, 100)
	require.Equal(t, "0/0/100/0", s.stock("game-keys"))
	require.Equal(t, 100, s.count(`SELECT count(DISTINCT line_id) FROM pool_keys`))
}

func TestAFreshLineDoesNotOvertakeAWaitingOne(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient}, "GAME-1")
	first := s.accept([]keyturn.LineItem{{ProductID: "game", Quantity: 2, GrossPrice: "2"}}, "pay_1")
	s.awaitLine(fulfillment(first), keyturn.LineWaitingForStock)
	second := s.order("game")
	s.awaitLine(fulfillment(second), keyturn.LineWaitingForStock)
	require.Equal(t, "1/0/0/0", s.stock("game-keys"), "the one key is kept for the line that was paid first")
	s.load("game-keys", "GAME-2")
	s.await(first, keyturn.OrderCompleted)
	require.Equal(t, keyturn.LineWaitingForStock, s.status(fulfillment(second)))
	s.load("game-keys", "GAME-3")
	s.await(second, keyturn.OrderCompleted)
	s.atRest(first, second)
}

// Keys that a refunded line gives back go to the line that waits, without an import.
func TestReturnedKeysServeWaitingLines(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient}, "GAME-1")
	s.inbox.Fail(s.refuse(451))
	first := s.order("game")
	s.awaitLine(fulfillment(first), keyturn.LineRetrying)
	second := s.order("game")
	s.awaitLine(fulfillment(second), keyturn.LineWaitingForStock)
	s.inbox.Fail(nil)
	s.decide(fulfillment(first), keyturn.Resolution{Action: keyturn.ActionRefund})
	s.await(first, keyturn.OrderCanceled)
	s.await(second, keyturn.OrderCompleted)
	s.atRest(first, second)
	require.Equal(t, "0/0/1/0", s.stock("game-keys"))
}
