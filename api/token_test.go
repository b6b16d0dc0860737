package api_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
)

// A stream that its client keeps open for ever ends with its token, and so does every other use of it.
func TestAWithdrawnTokenEndsEverywhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	b.order(t, "ORD-1", "acme-pro")
	token := b.token(t, "shop", api.ScopeOrdersRead)
	require.Equal(t, 200, b.do(t, "GET", "/v1/orders/ORD-1", "", "Authorization", token).status)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/v1/orders/ORD-1/events?follow=true", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", token)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 200, res.StatusCode)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		ended <- err
	}()

	require.NoError(t, b.db.WithdrawToken(t.Context(), "shop"))
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "the stream outlives its token")
	}
	require.Eventually(t, func() bool {
		return b.do(t, "GET", "/v1/orders/ORD-1", "", "Authorization", token).status == 401
	}, time.Minute, 100*time.Millisecond)
}
