package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/devstack/emulator"
)

// A partner gets another address while a line waits to ask it again, and nobody knows what became of the first call:
// the line waits for a person as long as that takes, the books say why, and the call goes to the new address.
func TestALineWaitsForAPersonWhenItsPartnerMoves(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "cut-after-issuing")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: patient})
	a := s.order("cad")
	f := fulfillment(a)
	s.awaitLine(f, keyturn.LineRetrying)
	retryNow := func() {
		s.eventually(func() (bool, string) { // its workflow learns of a change a moment after the database
			_, err := s.update(f, keyturn.Resolution{Action: keyturn.ActionRetry, By: "operator"})
			return err == nil, "the decision is refused"
		})
	}
	elsewhere := emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, elsewhere.Start())
	t.Cleanup(func() { _ = elsewhere.Close() })
	s.integration(keyturn.Integration{ID: "acme", BaseURL: elsewhere.PartnerURL("acme")})
	retryNow()
	s.awaitLine(f, keyturn.LineHeld)
	s.books(func(e *audit.Evidence) { e.Quiescent = false })

	retryNow()
	s.await(a, keyturn.OrderCompleted)
	require.Len(t, s.calls("acme", "create"), 1)
	require.Len(t, elsewhere.Issued(), 1)
	require.Equal(t, []string{"PartnerMoved closed", "Unavailable closed"}, s.alerts(f))
	s.books(func(e *audit.Evidence) { e.Partner = nil }) // that of one address
}
