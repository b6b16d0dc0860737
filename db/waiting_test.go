package db

import (
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestImportServesWaitingLinesInTheirOrder(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	var f []string
	for _, id := range []string{"o-c", "o-a", "o-b"} { // in the order of payment, not of names
		f = append(f, s.order(id, lineOf("game", 2))[0])
	}
	for i := range f {
		require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f[len(f)-1-i]).Status)
	}
	require.EqualValues(t, 3, s.pool("games").Stock.Waiting)

	r := s.stock("games", keysNamed("K", 5)...)
	require.Equal(t, 2, r.Served)
	require.Equal(t, []string{"K-00000", "K-00001"}, s.keysOf(f[0]))
	require.Equal(t, []string{"K-00002", "K-00003"}, s.keysOf(f[1]))
	require.Equal(t, keyturn.LineWaitingForStock, s.status(f[2]))
	require.Equal(t, keyturn.LineRetrying, s.status(f[0]), "a line that was in trouble stays so until it is delivered")

	due, err := s.TakeDue(s.ctx, 10)
	require.NoError(t, err)
	require.Len(t, due, 2, "the served lines are woken")
	s.delivered(f[0])
	require.Equal(t, keyturn.OrderCompleted, s.orderStatus(f[0]))
}

func (s *shop) pool(id string) keyturn.PoolView {
	s.t.Helper()
	v, err := s.Stock().Pool(s.ctx, id)
	require.NoError(s.t, err)
	return v
}

// A line that comes when keys are left but others wait for them stands at the end of the queue.
func TestNewLineDoesNotOvertakeWaitingOnes(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1")
	big := s.order("big", lineOf("game", 3))[0]
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(big).Status)
	small := s.order("small", lineOf("game", 1))[0]
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(small).Status,
		"the key that is left belongs to the one before")
	require.Equal(t, 2, s.stock("games", "K-2", "K-3", "K-4").Served)
	require.Equal(t, []string{"K-1", "K-2", "K-3"}, s.keysOf(big))
	require.Equal(t, []string{"K-4"}, s.keysOf(small))
}

// Keys that come back serve those who wait, without an import.
func TestReturnedKeysServeWaitingLines(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1")
	first, second := s.sell("game"), s.sell("game")
	s.claimed(first)
	s.claimed(second)
	s.resolve(first, keyturn.ActionRefund)
	n, err := s.ServeWaiting(s.ctx, 10, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"K-1"}, s.keysOf(second))
	s.refunded(first)

	n, err = s.ServeWaiting(s.ctx, 10, 0)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestHeldAndCancelledLinesAreNotServed(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	held, canceled, doomed, waiting := s.sell("game"), s.sell("game"), s.order("doomed", lineOf("game", 1))[0],
		s.sell("game")
	for _, f := range []string{held, canceled, doomed, waiting} {
		s.claimed(f)
	}
	s.resolve(held, keyturn.ActionHold)
	s.resolve(canceled, keyturn.ActionRefund)
	require.NoError(t, s.CancelOrder(s.ctx, "doomed", "the customer asked"))
	require.Equal(t, 1, s.stock("games", "K-1", "K-2").Served)
	require.Equal(t, []string{"K-1"}, s.keysOf(waiting))

	// Released, the held one asks again and finds the other key.
	s.resolve(held, keyturn.ActionRelease)
	require.Equal(t, keyturn.DoDeliver, s.claimed(held).Do)
	require.Equal(t, []string{"K-2"}, s.keysOf(held))
}

// Keys that somebody holds for a moment are not a reason to fail an import that is stored already.
func TestImportSucceedsWhileKeysAreContended(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1")
	f := s.order("o1", lineOf("game", 2))[0]
	s.claimed(f)
	require.ErrorIs(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(s.ctx, `SELECT FROM pool_keys FOR UPDATE`); err != nil {
			return err
		}
		r, err := s.Import(s.ctx, "games", strings.NewReader("K-2"), "test", false)
		require.NoError(t, err)
		require.Equal(t, 1, r.Accepted)
		return errUndo
	}), errUndo)
	n, err := s.ServeWaiting(s.ctx, 10, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the relay serves it as soon as the keys are free")
	require.Equal(t, []string{"K-1", "K-2"}, s.keysOf(f))
}

// The policy's deadline ends the wait: the money goes back, the place in the queue goes to the next.
func TestWaitingEndsAtTheDeadline(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	f := s.sell("game")
	s.claimed(f)
	s.later(keyturn.DefaultGiveUp)
	next := s.claimed(f)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, keyturn.DoRefund, next.Do)
	s.refunded(f)
	require.Equal(t, keyturn.OrderCanceled, s.orderStatus(f))
	require.Zero(t, s.stock("games", "K-1").Served)
}

// An empty pool with a source behind it does not make anybody wait.
func TestEmptyPoolFallsBackToTheNextSource(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"), fromEndpoint("acme"))
	f := s.sell("game")
	next := s.claimed(f)
	require.Equal(t, keyturn.DoCall, next.Do)
	require.Equal(t, "endpoint/acme", next.Source)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	call := s.beginCall(f)
	require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(call, "from-acme")).Do)
	require.Equal(t, []string{"from-acme"}, s.keysOf(f))
}

// A source may be told to wait some time for stock before the next one starts.
func TestPoolWaitsAsLongAsItsSourceSays(t *testing.T) {
	s := newShop(t)
	pool := fromPool("games")
	pool.GiveUpAfter = keyturn.Duration(time.Hour)
	s.product("game", pool, fromEndpoint("acme"))
	f := s.sell("game")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f).Status)
	s.later(time.Hour)
	require.Equal(t, keyturn.DoCall, s.claimed(f).Do)
}
