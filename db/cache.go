package db

import "sync"

// cache is a bounded cache of values that take longer to read than to validate: each user checks that an entry is still
// what the database has. Cached values are shared and must not be changed. The zero value is ready.
type cache[T any] struct {
	mu      sync.Mutex
	entries map[string]T
}

// maxCached bounds a cache: a full one is emptied, which is simpler than to keep an order of use.
const maxCached = 10_000

func (c *cache[T]) get(key string) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.entries[key]
	return v, ok
}

func (c *cache[T]) put(key string, v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= maxCached {
		c.entries = map[string]T{}
	}
	c.entries[key] = v
}

func (c *cache[T]) remove(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
}
