package api_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/internal/throttle"
)

func TestWhoGuessesTokensIsAskedToWaitAndNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	right := b.token(t, "shop", api.ScopeOrdersRead)
	with := func(token string) answer { return b.do(t, "GET", "/v1/orders", "", "Authorization", token) }
	for range throttle.PerMinute {
		require.Equal(t, 401, with("").status, "no token is no guess")
	}
	for i := range throttle.PerMinute {
		require.Equal(t, 401, with("Bearer kt_"+strconv.Itoa(i)).status)
	}
	a := with("Bearer kt_more")
	require.Equal(t, 429, a.status, a.body)
	wait, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, wait)
	require.LessOrEqual(t, wait, 61)
	require.Contains(t, a.body, "problems/ratelimited")
	require.Equal(t, 200, with(right).status, "a right token is never refused for what its neighbours send")
	require.Equal(t, 401, with("").status)
}
