package api_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
)

func TestEveryRouteWantsItsScope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	none := b.token(t, "none", "nothing")
	byScope := map[string]string{}
	for _, s := range api.Scopes {
		byScope[s] = b.token(t, s, s)
	}
	id := "99999999-8888-7777-6666-555555555555"
	for _, route := range []struct {
		method, path string
		scopes       []string
	}{
		{"POST", "/v1/orders", []string{api.ScopeOrdersWrite}},
		{"GET", "/v1/orders", []string{api.ScopeOrdersRead, api.ScopeOps}},
		{"GET", "/v1/orders/X", []string{api.ScopeOrdersRead, api.ScopeOps}},
		{"GET", "/v1/orders/X/events", []string{api.ScopeOrdersRead, api.ScopeOps}},
		{"POST", "/v1/orders/X/cancellation", []string{api.ScopeOrdersWrite, api.ScopeOps}},
		{"GET", "/v1/fulfillments/" + id, []string{api.ScopeOrdersRead, api.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/resolution", []string{api.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/resend", []string{api.ScopeOps}},
		{"GET", "/v1/fulfillments/" + id + "/deliverables", []string{api.ScopeKeysRead}},
		{"GET", "/v1/fulfillments/" + id + "/deliverables/files/0", []string{api.ScopeKeysRead}},
		{"POST", "/v1/pools/p/batches", []string{api.ScopeKeysWrite}},
		{"GET", "/v1/pools/p", []string{api.ScopeCatalogWrite, api.ScopeKeysWrite, api.ScopeOps}},
		{"GET", "/v1/pools/p/batches/" + id, []string{api.ScopeKeysWrite, api.ScopeOps}},
		{"DELETE", "/v1/pools/p/batches/" + id, []string{api.ScopeKeysWrite}},
		{"POST", "/v1/pools/p/batches/" + id + "/recall", []string{api.ScopeOps}},
		{"POST", "/v1/pools/p/keys/lookup", []string{api.ScopeOps}},
		{"POST", "/v1/pools/p/keys/quarantine", []string{api.ScopeOps}},
		{"POST", "/v1/pools/p/keys/replacement", []string{api.ScopeOps}},
		{"POST", "/v1/fulfillments/" + id + "/replacement", []string{api.ScopeOps}},
		{"DELETE", "/v1/pools/p", []string{api.ScopeCatalogWrite}},
		{"GET", "/v1/customers/c/licenses", []string{api.ScopeOrdersRead}},
		{"GET", "/v1/licenses/l", []string{api.ScopeOrdersRead, api.ScopeOps}},
		{"POST", "/v1/licenses/l/operations", []string{api.ScopeOrdersWrite}},
		{"PUT", "/v1/products/p", []string{api.ScopeCatalogWrite}},
		{"GET", "/v1/products/p", []string{api.ScopeCatalogWrite, api.ScopeOrdersRead, api.ScopeOps}},
		{"GET", "/v1/pools", []string{api.ScopeCatalogWrite, api.ScopeKeysWrite, api.ScopeOps}},
		{"GET", "/v1/integrations", []string{api.ScopeCatalogWrite, api.ScopeOps}},
		{"DELETE", "/v1/products/p", []string{api.ScopeCatalogWrite}},
		{"PUT", "/v1/pools/p", []string{api.ScopeCatalogWrite}},
		{"DELETE", "/v1/integrations/p", []string{api.ScopeCatalogWrite}},
		{"GET", "/v1/alerts", []string{api.ScopeOps}},
		{"POST", "/v1/alerts/1/close", []string{api.ScopeOps}},
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
	good := b.token(t, "good", api.ScopeOrdersRead)
	header := func(name, value string) scenario {
		return scenario{name, "GET", "/v1/orders", []string{"Authorization", value}, "", 401, nil, []string{devToken}}
	}
	b.play(t, []scenario{
		header("basic", "Basic dXNlcjpwYXNz"), header("no scheme", devToken), header("no token", "Bearer "),
		header("unknown", "Bearer kt_unknown"),
		header("a prefix of one", good[:len(good)-1]), header("a longer one", good+"x"),
		header("the development token and more", "Bearer "+devToken+"x"),
	})
	production := newBench(t, func(c *api.Config) { c.DevToken = "" })
	require.Equal(t, 401, production.do(t, "GET", "/v1/orders", "").status, "without a development token none is accepted")
	require.Equal(t, 401, production.do(t, "GET", "/v1/orders", "", "Authorization", "Bearer ").status)
}
