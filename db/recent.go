package db

import "sync"

// recent keeps what was read last under its ID, for what takes longer to read than to find out that it is the same as
// before. What is in it is shared and must not be changed. The zero value is ready.
type recent[T any] struct {
	mu   sync.Mutex
	last map[string]T
}

// maxRecent bounds it: when it is full it forgets all rather than keep an order of use.
const maxRecent = 10_000

func (r *recent[T]) get(id string) (T, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.last[id]
	return v, ok
}

func (r *recent[T]) keep(id string, v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || len(r.last) >= maxRecent {
		r.last = map[string]T{}
	}
	r.last[id] = v
}

func (r *recent[T]) take(id string) (T, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.last[id]
	delete(r.last, id)
	return v, ok
}

func (r *recent[T]) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, id)
}
