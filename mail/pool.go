package mail

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errClosed = errors.New("the sender is closed")

// pool keeps idle sessions for the next mail and bounds how many are open. Opening one takes several round trips and a
// TLS handshake, more than the mail itself.
type pool struct {
	slots chan struct{} // one element per mail on its way; only who finds no session waiting opens one, so it bounds both
	idle  time.Duration

	mu      sync.Mutex
	waiting []*session // the last one is the one used last
	closed  bool
}

func newPool(size int, idle time.Duration) *pool {
	return &pool{slots: make(chan struct{}, size), idle: idle}
}

// acquire waits for a slot. It returns the most recently used idle session, or nil if the caller must open one. Each
// acquire is followed by one release.
func (p *pool) acquire(ctx context.Context) (*session, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		<-p.slots
		return nil, errClosed
	}
	if len(p.waiting) > 0 {
		last := len(p.waiting) - 1
		s := p.waiting[last]
		p.waiting = p.waiting[:last]
		s.idle.Stop() // if it has fired already, remove finds nothing: the session belongs to who took it from the list
		return s, nil
	}
	return nil, nil
}

// release returns the slot, and the session for the next mail unless it is nil.
func (p *pool) release(s *session) {
	if s != nil && !p.keep(s) {
		s.quit()
	}
	<-p.slots
}

func (p *pool) keep(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	s.idle = time.AfterFunc(p.idle, func() {
		if p.remove(s) {
			s.quit()
		}
	})
	p.waiting = append(p.waiting, s)
	return true
}

// remove takes an idle session out of the pool. It reports false if the session is already taken.
func (p *pool) remove(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.waiting {
		if other == s {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// close ends the idle sessions. A session in use ends with its mail.
func (p *pool) close() {
	p.mu.Lock()
	waiting := p.waiting
	p.waiting, p.closed = nil, true
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range waiting {
		s.idle.Stop()
		all.Go(s.quit)
	}
	all.Wait()
}
