package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

var byHand = keyturn.Source{Type: keyturn.SourceManual}

func TestManualLineIsSupplied(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand)})
	a := s.accept([]keyturn.LineItem{{ProductID: "antique", Quantity: 2, GrossPrice: "10"}}, "pay_1")
	f := fulfillment(a)
	s.eventually(func() (bool, string) { return len(s.alerts(f)) == 1, "operations do not hear of the line" })
	require.Equal(t, []string{"Manual open"}, s.alerts(f))
	require.Less(t, time.Since(a.CreatedAt), 8*time.Second, "at once, not when the relay looks")

	_, err := s.update(f, keyturn.Resolution{Action: keyturn.ActionSupply, By: "operator"})
	require.ErrorContains(t, err, "needs 2 keys and 0 are stored")
	require.Error(t, s.db.StageSupply(context.Background(), f, "", []string{"ONE"}), "one key for two units")
	require.NoError(t, s.db.StageSupply(context.Background(), f, "", []string{"HAND-1", "HAND-2"}))
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionSupply, Reason: "from the drawer"})
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(f))
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Text, "HAND-1")
	require.Contains(t, letters[0].Text, "HAND-2")
	require.Equal(t, "supply operator", s.texts(`SELECT action || ' ' || by FROM resolutions`)[0])
	s.record(workflows.LineWorkflowID(f), "manual-supplied")
}

func TestManualLineIsRefundedWhenNobodySupplies(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand), Retry: every(time.Second, 2*time.Second)})
	a := s.order("antique")
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 2999, s.refunded(a))
}

// After a partner gave up, a person is asked.
func TestManualAsTheLastSource(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "permanent")
	s.integration(keyturn.Integration{ID: "acme", PermanentErrors: keyturn.PermanentErrors{HTTPStatus: []int{410}}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"), byHand)})
	a := s.order("cad")
	f := fulfillment(a)
	s.eventually(func() (bool, string) {
		return len(s.alerts(f)) == 2, "operations do not hear that keys are to be supplied"
	})
	require.NoError(t, s.db.StageSupply(context.Background(), f, "", []string{"HAND-1"}))
	s.signal(f, keyturn.Resolution{Action: keyturn.ActionSupply})
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Contains(t, s.letters(buyer)[0].Text, "HAND-1")
	require.Equal(t, "signal", s.texts(`SELECT by FROM resolutions`)[0])
}
