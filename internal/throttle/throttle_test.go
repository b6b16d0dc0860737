package throttle_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/internal/throttle"
)

func from(peer string, forwarded ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	return r
}

// exhaust fails as often as is allowed, and once more.
func exhaust(t *testing.T, th *throttle.Throttle, r *http.Request) {
	t.Helper()
	for range throttle.PerMinute {
		require.Zero(t, th.Failed(r))
	}
	require.Positive(t, th.Failed(r))
}

func TestTheClientIsWhomTrustedProxiesName(t *testing.T) {
	t.Parallel()
	trusted, err := throttle.ParseProxies("10.0.0.0/8, 192.0.2.7,2001:db8:1::/48")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		one, same, other *http.Request
	}{
		"the peer": {from("203.0.113.1:5"), from("203.0.113.1:6"), from("203.0.113.2:5")},
		"an untrusted peer may not name others": {
			from("203.0.113.1:5", "198.51.100.1"), from("203.0.113.1:5", "198.51.100.2"), from("203.0.113.9:5", "198.51.100.1"),
		},
		"behind two proxies": {
			from("10.0.0.1:5", "1.1.1.1, 198.51.100.1, 192.0.2.7"), from("10.0.0.2:5", "2.2.2.2,198.51.100.1"),
			from("10.0.0.1:5", "198.51.100.1, 198.51.100.2"),
		},
		"in two headers": {
			from("10.0.0.1:5", "1.1.1.1", "198.51.100.1:443"), from("10.0.0.1:5", "198.51.100.1"), from("10.0.0.1:5", "1.1.1.1"),
		},
		"nonsense is the proxy's": {from("10.0.0.1:5", "unknown"), from("10.0.0.1:5"), from("10.0.0.2:5")},
		"a /64":                   {from("[2001:db8:2::1]:5"), from("[2001:db8:2:0:ffff::9]:5"), from("[2001:db8:2:1::1]:5")},
		"IPv4 in IPv6":            {from("[::ffff:203.0.113.1]:5"), from("203.0.113.1:5"), from("[::ffff:203.0.113.2]:5")},
	} {
		th := &throttle.Throttle{Trusted: trusted}
		exhaust(t, th, c.one)
		require.Positive(t, th.Failed(c.same), name)
		require.Zero(t, th.Failed(c.other), name)
	}
	_, err = throttle.ParseProxies("10.0.0.0/8, proxy.example")
	require.ErrorContains(t, err, "proxy.example is none")
}

func TestAMinuteEnds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	th := &throttle.Throttle{Now: func() time.Time { return now }}
	exhaust(t, th, from("203.0.113.1:5"))
	now = now.Add(45 * time.Second)
	require.Equal(t, 15*time.Second, th.Failed(from("203.0.113.1:5")))
	now = now.Add(15 * time.Second)
	require.Zero(t, th.Failed(from("203.0.113.1:5")))
}

func TestAnotherLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	th := &throttle.Throttle{Most: 2, Every: time.Hour, Now: func() time.Time { return now }}
	for range 2 {
		require.Zero(t, th.Failed(from("203.0.113.1:5")))
	}
	now = now.Add(20 * time.Minute)
	require.Equal(t, 40*time.Minute, th.Failed(from("203.0.113.1:5")))
	require.Zero(t, th.Failed(from("203.0.113.2:5")))
	now = now.Add(40 * time.Minute)
	require.Zero(t, th.Failed(from("203.0.113.1:5")))
	var none *throttle.Throttle
	require.Zero(t, none.Failed(from("203.0.113.1:5")))
}

// A flood from more addresses than there is room for shares one count; those that are counted already keep theirs.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	th := &throttle.Throttle{}
	require.Zero(t, th.Failed(from("203.0.113.1:5")))
	for i := range 20_000 {
		th.Failed(from(fmt.Sprintf("198.%d.%d.1:5", 51+i>>8, i&255)))
	}
	require.Positive(t, th.Failed(from("198.18.0.1:5")))
	require.Zero(t, th.Failed(from("203.0.113.1:5")))
}
