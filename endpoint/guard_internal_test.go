package endpoint

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	production, development := newGuard(nil, true), newGuard(nil, false)
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8", "169.254.169.254",
		"172.16.0.1", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
		"203.0.113.9", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
		"::127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1",
		"fec0::1", "ff02::1", "fe80::1%eth0",
	} {
		addr := netip.MustParseAddr(text)
		require.False(t, production.permits(addr), text)
		require.Equal(t, addr.Unmap().IsLoopback(), development.permits(addr), text)
	}
	for _, text := range []string{
		"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1",
		"198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00::1",
	} {
		require.True(t, production.permits(netip.MustParseAddr(text)), text)
	}
	allowed := newGuard([]string{"10.20.0.0/16", "fd00:1234::/32"}, true)
	for text, want := range map[string]bool{
		"10.20.1.1": true, "::ffff:10.20.1.1": true, "10.21.1.1": false,
		"fd00:1234::1": true, "fd00:1235::1": false,
	} {
		require.Equal(t, want, allowed.permits(netip.MustParseAddr(text)), text)
	}
	require.False(t, production.permits(netip.Addr{}))
	require.ErrorIs(t, production.control("tcp", "not an address", nil), errBlocked)
	require.ErrorIs(t, production.control("tcp", "[::ffff:127.0.0.1]:80", nil), errBlocked)
	require.NoError(t, production.control("tcp", "8.8.8.8:443", nil))
}

// What runs beside Keyturn, or gives a cloud's machine its credentials, is no partner: no catalog opens it.
func TestAllowedNetworksOpenNoDoorToThisHost(t *testing.T) {
	t.Parallel()
	lists := []string{
		"127.0.0.0/8", "127.0.0.1/32", "::1/128", "169.254.0.0/16", "169.254.169.254/32", "fe80::/32", "fd00:ec2::254/128",
		"100.100.100.200/32", "0.0.0.0/8",
	}
	for _, list := range lists {
		in := keyturn.Integration{ID: "a", BaseURL: "https://partner.test", AllowedNetworks: []string{list}}
		require.ErrorContains(t, Check(in, true), "allowedNetworks[0] must not open", list)
	}
	require.NoError(t, Check(keyturn.Integration{
		ID: "a", BaseURL: "http://127.0.0.1:9090", AllowedNetworks: []string{"127.0.0.0/8"},
	}, false), "development reaches this host")
	wide := newGuard(append(lists, "100.64.0.0/10", "fd00:ec2::/32", "64:ff9b::/96"), true)
	for _, text := range []string{
		"127.0.0.1", "::ffff:127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "0.0.0.0",
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
	} {
		require.False(t, wide.permits(netip.MustParseAddr(text)), text)
	}
	for _, text := range []string{"100.64.0.1", "fd00:ec2::1", "64:ff9b::808:808"} {
		require.True(t, wide.permits(netip.MustParseAddr(text)), text)
	}
}
