package activities

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"keyturn.dev/keyturn"
)

// SourceLimiter bounds how many lines of one source do the same thing in this process at the same time, so that one
// partner's lines leave room for those of all others. The zero value is ready; it is safe for concurrent use. It holds
// an entry for each source that it was asked for, and the catalogue has few.
type SourceLimiter struct {
	mu      sync.Mutex
	sources map[string]*semaphore.Weighted
}

// Acquire waits until fewer than most lines of the source are inside, and returns what lets the next one in. Each call
// for a source gives the same most. The error is KindUnavailable: ctx ended first.
func (l *SourceLimiter) Acquire(ctx context.Context, source string, most int) (release func(), err error) {
	room := l.of(source, most)
	if err := room.Acquire(ctx, 1); err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "too many lines of %s come at the same time: %w", source, err)
	}
	return func() { room.Release(1) }, nil
}

// TryAcquire is Acquire that does not wait: ok is false, and release nil, if most lines of the source are inside.
func (l *SourceLimiter) TryAcquire(source string, most int) (release func(), ok bool) {
	room := l.of(source, most)
	if !room.TryAcquire(1) {
		return nil, false
	}
	return func() { room.Release(1) }, true
}

func (l *SourceLimiter) of(source string, most int) *semaphore.Weighted {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources == nil {
		l.sources = map[string]*semaphore.Weighted{}
	}
	if l.sources[source] == nil {
		l.sources[source] = semaphore.NewWeighted(int64(most))
	}
	return l.sources[source]
}
