package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/proxy"
)

func newProxy(t *testing.T, to string, speaks proxy.Protocol) *proxy.Proxy {
	p, err := proxy.Start("127.0.0.1:0", to, speaks)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// disarm says whether the answer was lost.
func disarm(p *proxy.Proxy) bool {
	_, lost := p.Disarm()
	return lost
}
