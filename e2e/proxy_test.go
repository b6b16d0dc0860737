package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

func newProxy(t *testing.T, to string, speaks faultproxy.Protocol) *faultproxy.Proxy {
	p, err := faultproxy.Start("127.0.0.1:0", to, speaks)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// disarm says whether the answer was lost.
func disarm(p *faultproxy.Proxy) bool {
	_, lost := p.Disarm()
	return lost
}
