package db

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// owner is a line that was delivered.
func (s *shop) owner() string {
	s.t.Helper()
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	return f
}

// A line whose new key cannot be given keeps none behind it waiting, nor the sales of the pool, and operations hear of
// it.
func TestAReplacementThatFailsKeepsNoOtherWaiting(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "bad-1", "bad-2")
	broken, other := s.owner(), s.owner()
	for _, f := range []string{broken, other} {
		require.NoError(t, s.OweReplacements(s.ctx, f, nil, "leaked", "ops"))
	}
	s.stock("p", "good-1", "good-2", "good-3")
	waits := s.sell("game")
	require.NotEqual(t, keyturn.DoDeliver, s.claimed(waits).Do, "replacements come first")
	render := func(f MailFacts) ([]byte, error) {
		if f.Line.FulfillmentID == broken {
			return nil, errors.New("this e-mail cannot be made")
		}
		return renderMail(f)
	}
	n, err := s.ReplaceOwed(s.ctx, 100, render)
	require.ErrorContains(t, err, broken)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"bad-1"}, s.keysOf(broken))
	require.Equal(t, []string{"good-1"}, s.keysOf(other))
	n, err = s.ReplaceOwed(s.ctx, 100, render)
	require.NoError(t, err, "it is not tried again at once")
	require.Zero(t, n)
	served, err := s.ServeWaiting(s.ctx, 100, 0)
	require.NoError(t, err)
	require.Equal(t, 1, served, "the pool sells on")

	require.NoError(t, s.WatchOwed(s.ctx))
	require.Zero(t, s.alerts("cause = 'Owed'"), "it is given some time")
	s.later(61 * time.Minute)
	for range 2 {
		require.NoError(t, s.WatchOwed(s.ctx))
	}
	require.Equal(t, 1, s.alerts("cause = 'Owed' AND closed_at IS NULL AND detail LIKE '%order "+
		read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, broken)+"%'"))
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"good-3"}, s.keysOf(broken))
	s.exec(`UPDATE alerts SET mailed_at = now()`) // what else is late after an hour of nobody
	s.exec(`DELETE FROM outbox`)
	s.exec(`UPDATE line_items SET wake_at = NULL`)
	require.NoError(t, s.WatchOwed(s.ctx))
	require.Zero(t, s.alerts("cause = 'Owed' AND closed_at IS NULL"), "and it is over")
}

// A line that waits for stock and cannot be served keeps none behind it waiting.
func TestALineThatCannotBeServedKeepsNoOtherWaiting(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.put(keyturn.Product{ID: "broken", Sources: []keyturn.Source{fromPool("p")}})
	first, second, third := s.sell("game"), s.sell("broken"), s.sell("game")
	for _, f := range []string{first, second, third} {
		require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f).Status)
	}
	spec := read[string](s, `SELECT spec FROM products WHERE id = 'broken'`)
	s.exec(`UPDATE products SET spec = 'nobody can read this' WHERE id = 'broken'`)
	s.stock("p", "K-1", "K-2")
	require.Equal(t, []string{"K-1"}, s.keysOf(first))
	require.Equal(t, []string{"K-2"}, s.keysOf(third))
	s.exec(`UPDATE products SET spec = $1 WHERE id = 'broken'`, spec)
	s.stock("p", "K-3")
	require.Equal(t, []string{"K-3"}, s.keysOf(second))
}

