package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// Policies are data: an edited one is in force at the next failure, and a person's retry makes that now.
func TestEditedPolicyReachesALineInFlight(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	f := fulfillment(a)
	due := func() time.Duration {
		var at time.Time
		require.NoError(t, s.sql(&at, `SELECT next_attempt_at FROM line_items`))
		return time.Until(at)
	}
	require.Greater(t, due(), 50*time.Minute)
	s.product(keyturn.Product{
		ID: "cad", Sources: sources(fromEndpoint("acme")),
		Retry: every(300*time.Millisecond, 20*time.Minute),
	})
	require.Greater(t, due(), 50*time.Minute, "the attempt that is planned stays where it is")
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionRetry})
	s.eventually(func() (bool, string) { return len(s.calls("acme", "create")) >= 4, "the new schedule is not in force" })
	require.Less(t, due(), time.Second)
	state := s.state(f)
	require.WithinDuration(t, a.CreatedAt.Add(20*time.Minute), state.AsOf.Add(time.Duration(state.Left)), time.Second,
		"and so is the new deadline")
	s.drill("acme", "ok")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "rate-limit:3")
	s.product(keyturn.Product{
		ID: "cad", Sources: sources(fromEndpoint("acme")),
		Retry: every(200*time.Millisecond, 10*time.Minute),
	})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	calls := s.calls("acme", "create")
	require.Len(t, calls, 2)
	require.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time), 3*time.Second)
}
