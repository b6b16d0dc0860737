package db

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) takeDue() []Due {
	s.t.Helper()
	due, err := s.TakeDue(s.ctx, 100)
	require.NoError(s.t, err)
	return due
}

func (s *shop) relayDone(due ...Due) {
	s.t.Helper()
	require.NoError(s.t, s.RelayDone(s.ctx, due))
}

// An accepted line whose workflow nobody started is started by the relay.
func TestRelayStartsWhatNobodyStarted(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	require.Empty(t, s.takeDue(), "a healthy process starts it at once")
	s.later(relayAfter)
	due := s.takeDue()
	require.Len(t, due, 1)
	require.Equal(t, f, due[0].Start.FulfillmentID)
	require.Equal(t, keyturn.DoClaim, due[0].Start.Next.Do)
	require.Empty(t, s.takeDue(), "it belongs to whoever took it")

	s.later(relayLease) // who died
	due = s.takeDue()
	require.Len(t, due, 1)
	s.relayDone(due...)
	s.relayDone(due...)
	s.later(relayLease)
	require.Empty(t, s.takeDue())
}

func TestLineThatWasStartedIsNotRelayed(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.claimed(s.sell("game"))
	s.later(relayAfter)
	require.Empty(t, s.takeDue())
}

func TestConcurrentRelaysShareTheWork(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.order("o1", repeatLine(lineOf("game", 1), 60)...)
	s.exec(`UPDATE line_items SET wake_at = now(); DELETE FROM outbox`)
	taken := make([][]Due, 4)
	for _, err := range atOnce(4, func(i int) (err error) { taken[i], err = s.TakeDue(s.ctx, 20); return err }) {
		require.NoError(t, err)
	}
	seen := map[string]bool{}
	for _, due := range taken {
		for _, d := range due {
			require.False(t, seen[d.Start.FulfillmentID])
			seen[d.Start.FulfillmentID] = true
		}
	}
	for _, d := range s.takeDue() { // what others locked when somebody looked
		require.False(t, seen[d.Start.FulfillmentID])
		seen[d.Start.FulfillmentID] = true
	}
	require.Len(t, seen, 60)
}

// What becomes due once more while the relay works on it is not forgotten when that work is done.
func TestRelayDoesNotForgetWhatCameMeanwhile(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	s.claimed(f)
	s.exec(`UPDATE line_items SET wake_at = now()`)
	due := s.takeDue()
	require.Len(t, due, 1)
	require.Equal(t, 1, s.stock("p", "K-1").Served) // wakes the line
	s.relayDone(due...)
	require.Len(t, s.takeDue(), 1, "a line")

	s.delivered(f)
	id, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	due = s.takeDue()
	require.Len(t, due, 1)
	enqueueAgain(s, WorkflowSend, id)
	s.relayDone(due...)
	again := s.takeDue()
	require.Len(t, again, 1, "an errand")
	s.relayDone(again...)
	s.later(time.Hour)
	require.Empty(t, s.takeDue())
}

func TestOutboxEntriesAreOnePerSubject(t *testing.T) {
	s := newShop(t)
	enqueueAgain(s, WorkflowSend, "a")
	enqueueAgain(s, WorkflowSend, "a")
	enqueueAgain(s, WorkflowSend, "b")
	enqueueAgain(s, WorkflowCancel, "a")
	require.Len(t, s.takeDue(), 3)
}

// enqueueAgain is what a transaction does that wants a workflow started.
func enqueueAgain(s *shop, workflow, subject string) {
	s.t.Helper()
	require.NoError(s.t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error { return enqueue(s.ctx, tx, workflow, subject) }))
}
