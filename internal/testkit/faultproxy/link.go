package faultproxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	requests       Reader
	answers        Reader
	gone           chan struct{}
	once           sync.Once
	settles        atomic.Bool // the server does not learn yet that the client is gone

	mu   sync.Mutex
	open map[uint32]string // requests without an answer, by stream
}

func newLink(p *Proxy, client, server net.Conn) *link {
	l := &link{proxy: p, client: client, server: server, gone: make(chan struct{}), open: map[uint32]string{}}
	l.requests, l.answers = p.protocol(client, server)
	return l
}

// busy is how many requests wait for an answer.
func (l *link) busy() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// end cuts both sides.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.gone)
		l.hangUp(reset)
		_ = l.server.Close()
	})
}

// hangUp cuts the client's side.
func (l *link) hangUp(reset bool) {
	if tcp, ok := l.client.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = l.client.Close()
}

// lose cuts the client's side at once, and the server's when it has settled.
func (l *link) lose(loss Loss) {
	if loss.Settle > 0 && l.server.SetReadDeadline(time.Now().Add(loss.Settle)) == nil {
		l.settles.Store(true)
		l.hangUp(loss.Reset)
		_, _ = io.Copy(io.Discard, l.server) // until the deadline
	}
	l.end(loss.Reset)
}

func (l *link) forwardRequests() {
	for {
		m, err := l.requests()
		if m.asks {
			l.mu.Lock()
			l.open[m.stream] = m.name
			l.mu.Unlock()
		}
		if m.asks && l.proxy.watched(m.name, false) {
			l.end(false)
			return
		}
		l.proxy.wait(false, l.gone)
		if len(m.bytes) > 0 {
			if _, err := l.server.Write(m.bytes); err != nil {
				return
			}
		}
		if m.asks {
			l.proxy.forwarded(m.name)
		}
		if err != nil {
			if tcp, ok := l.server.(*net.TCPConn); ok && !l.settles.Load() {
				_ = tcp.CloseWrite()
			}
			return
		}
	}
}

func (l *link) forwardAnswers() {
	defer l.end(false)
	for {
		m, err := l.answers()
		l.mu.Lock()
		name, asked := l.open[m.stream]
		if m.answers {
			delete(l.open, m.stream)
		}
		l.mu.Unlock()
		if m.answers && asked {
			if loss := l.proxy.loses(name); loss != nil {
				l.lose(*loss)
				return
			}
			if l.proxy.watched(name, true) {
				l.end(false)
				return
			}
		}
		if len(m.bytes) > 0 {
			l.proxy.wait(true, l.gone)
			if _, err := l.client.Write(m.bytes); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
