package e2e_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A partner gives two orders one code: the second line gets nothing, operations hear of it, and a person ends it.
func TestAPartnerRepeatsACode(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "duplicate-key")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "cam", Sources: sources(fromEndpoint("acme"))})
	first := s.order("cad")
	s.await(first, keyturn.OrderCompleted)
	second := s.order("cam")
	f := fulfillment(second)
	s.awaitLine(f, keyturn.LineHeld)
	require.Equal(t, []string{"DuplicateKey open"}, s.alerts(f))
	require.Len(t, s.letters(buyer), 1, "the code went to one order alone")
	require.Len(t, s.calls("acme", "create"), 2)

	s.eventually(func() (bool, string) { // its workflow learns of the hold a moment after the database
		_, err := s.update(f, keyturn.Resolution{Action: keyturn.ActionRetry, By: "operator"})
		return err == nil, "the decision is refused"
	})
	s.eventually(func() (bool, string) { return len(s.calls("acme", "create")) == 3, "nobody asked again" })
	s.awaitLine(f, keyturn.LineHeld)
	require.Equal(t, []string{"DuplicateKey open"}, s.alerts(f), "and no second alert")

	require.NoError(t, s.db.StageSupply(context.Background(), f, "d-1", []string{"HAND-1"}))
	s.decide(f, keyturn.Resolution{ID: "d-1", Action: keyturn.ActionSupply})
	s.await(second, keyturn.OrderCompleted)
	s.atRest(first, second)
	require.Contains(t, s.letters(buyer)[0].Text, "HAND-1")
	require.Equal(t, []string{"DuplicateKey closed"}, s.alerts(f))
}
