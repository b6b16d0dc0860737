package faultproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Proxy is a listener that forwards to one server. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	protocol Protocol
	over     sync.WaitGroup

	mu        sync.Mutex
	to        string // "": nobody is there
	delay     time.Duration
	swallow   chan struct{} // closed when the swallowing ends; nil: nothing is swallowed
	loss      *Loss
	lost      string // the name of the request whose answer was lost
	delayed   int
	links     map[*link]bool
	waiters   []*waiter
	watch     func(name string, answered bool) (cut bool)
	forgotten bool
}

// Loss says which answer gets lost: its connection is cut after the server has sent it, and before it arrives.
type Loss struct {
	After int                    // answers that match and still pass before
	Reset bool                   // cut by RST; otherwise by FIN
	Only  func(name string) bool // whether this request's answer counts; nil: every one does
}

// Start listens on an address (port 0 takes a free one) and forwards to another.
func Start(listen, to string, protocol Protocol) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen as a proxy: %w", err)
	}
	p := &Proxy{listener: l, protocol: protocol, to: to, links: map[*link]bool{}}
	p.over.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.forgotten = true
	p.mu.Unlock()
	p.Swallow(false)
	p.Cut(false)
	p.over.Wait()
	return err
}

// Target changes the server for connections to come; "" refuses them.
func (p *Proxy) Target(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// Delay makes every answer wait; 0 ends it. It gives how many answers were delayed since it was set before.
func (p *Proxy) Delay(d time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.delayed
	p.delay, p.delayed = d, 0
	return n
}

// Swallow keeps back everything in both directions, as a network does that drops all packets; ending it lets through
// what was kept back.
func (p *Proxy) Swallow(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swallow != nil {
		close(p.swallow)
		p.swallow = nil
	}
	if on {
		p.swallow = make(chan struct{})
	}
}

// Cut ends every connection, by RST or FIN, and gives how many requests were without their answer.
func (p *Proxy) Cut(reset bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := 0
	for l := range p.links {
		busy += l.busy()
		l.end(reset)
	}
	return busy
}

// Busy is how many requests are without their answer now.
func (p *Proxy) Busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := 0
	for l := range p.links {
		busy += l.busy()
	}
	return busy
}

// Watch has fn told of every request, before it is forwarded and once its answer is there. Where fn says so the proxy
// ends for good, as with the process that it stands before: the request is not forwarded, or its answer is lost.
func (p *Proxy) Watch(fn func(name string, answered bool) (cut bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = fn
}

// watched asks the watcher.
func (p *Proxy) watched(name string, answered bool) bool {
	p.mu.Lock()
	watch := p.watch
	p.mu.Unlock()
	return watch != nil && watch(name, answered)
}

// waiter is told of the first request that matches, at any of its proxies.
type waiter struct {
	only func(name string) bool
	seen chan struct{}
	once sync.Once
}

// Await returns a channel that is closed once one of the proxies has forwarded a request that matches: the server works
// on it now. stop ends the waiting.
func Await(only func(name string) bool, proxies ...*Proxy) (seen <-chan struct{}, stop func()) {
	w := &waiter{only: only, seen: make(chan struct{})}
	for _, p := range proxies {
		p.mu.Lock()
		p.waiters = append(p.waiters, w)
		p.mu.Unlock()
	}
	return w.seen, func() {
		for _, p := range proxies {
			p.mu.Lock()
			p.waiters = slices.DeleteFunc(p.waiters, func(other *waiter) bool { return other == w })
			p.mu.Unlock()
		}
	}
}

// forwarded tells whoever waits.
func (p *Proxy) forwarded(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiters {
		if w.only == nil || w.only(name) {
			w.once.Do(func() { close(w.seen) })
		}
	}
}

// Lose arms the loss of one answer.
func (p *Proxy) Lose(loss Loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loss, p.lost = &loss, ""
}

// Disarm ends it, and gives the name of the request whose answer was lost; lost is false if none was.
func (p *Proxy) Disarm() (name string, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, lost = p.lost, p.lost != ""
	p.loss, p.lost = nil, ""
	return name, lost
}

// loses reports whether the answer to this request is the one that gets lost.
func (p *Proxy) loses(name string) (lose, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loss == nil || p.loss.Only != nil && !p.loss.Only(name) {
		return false, false
	}
	if p.loss.After > 0 {
		p.loss.After--
		return false, false
	}
	reset = p.loss.Reset
	if name == "" {
		name = "a request"
	}
	p.loss, p.lost = nil, name
	return true, reset
}

// wait holds a message for as long as the proxy delays or swallows.
func (p *Proxy) wait(answer bool, gone <-chan struct{}) {
	p.mu.Lock()
	swallow, delay := p.swallow, time.Duration(0)
	if answer && p.delay > 0 {
		delay = p.delay
		p.delayed++
	}
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-gone:
		}
	}
	if swallow != nil {
		select {
		case <-swallow:
		case <-gone:
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		p.over.Go(func() { p.serve(client, to) })
	}
}

func (p *Proxy) serve(client net.Conn, to string) {
	defer client.Close()
	if to == "" {
		return
	}
	server, err := net.DialTimeout("tcp", to, 5*time.Second) //nolint:noctx // it has a time-out
	if err != nil {
		return
	}
	defer server.Close()
	l := newLink(p, client, server)
	if !p.remember(l) {
		return
	}
	defer p.forget(l)
	p.over.Go(l.forwardRequests)
	l.forwardAnswers()
}

func (p *Proxy) remember(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgotten {
		return false
	}
	p.links[l] = true
	return true
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// Lost reports whether the answer that Lose asked for has been lost.
func (p *Proxy) Lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost != ""
}
