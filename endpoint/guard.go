package endpoint

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// reserved are the networks in which no partner is reached, so that a base URL cannot point inside: what netip's own
// predicates call global unicast is wider. IPv6 is the other way round: only 2000::/3 is open, less what is listed
// here.
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4", // 240/4 holds the broadcast address
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // Teredo and other protocols, documentation, 6to4
)

// outside: loopback, fc00::/7, fe80::/10, ff00::/8, NAT64 64:ff9b::/96, …
var openIPv6 = netip.MustParsePrefix("2000::/3")

// closed are the networks that allowedNetworks cannot open in production: this host, its own link, and the services
// that give a cloud's virtual machine its credentials.
var closed = prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/128", "::1/128", "fe80::/10",
	"100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128",
)

// nat64 holds the whole of IPv4 in its last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func isClosed(addr netip.Addr) bool {
	if nat64.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return slices.ContainsFunc(closed, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// opensClosed says that a network is one of the closed ones, or a part of it. One that merely holds a single closed
// address may be opened, and that address stays closed.
func opensClosed(p netip.Prefix) bool {
	return slices.ContainsFunc(closed, func(c netip.Prefix) bool {
		return p.Overlaps(c) && (!c.IsSingleIP() || p.IsSingleIP())
	})
}

var errBlocked = errors.New("the address is in a reserved network")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// guard decides which addresses may be dialled for one integration.
type guard struct {
	allowed    []netip.Prefix // the integration's allowedNetworks
	production bool
}

func newGuard(allowedNetworks []string, production bool) guard {
	g := guard{production: production}
	for _, text := range allowedNetworks {
		if p, err := netip.ParsePrefix(text); err == nil { // Check refuses the others
			g.allowed = append(g.allowed, p.Masked())
		}
	}
	return g
}

// permits reports whether an address may be dialled. An IPv4 address inside an IPv6 one is judged as IPv4.
func (g guard) permits(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	if g.production && isClosed(addr) {
		return false
	}
	for _, p := range g.allowed {
		if p.Contains(addr) {
			return true
		}
	}
	if addr.IsLoopback() {
		return !g.production
	}
	for _, p := range reserved {
		if p.Contains(addr) {
			return false
		}
	}
	return addr.Is4() || openIPv6.Contains(addr)
}

// control is a net.Dialer's Control: it sees the address that is really dialled, after every name look-up, so a name
// that changes its answer between check and use gains nothing.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errBlocked
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !g.permits(addr) {
		return errBlocked
	}
	return nil
}
