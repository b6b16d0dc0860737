package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between the application and a server. It can refuse connections, and it can cut one after the server has
// carried out what it was asked and before the answer arrives.
type proxy struct {
	listener net.Listener

	mu    sync.Mutex
	to    string // "": nobody is there
	left  int    // answers that still pass before the cut; negative: no cut
	reset bool   // cut by RST instead of FIN
	fired bool
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, to: to, left: -1}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) target(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// arm cuts the connection of the answer that comes after as many others.
func (p *proxy) arm(after int, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.reset, p.fired = after, reset, false
}

// disarm says whether a connection was cut.
func (p *proxy) disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = -1
	return p.fired
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	if to == "" {
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 && p.cuts(client) {
			return
		}
		if n > 0 {
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cuts says whether this answer is the one that gets lost.
func (p *proxy) cuts(client net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < 0 {
		return false
	}
	p.left--
	if p.left >= 0 {
		return false
	}
	p.fired = true
	if p.reset {
		_ = client.(*net.TCPConn).SetLinger(0)
	}
	return true
}
