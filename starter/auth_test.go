package starter_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/starter"
)

func TestEveryRouteWantsItsScope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	none := b.token(t, "none", "nothing")
	byScope := map[string]string{}
	for _, s := range starter.Scopes {
		byScope[s] = b.token(t, s, s)
	}
	id := "99999999-8888-7777-6666-555555555555"
	for _, route := range []struct {
		method, path string
		scopes       []string
	}{
		{"POST", "/v1/orders", []string{starter.ScopeOrdersWrite}},
		{"GET", "/v1/orders", []string{starter.ScopeOrdersRead, starter.ScopeOps}},
		{"GET", "/v1/orders/X", []string{starter.ScopeOrdersRead, starter.ScopeOps}},
		{"GET", "/v1/orders/X/events", []string{starter.ScopeOrdersRead, starter.ScopeOps}},
		{"POST", "/v1/orders/X/cancellation", []string{starter.ScopeOrdersWrite, starter.ScopeOps}},
		{"GET", "/v1/fulfillments/" + id, []string{starter.ScopeOrdersRead, starter.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/resolution", []string{starter.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/resend", []string{starter.ScopeOps}},
		{"GET", "/v1/fulfillments/" + id + "/deliverables", []string{starter.ScopeKeysRead}},
		{"GET", "/v1/fulfillments/" + id + "/deliverables/files/0", []string{starter.ScopeKeysRead}},
		{"POST", "/v1/pools/p/batches", []string{starter.ScopeKeysWrite}},
		{"GET", "/v1/pools/p", []string{starter.ScopeCatalogWrite, starter.ScopeKeysWrite, starter.ScopeOps}},
		{"GET", "/v1/pools/p/batches/" + id, []string{starter.ScopeKeysWrite, starter.ScopeOps}},
		{"DELETE", "/v1/pools/p/batches/" + id, []string{starter.ScopeKeysWrite}},
		{"POST", "/v1/pools/p/batches/" + id + "/recall", []string{starter.ScopeOps}},
		{"POST", "/v1/pools/p/keys/lookup", []string{starter.ScopeOps}},
		{"POST", "/v1/pools/p/keys/quarantine", []string{starter.ScopeOps}},
		{"POST", "/v1/pools/p/keys/replacement", []string{starter.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/replacement", []string{starter.ScopeOps}},
		{"DELETE", "/v1/pools/p", []string{starter.ScopeCatalogWrite}},
		{"GET", "/v1/customers/c/licenses", []string{starter.ScopeOrdersRead}},
		{"GET", "/v1/licenses/l", []string{starter.ScopeOrdersRead, starter.ScopeOps}},
		{"POST", "/v1/licenses/l/operations", []string{starter.ScopeOrdersWrite}},
		{"PUT", "/v1/products/p", []string{starter.ScopeCatalogWrite}},
		{"GET", "/v1/products/p", []string{starter.ScopeCatalogWrite, starter.ScopeOrdersRead, starter.ScopeOps}},
		{"GET", "/v1/pools", []string{starter.ScopeCatalogWrite, starter.ScopeKeysWrite, starter.ScopeOps}},
		{"GET", "/v1/integrations", []string{starter.ScopeCatalogWrite, starter.ScopeOps}},
		{"DELETE", "/v1/products/p", []string{starter.ScopeCatalogWrite}},
		{"PUT", "/v1/pools/p", []string{starter.ScopeCatalogWrite}},
		{"DELETE", "/v1/integrations/p", []string{starter.ScopeCatalogWrite}},
		{"GET", "/v1/alerts", []string{starter.ScopeOps}},
		{"POST", "/v1/alerts/1/close", []string{starter.ScopeOps}},
	} {
		a := b.do(t, route.method, route.path, "", "Authorization", "")
		require.Equal(t, 401, a.status, route)
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
		a = b.do(t, route.method, route.path, "", "Authorization", none)
		require.Equal(t, 403, a.status, route)
		require.Contains(t, a.body, route.scopes[0], "the missing scope is named")
		for scope, token := range byScope {
			status := b.do(t, route.method, route.path, "", "Authorization", token).status
			require.Equal(t, slices.Contains(route.scopes, scope), status != 403, "%v with %s: %d", route, scope, status)
			require.NotEqual(t, 401, status)
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := b.token(t, "good", starter.ScopeOrdersRead)
	header := func(name, value string) scenario {
		return scenario{name, "GET", "/v1/orders", []string{"Authorization", value}, "", 401, nil, []string{devToken}}
	}
	b.play(t, []scenario{
		header("basic", "Basic dXNlcjpwYXNz"), header("no scheme", devToken), header("no token", "Bearer "), header("unknown", "Bearer kt_unknown"),
		header("a prefix of one", good[:len(good)-1]), header("a longer one", good+"x"), header("the development token and more", "Bearer "+devToken+"x"),
	})
	production := newBench(t, func(c *starter.Config) { c.DevToken = "" })
	require.Equal(t, 401, production.do(t, "GET", "/v1/orders", "").status, "without a development token none is accepted")
	require.Equal(t, 401, production.do(t, "GET", "/v1/orders", "", "Authorization", "Bearer ").status)
}
