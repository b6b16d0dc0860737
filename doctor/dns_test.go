package doctor_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a DNS server knows: the values of a name by type.
type zone map[string][]string // "TXT shop.test", "MX shop.test", "A mx.shop.test"

// serve answers from a zone, by UDP and TCP as servers do, and gives a resolver that asks there.
func (z zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := z.answer(buf[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	known := false
	for key := range z {
		known = known || strings.HasSuffix(key, " "+name)
	}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	add := func(body dnsmessage.ResourceBody) {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET, TTL: 60}, Body: body,
		})
	}
	switch q.Type { //nolint:exhaustive // what doctor asks for
	case dnsmessage.TypeTXT:
		for _, v := range z["TXT "+name] {
			var parts []string
			for ; len(v) > 200; v = v[200:] {
				parts = append(parts, v[:200])
			}
			add(&dnsmessage.TXTResource{TXT: append(parts, v)})
		}
	case dnsmessage.TypeMX:
		for _, v := range z["MX "+name] {
			add(&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(v + ".")})
		}
	case dnsmessage.TypeA:
		for range z["A "+name] {
			add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
