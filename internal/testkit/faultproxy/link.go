package faultproxy

import (
	"net"
	"sync"
)

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	requests       Reader
	answers        Reader
	gone           chan struct{}
	once           sync.Once

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
		if tcp, ok := l.client.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		close(l.gone)
		_ = l.client.Close()
		_ = l.server.Close()
	})
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
			if tcp, ok := l.server.(*net.TCPConn); ok {
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
			if lose, reset := l.proxy.loses(name); lose {
				l.end(reset)
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
