package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func (s *stack) fromURL(partner string) keyturn.Source {
	return keyturn.Source{Type: keyturn.SourceDynamicURL, URL: s.partner.PartnerURL(partner) + "/dynamic"}
}

func TestDynamicURL(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "legacy", Sources: sources(s.fromURL("old"))})
	a := s.accept([]keyturn.LineItem{{ProductID: "legacy", Quantity: 2, GrossPrice: "10"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	calls := s.calls("old", "create")
	require.Len(t, calls, 2, "one call per unit")
	require.NotEqual(t, calls[0].KeyIssued, calls[1].KeyIssued)
	require.Contains(t, calls[0].URL, "?id=legacy")
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Text, calls[0].KeyIssued)
	require.Contains(t, letters[0].Text, calls[1].KeyIssued)
	for _, call := range calls {
		require.Contains(t, letters[0].Text, "\r\n  Tracking number: LEGACY: "+call.KeyIssued+"\r\n")
	}
	c := &client.Client{BaseURL: s.api().URL, Token: "dev"}
	have, err := c.Deliverables(t.Context(), fulfillment(a))
	require.NoError(t, err)
	require.Equal(t, []string{calls[0].KeyIssued, calls[1].KeyIssued}, have.ActivationCodes)
	require.Equal(t, calls[0].KeyIssued+", "+calls[1].KeyIssued, have.TrackingNumber)
}

// Without data there is nothing to deliver, whatever the status says; what the partner may have made cannot be taken
// back, because a dynamic URL has no cancel: a person has to see that.
func TestDynamicURLWithoutData(t *testing.T) {
	s := start(t, options{})
	s.drill("old", "no-key")
	s.product(keyturn.Product{ID: "legacy", Sources: sources(s.fromURL("old"))})
	a := s.order("legacy")
	f := fulfillment(a)
	s.await(a, keyturn.OrderPartialCompleted)
	require.Equal(t, []string{"BadReply open"}, s.alerts(f))
	s.setDeadline("legacy", time.Second)
	s.await(a, keyturn.OrderCanceled)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM revocations WHERE status = 'IMPOSSIBLE'`) == 1, "the revocation is not settled"
	})
	s.atRest(a)
	require.Equal(t, []string{"BadReply closed", "Revocation open"}, s.alerts(f))
	require.Equal(t, 2999, s.refunded(a))
}
