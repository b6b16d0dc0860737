package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// as is the status of a request with this token.
func (s *poolShop) as(token, path string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.api.BaseURL+path, http.NoBody)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	require.NoError(s.t, res.Body.Close())
	return res.StatusCode
}

func TestTokensAreMadeListedAndWithdrawn(t *testing.T) {
	s := newPoolShop(t)
	require.Contains(t, s.run("token", "list"), "no tokens")
	plain := strings.TrimSpace(s.run("token", "create", "shop", "--scope", "orders:read,ops"))
	var made struct{ Name, Token, Prefix, UnknownFields string }
	require.NoError(t, json.Unmarshal([]byte(s.run("token", "create", "m42", "--prefix", "m42:", "--scope", "orders:read",
		"--unknown-fields=ignore", "--output", "json")), &made))
	require.Equal(t, "m42:", made.Prefix)
	require.Equal(t, "ignore", made.UnknownFields)
	require.Equal(t, 200, s.as(plain, "/v1/orders"))
	require.Equal(t, 200, s.as(made.Token, "/v1/orders"))

	list := s.run("token", "list")
	require.Regexp(t, `(?m)^m42 +orders:read +m42: +ignore +20\S+ \S+ +20\S+ \S+ +-$`, list)
	require.Regexp(t, `(?m)^shop +orders:read,ops +- +refuse +20\S+ \S+ +20\S+ \S+ +-$`, list)
	require.NotContains(t, list, plain)

	require.Contains(t, s.run("token", "withdraw", "shop"), "withdrew shop")
	s.api.BaseURL = s.serve() // the other API keeps tokens for api.TokenLife, as a test there shows
	require.Equal(t, 401, s.as(plain, "/v1/orders"))
	require.Equal(t, 200, s.as(made.Token, "/v1/orders"), "the other goes on")
	require.Regexp(t, `(?m)^shop .* 20\S+ \S+$`, s.run("token", "list"), "it stays in the list")

	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"create", "shop", "--scope", "ops"}, "or there was"},
		{[]string{"create", "x", "--scope", "root"}, "there is no scope root; there are orders:write"},
		{[]string{"create", "x", "--scope", "ops", "--prefix", "m42"}, "and a colon at the end, such as m42:"},
		{[]string{"create", "x", "--scope", "ops", "--unknown-fields", "maybe"}, "must be refuse or ignore"},
		{[]string{"withdraw", "nobody"}, "there is no token named nobody"},
	} {
		_, err := execute(t, append([]string{"token"}, row.args...)...)
		require.ErrorContains(t, err, row.want)
		require.NotEqual(t, keyturn.KindInternal, keyturn.KindOf(err))
	}
}
