package api_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
)

var update = flag.Bool("update", false, "write generated sections of the docs anew")

// addressOf is a request's method and path on a route, with IDs of nothing.
func addressOf(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	id := "99999999-8888-7777-6666-555555555555"
	if strings.HasPrefix(path, "/v1/alerts/") {
		id = "999999999"
	}
	return method, strings.NewReplacer("{id}", id, "{batchId}", id, "{no}", "0", "{$}", "").Replace(path)
}

// openRoutes are the routes that everybody may use. Whoever adds one adds it here.
var openRoutes = []string{
	"GET /livez", "GET /readyz", "GET /openapi.json", "GET /openapi.yaml", "GET /docs", "GET /{$}",
}

// Every route that the router has, with every scope alone: only those that the description names open it.
func TestEveryRouteWantsItsScope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	none := b.token(t, "none", "nothing")
	byScope := map[string]string{}
	for _, s := range api.Scopes {
		byScope[s] = b.token(t, s, s)
	}
	routes := b.api.Routes()
	require.Greater(t, len(routes), 40)
	for _, route := range routes {
		method, path := addressOf(route.Pattern)
		if slices.Contains(openRoutes, route.Pattern) {
			require.Empty(t, route.Scopes, route)
			require.Less(t, b.do(t, method, path, "", "Authorization", "").status, 400, route)
			continue
		}
		require.NotEmpty(t, route.Scopes, "%s is open to everybody", route.Pattern)
		a := b.do(t, method, path, "", "Authorization", "")
		require.Equal(t, 401, a.status, route)
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
		a = b.do(t, method, path, "", "Authorization", none)
		require.Equal(t, 403, a.status, route)
		require.Contains(t, a.body, route.Scopes[0], "the missing scope is named")
		for scope, token := range byScope {
			status := b.do(t, method, path, "", "Authorization", token).status
			require.Equal(t, slices.Contains(route.Scopes, scope), status != 403, "%v with %s: %d", route, scope, status)
			require.NotEqual(t, 401, status)
		}
	}
}

// The table of scopes in the docs is that of the router.
func TestDocsListTheScopesOfEveryRoute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var table strings.Builder
	table.WriteString("| route | " + strings.Join(api.Scopes, " | ") + " |\n|---|" +
		strings.Repeat(":-:|", len(api.Scopes)) + "\n")
	for _, route := range b.api.Routes() {
		if len(route.Scopes) == 0 {
			continue
		}
		table.WriteString("| `" + route.Pattern + "` |")
		for _, scope := range api.Scopes {
			table.WriteString(map[bool]string{true: " ✓ |", false: " |"}[slices.Contains(route.Scopes, scope)])
		}
		table.WriteString("\n")
	}
	const page = "../docs/use/tokens.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)(<!-- scopes[^\n]*-->\n).*?(<!-- end -->)`)
	require.True(t, section.Match(text), "the page has the generated section")
	want := section.ReplaceAll(text, []byte("${1}"+table.String()+"${2}"))
	if *update {
		require.NoError(t, os.WriteFile(page, want, 0o600))
		return
	}
	require.Equal(t, string(want), string(text), "write it anew: go test ./api -run Docs -update")
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