// A line that cannot be read keeps the relay from no other, and an entry that never starts is seen.
func TestTheRelayGoesOnPastWhatItCannotStart(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.put(keyturn.Product{ID: "broken", Sources: []keyturn.Source{fromPool("p")}})
	s.sell("broken")
	good := s.sell("game")
	spec := read[string](s, `SELECT spec FROM products WHERE id = 'broken'`)
	s.exec(`UPDATE products SET spec = 'nobody can read this' WHERE id = 'broken'`)
	s.exec(`INSERT INTO outbox (workflow, subject) VALUES ('Unknown', 'x')`)
	s.exec(`UPDATE line_items SET wake_at = now()`)
	due, err := s.TakeDue(s.ctx, 100)
	require.ErrorContains(t, err, "broken")
	require.Len(t, due, 2)
	require.Equal(t, good, due[0].Start.FulfillmentID)
	require.NoError(t, s.RelayDone(s.ctx, due[:1]))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items WHERE wake_at IS NULL`))
	for range RelayTries {
		s.exec(`UPDATE outbox SET due_at = now()`)
		_, _ = s.TakeDue(s.ctx, 100)
	}
	require.NoError(t, s.WatchOwed(s.ctx))
	require.Equal(t, 1, s.alerts("cause = 'Owed' AND subject = 'owed/outbox' AND detail LIKE '%Unknown x%'"))
	s.exec(`DELETE FROM outbox`)
	s.exec(`UPDATE products SET spec = $1 WHERE id = 'broken'`, spec)
}

// A relay that wakes up late does not end what another one has taken.
func TestALateRelayEndsNothingOfAnother(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.sell("game")
	s.exec(`UPDATE line_items SET wake_at = now()`)
	frozen, err := s.TakeDue(s.ctx, 100)
	require.NoError(t, err)
	s.exec(`UPDATE line_items SET wake_at = now()`)
	other, err := s.TakeDue(s.ctx, 100)
	require.NoError(t, err)
	require.NoError(t, s.RelayDone(s.ctx, frozen))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items WHERE wake_at IS NOT NULL`))
	require.NoError(t, s.RelayDone(s.ctx, other))
	require.Zero(t, read[int](s, `SELECT count(*) FROM line_items WHERE wake_at IS NOT NULL`))
}

// While operations are told of alerts, lines open and close theirs: a mail server that takes its time holds up nobody.
// One that cannot be told of keeps none of the others.
func TestAMailServerThatTakesItsTimeHoldsUpNoLine(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f, g := s.sell("app"), s.sell("app")
	for _, x := range []string{f, g} {
		s.finishCall(x, refused(s.beginCall(x), keyturn.KindRejected))
	}
	n, err := s.TakeAlerts(s.ctx, 10, func(alerts []Alert) error {
		s.exec(`SET LOCAL lock_timeout = '1s'; UPDATE alerts SET detail = detail`) // none is locked
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		none, err := s.TakeAlerts(s.ctx, 10, func([]Alert) error { return nil })
		require.NoError(t, err)
		require.Zero(t, none, "they are told of by one")
		return &UntoldError{IDs: []int64{alerts[1].ID}, Err: errors.New("this one is refused")}
	})
	require.ErrorContains(t, err, "this one is refused")
	require.Equal(t, 1, n)
	require.Equal(t, keyturn.LineCanceled, s.status(f))
	var again []Alert
	_, err = s.TakeAlerts(s.ctx, 10, func(alerts []Alert) error { again = alerts; return nil })
	require.NoError(t, err)
	require.Len(t, again, 1)
	require.Equal(t, s.lineID(g), *again[0].LineID)
	s.resolve(g, keyturn.ActionRefund)
	s.refunded(g)
}

// The alert of a host that is gone is closed a day after its last word; that of one which is there stays.
func TestTheClockOfAHostThatIsGone(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.WatchClock(s.ctx, "gone", time.Hour, true))
	require.NoError(t, s.WatchClock(s.ctx, "there", time.Hour, true))
	s.later(hostGone + time.Minute)
	require.NoError(t, s.WatchClock(s.ctx, "there", time.Hour, true))
	require.NoError(t, s.WatchClock(s.ctx, "good", 0, false))
	require.Equal(t, []string{"clock/there"},
		reads[string](s, `SELECT subject FROM alerts WHERE cause = 'ClockSkew' AND closed_at IS NULL`))
}
