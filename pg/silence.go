package pg

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// A network that drops every packet, or a pooler that hangs, looks to lib/pq like a slow statement: it waits for ever,
// and does not even hear that its context has ended. So whoever waits for silentAfter asks on a connection of its own
// whether the database answers others. If it does, the statement is slow, and the question is put again later. If not,
// every connection is thrown away: who waits gets KindUnavailable, and nobody waits in vain after them.
const (
	silentAfter  = 3 * time.Second
	silentAtMost = 15 * time.Second // between two questions, when a statement is slow
	probeTimeout = 3 * time.Second
	downFor      = time.Second // from a question without an answer on, no new connection is tried
)

var errSilent = errors.New("the database is silent: it does not answer, and neither refuses nor closes connections")

// watch watches the connections of one DB.
type watch struct {
	probe *pq.Connector

	mu        sync.Mutex
	conns     map[*watchedConn]bool
	asking    *question
	downUntil time.Time
}

// question is one look whether the database answers; everybody who waits shares it.
type question struct {
	done     chan struct{}
	answered bool
}

// answers says whether the database answers anybody. If it does not, all connections are cut.
func (w *watch) answers() bool {
	w.mu.Lock()
	if w.asking == nil {
		w.asking = &question{done: make(chan struct{})}
		go w.ask(w.asking)
	}
	q := w.asking
	w.mu.Unlock()
	<-q.done
	return q.answered
}

func (w *watch) ask(q *question) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	c, err := w.probe.Connect(ctx) // logging in is an answer
	if err == nil {
		_ = c.Close()
	}
	_, refused := errors.AsType[*pq.Error](err) // too many connections: it is there
	q.answered = err == nil || refused
	if !q.answered {
		w.cut()
	}
	w.mu.Lock()
	w.asking = nil
	w.mu.Unlock()
	close(q.done)
}

// cut throws every connection away.
func (w *watch) cut() {
	w.mu.Lock()
	w.downUntil = time.Now().Add(downFor)
	conns := w.conns
	w.conns = map[*watchedConn]bool{}
	w.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// check returns an error while the database has just been found silent: those who queue for a connection do not try
// one after the other.
func (w *watch) check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.downUntil) {
		return keyturn.Errorf(keyturn.KindUnavailable, "the database did not answer: %w", errSilent)
	}
	return nil
}

// failed notes that a connection could not be made. Only silence counts: a refusal comes at once.
func (w *watch) failed(err error) {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		w.mu.Lock()
		w.downUntil = time.Now().Add(downFor)
		w.mu.Unlock()
	}
}

// dialer makes watched connections. Keep-alives end those whose own path has gone, although the database answers
// others.
var dialer = net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 4},
}

// Dial is part of pq.Dialer.
func (w *watch) Dial(network, address string) (net.Conn, error) {
	return w.DialContext(context.Background(), network, address)
}

// DialTimeout is part of pq.Dialer.
func (w *watch) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.DialContext(ctx, network, address)
}

// DialContext is part of pq.DialerContext.
func (w *watch) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &watchedConn{Conn: inner, watch: w}
	w.mu.Lock()
	w.conns[c] = true
	w.mu.Unlock()
	return c, nil
}

// watchedConn is a connection on which nobody waits for ever.
type watchedConn struct {
	net.Conn

	watch    *watch
	deadline atomic.Bool // lib/pq has set one of its own, to connect
}

// SetDeadline is part of net.Conn.
func (c *watchedConn) SetDeadline(t time.Time) error {
	c.deadline.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// Read is part of net.Conn.
func (c *watchedConn) Read(b []byte) (n int, err error) {
	err = c.patiently(c.SetReadDeadline, func() error { n, err = c.Conn.Read(b); return err })
	return n, err
}

// Write is part of net.Conn.
func (c *watchedConn) Write(b []byte) (written int, err error) {
	err = c.patiently(c.SetWriteDeadline, func() error {
		n, err := c.Conn.Write(b[written:])
		written += n
		return err
	})
	return written, err
}

// patiently does something until it succeeds or fails, or the database is found silent.
func (c *watchedConn) patiently(until func(time.Time) error, do func() error) error {
	if c.deadline.Load() {
		return do()
	}
	for wait := silentAfter; ; wait = min(2*wait, silentAtMost) {
		if err := until(time.Now().Add(wait)); err != nil {
			return err
		}
		if err := do(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if !c.watch.answers() {
			_ = c.Close()
			// lib/pq's word for a bad connection
			return &net.OpError{Op: "wait", Net: "tcp", Addr: c.RemoteAddr(), Err: errSilent}
		}
	}
}

// Close is part of net.Conn.
func (c *watchedConn) Close() error {
	c.watch.mu.Lock()
	delete(c.watch.conns, c)
	c.watch.mu.Unlock()
	return c.Conn.Close()
}
