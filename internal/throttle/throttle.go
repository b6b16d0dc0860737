// Package throttle slows down who guesses, or does too much of one thing: it counts what it is told of for each client
// address. What is right is never counted, and never refused.
package throttle

import (
	"cmp"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn"
)

const (
	// PerMinute is how many failures of one address are answered as failures before it is asked to wait.
	PerMinute = 20
	// maxAddresses bounds the memory: what further addresses fail in the same time is counted together.
	maxAddresses = 10_000
)

// Throttle counts the failures of this minute, or of another time. It is safe for concurrent use; the zero value trusts
// no proxy, and nil counts nothing.
type Throttle struct {
	Trusted []netip.Prefix // proxies whose X-Forwarded-For tells who the client is
	Most    int            // failures of one address in the time; 0: PerMinute
	Every   time.Duration  // 0: a minute
	Now     func() time.Time

	mu     sync.Mutex
	since  time.Time
	failed map[netip.Prefix]int // the zero prefix: everybody for whom there is no room
}

// ParseProxies reads the networks of trusted proxies, with commas between them: 10.0.0.0/8, 2001:db8::/32. An address
// alone is a network of one.
func ParseProxies(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(part); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "must be networks such as 10.0.0.0/8,2001:db8::/32: %s is none",
				part)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Failed counts a failure of the request's client. A wait that is not 0 says that there were too many: the answer is
// 429, and failures are counted anew after the wait.
func (t *Throttle) Failed(r *http.Request) (wait time.Duration) {
	if t == nil {
		return 0
	}
	client, most, every := t.client(r), cmp.Or(t.Most, PerMinute), cmp.Or(t.Every, time.Minute)
	now := time.Now()
	if t.Now != nil {
		now = t.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= every || now.Before(t.since) || t.failed == nil {
		t.since, t.failed = now, map[netip.Prefix]int{}
	}
	if _, known := t.failed[client]; !known && len(t.failed) >= maxAddresses {
		client = netip.Prefix{}
	}
	t.failed[client]++
	if t.failed[client] <= most {
		return 0
	}
	return t.since.Add(every).Sub(now)
}

// client is the network of the request's client: an IPv4 address, or the /64 that one holder of IPv6 has.
func (t *Throttle) client(r *http.Request) netip.Prefix {
	at := t.Address(r)
	bits := at.BitLen()
	if at.Is6() {
		bits = 64
	}
	p, _ := at.Prefix(bits) // of that many bits there is one; of an address that is not known the zero prefix
	return p
}

// Address is the address of the request's client; the zero Addr: it is not known. Each trusted proxy says whom it
// forwards for; what an untrusted one says counts for nothing.
func (t *Throttle) Address(r *http.Request) netip.Addr {
	at, ok := parseAddr(r.RemoteAddr)
	if !ok {
		return netip.Addr{}
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && t.trusts(at); i-- {
		before, ok := parseAddr(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		at = before
	}
	return at
}

func (t *Throttle) trusts(a netip.Addr) bool {
	for _, p := range t.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with a port or without.
func parseAddr(text string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap().WithZone(""), err == nil
}
