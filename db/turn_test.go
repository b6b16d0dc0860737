package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// takeTurn has the next lines of an order woken, as the relay does.
func (s *shop) takeTurn(order string) Due {
	s.t.Helper()
	s.exec(`UPDATE outbox SET due_at = now() WHERE workflow = $1 AND subject = $2`, WorkflowTurn, order)
	for _, d := range s.takeDue() {
		if d.Workflow == WorkflowTurn && d.Subject == order {
			require.NoError(s.t, s.TakeTurn(s.ctx, d))
			return d
		}
	}
	require.Fail(s.t, "order "+order+" has no turn")
	return Due{}
}

// started takes the lines that are due and tells the relay that they were started. It returns their fulfillments.
func (s *shop) started() []string {
	s.t.Helper()
	var out []string
	for _, d := range s.takeDue() {
		if d.Workflow == "" {
			out = append(out, d.Start.FulfillmentID)
			s.relayDone(d)
		}
	}
	return out
}

// Of a large order no more lines are on their way than take their turn together; the next come as those before them
// end, and one at least comes whatever happens.
func TestTheLinesOfALargeOrderTakeTurns(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "game", Sources: []keyturn.Source{fromPool("p")}})
	s.stock("p", keysNamed("K", 100)...)
	a, _, err := s.Accept(s.ctx, orderOf("large", repeatLine(lineOf("game", 1), 2*turnSize+10)...))
	require.NoError(t, err)
	require.Len(t, a.Starts, turnSize, "the others are for the relay")
	all := reads[string](s, `SELECT fulfillment_id FROM line_items ORDER BY position`)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox`))
	small := s.sell("game")
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox`), "a small order has no turns")
	s.claimed(small)

	s.exec(`UPDATE line_items SET wake_at = NULL WHERE position <= $1 AND order_id = 'large'`, turnSize) // their workflows run
	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[turnSize:turnSize+1], s.started(), "none has come to its end")
	for _, f := range all[:10] {
		s.claimed(f)
		s.delivered(f)
	}
	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[turnSize+1:turnSize+10], s.started(), "as many as have, one of which was there")
	for _, f := range all[10:turnSize] {
		s.claimed(f)
		s.delivered(f)
	}
	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[turnSize+10:2*turnSize], s.started())
	for _, f := range all[turnSize : 2*turnSize] {
		s.claimed(f)
		s.delivered(f)
	}
	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[2*turnSize:], s.started())
	s.relayDone(s.takeTurn("large"))
	require.Zero(t, read[int](s, `SELECT count(*) FROM outbox`), "all had their turn")
	require.Zero(t, read[int](s, `SELECT count(*) FROM line_items WHERE wake_at IS NOT NULL`))
}

// Lines of an order that is cancelled are woken in turns, too, whether they were started or not.
func TestALargeOrderIsCancelledInTurns(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "game", Sources: []keyturn.Source{fromPool("p")}})
	s.stock("p", keysNamed("K", 100)...)
	all := s.order("large", repeatLine(lineOf("game", 1), turnSize+20)...)
	s.takeTurn("large")
	for _, f := range all[:5] {
		s.claimed(f)
		s.delivered(f)
	}
	s.exec(`UPDATE line_items SET wake_at = NULL WHERE position <= $1`, turnSize+1)
	require.NoError(t, s.CancelOrder(s.ctx, "large", "fraud"))

	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[:turnSize], s.started())
	for _, f := range all[:10] {
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		s.refunded(f)
	}
	s.relayDone(s.takeTurn("large"))
	require.ElementsMatch(t, all[turnSize:turnSize+10], s.started())
	for _, f := range all[turnSize+10:] {
		s.relayDone(s.takeTurn("large"))
		require.Equal(t, []string{f}, s.started(), "one a turn although none of those before is refunded")
	}
	s.relayDone(s.takeTurn("large"))
	require.Zero(t, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1`, WorkflowTurn))
}

// A relay that wakes up late does not take a turn that is another's.
func TestATurnIsOfOneRelay(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("large", repeatLine(lineOf("game", 1), turnSize+20)...)
	s.later(TurnEvery)
	late := s.takeDue()
	s.later(relayLease)
	s.relayDone(s.takeTurn("large"))
	for _, d := range late {
		require.NoError(t, s.TakeTurn(s.ctx, d))
	}
	s.relayDone(late...)
	require.Equal(t, turnSize+1, read[int](s, `SELECT position FROM outbox`))
}

// A line whose turn has not come is not overdue, and neither is an order that takes its time.
func TestLinesBeforeTheirTurnAreNotOverdue(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("large", repeatLine(lineOf("game", 1), 2000)...)
	s.exec(`UPDATE line_items SET wake_at = NULL WHERE position <= 1500`)
	s.later(20 * time.Minute)
	s.exec(`UPDATE outbox SET due_at = now(), position = 1500`)
	require.NoError(t, s.WatchOwed(s.ctx))
	require.Zero(t, s.alerts("cause = 'Owed'"))
}
