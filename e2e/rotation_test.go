package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
)

// A partner moves to another authority, asks for a client certificate and has a new password. The lines that were on
// their way then retry; each secret that is put right reaches their next attempt, which sends the same bytes; all
// finish.
func TestCredentialsAndAuthorityAreRotatedWhileLinesRetry(t *testing.T) {
	s := start(t, options{})
	partner := func(addr string, settings emulator.Settings) *emulator.Server {
		p := emulator.New(emulator.Config{TLSAddr: addr}) // each has an authority of its own
		s.eventually(func() (bool, string) {
			err := p.Start()
			return err == nil, "the address is in use"
		})
		t.Cleanup(func() { _ = p.Close() })
		require.NoError(t, p.SetPartner("acme", settings))
		return p
	}
	before := partner("127.0.0.1:0", emulator.Settings{Username: "shop", Password: "old-pw"})
	in := keyturn.Integration{
		ID: "acme", BaseURL: before.TLSURL() + "/p/acme", TLS: keyturn.TLS{CA: string(before.CAPEM())},
		Auth: keyturn.Auth{Type: "basic", Username: "shop", Password: &keyturn.SecretRef{Value: "old-pw"}},
	}
	s.integration(in)
	s.product(keyturn.Product{
		ID: "cad", Sources: sources(fromEndpoint("acme")),
		Retry: every(400*time.Millisecond, 10*time.Minute),
	})
	s.await(s.order("cad"), keyturn.OrderCompleted)
	require.Len(t, before.Log(), 1)
	require.NoError(t, before.Close())

	after := partner(strings.TrimPrefix(before.TLSURL(), "https://"),
		emulator.Settings{Username: "shop", Password: "new-pw", RequireClientCert: true})
	cert, key, err := after.IssueClientCert("shop")
	require.NoError(t, err)
	orders := []*db.Accepted{s.order("cad"), s.order("cad"), s.order("cad")}
	failWith := func(message string) {
		for _, a := range orders {
			s.eventually(func() (bool, string) {
				var now string // of the database: the server repeats the call without telling the workflow
				require.NoError(t, s.sql(&now,
					`SELECT coalesce(CAST(failure AS json) ->> 'message', '') FROM line_items WHERE fulfillment_id = $1`,
					fulfillment(a)))
				return strings.HasPrefix(now, message), now
			})
		}
	}
	failWith("endpoint/acme the partner's certificate is not trusted: its authority is unknown")
	require.Empty(t, after.Log(), "nothing is sent to whom is not trusted")

	in.TLS.CA = string(before.CAPEM()) + string(after.CAPEM())
	s.integration(in)
	failWith("endpoint/acme: the partner answered HTTP 401")
	in.TLS.ClientCert, in.TLS.ClientKey = string(cert), &keyturn.SecretRef{Value: string(key)}
	s.integration(in)
	require.Empty(t, after.Issued())
	in.Auth.Password = &keyturn.SecretRef{Value: "new-pw"}
	s.integration(in)
	bodies := map[string]string{}
	for _, a := range orders {
		s.await(a, keyturn.OrderCompleted)
		require.Equal(t, "PENDING RETRYING DELIVERED", s.path(fulfillment(a)))
	}
	require.Len(t, after.Issued(), len(orders))
	for _, c := range after.Log() {
		if first, seen := bodies[c.FulfillmentID]; seen && c.FulfillmentID != "" {
			require.Equal(t, first, c.BodySHA256, "every attempt sends the same bytes")
		}
		bodies[c.FulfillmentID] = c.BodySHA256
	}
	require.Zero(t, s.count(`SELECT count(*) FROM alerts WHERE line_id IS NOT NULL AND closed_at IS NULL`))
}
