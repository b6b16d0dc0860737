package db

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a client and PostgreSQL. Armed, it lets PostgreSQL carry out the k-th round trip and cuts the
// connection before the answer goes back: the one fault that random killing does not find.
type proxy struct {
	target   string
	listener net.Listener
	conns    sync.WaitGroup

	armed atomic.Int64 // 0: forward all; k: cut the k-th answer from now
	reset atomic.Bool  // by RST rather than FIN
	fired atomic.Bool
}

// throughProxy gives a connection string to the same database by way of a proxy.
func throughProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	p := &proxy{target: u.Host}
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = p.listener.Addr().String()
	p.conns.Go(p.serve)
	t.Cleanup(func() {
		p.listener.Close()
		p.conns.Wait()
	})
	return p, u.String()
}

// cut arms the proxy.
func (p *proxy) cut(k int, reset bool) {
	p.fired.Store(false)
	p.reset.Store(reset)
	p.armed.Store(int64(k))
}

// disarm says whether the cut happened.
func (p *proxy) disarm() bool {
	p.armed.Store(0)
	return p.fired.Load()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.conns.Go(func() {
			_, _ = io.Copy(server, client)
			server.Close()
		})
		p.conns.Go(func() {
			p.answers(client, server)
			client.Close()
			server.Close()
		})
	}
}

// answers forwards PostgreSQL's messages, a whole round trip at a time: up to ReadyForQuery, which ends each.
func (p *proxy) answers(client, server net.Conn) {
	var trip []byte
	for startup := true; ; {
		head := make([]byte, 5)
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		trip = append(append(trip, head...), body...)
		switch {
		case startup && head[0] == 'Z':
			startup = false
		case startup: // the handshake goes back and forth within one trip
		case head[0] != 'Z':
			continue
		case p.armed.Load() > 0 && p.armed.Add(-1) == 0:
			p.fired.Store(true)
			if tcp, ok := client.(*net.TCPConn); ok && p.reset.Load() {
				_ = tcp.SetLinger(0)
			}
			return
		}
		if _, err := client.Write(trip); err != nil {
			return
		}
		trip = trip[:0]
	}
}

// The proxy itself is tried on the fault that it is made for: lib/pq carries out an autocommit statement a second time,
// without an error, when the first answer is lost by FIN. Every write of ours is in a transaction because of it.
func TestProxyFindsTheDoubleExecution(t *testing.T) {
	s := newShop(t)
	s.exec(`CREATE TABLE tally (n int)`)
	p, dsn := throughProxy(t, s.dsn)
	d := s.open(t, dsn)
	defer d.Close()
	for _, reset := range []bool{false, true} {
		s.exec(`DELETE FROM tally`)
		require.NoError(t, d.Ping(s.ctx))
		p.cut(1, reset)
		_, err := d.x.ExecContext(s.ctx, `INSERT INTO tally VALUES (1)`) //keyturn:autocommit to see what goes wrong
		require.True(t, p.disarm())
		n := read[int](s, `SELECT count(*) FROM tally`)
		if reset {
			require.Error(t, err)
			require.Equal(t, 1, n)
		} else {
			require.True(t, err == nil && n == 2 || err != nil && n == 1, "%v, %d rows: lib/pq has changed", err, n)
		}
	}
}
