package web_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/throttle"
)

func TestWhoGuessesAddressesOfPagesIsAskedToWaitAndNobodyElse(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "game", Sources: []keyturn.Source{{Type: keyturn.SourceManual}}})
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, http.NoBody)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		return res.StatusCode, res.Header.Get("Retry-After")
	}
	for range throttle.PerMinute {
		status, wait := get("/o/wrong")
		require.Equal(t, 404, status)
		require.Empty(t, wait)
	}
	status, wait := get("/o/wrong")
	require.Equal(t, 429, status)
	require.NotEmpty(t, wait)
	status, _ = get(s.buy("en", "game").path)
	require.Equal(t, 200, status, "a right address is shown all the same")
}
