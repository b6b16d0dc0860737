package stock

import (
	"sync"
	"time"
)

// claimCursors keeps one cursor per pool: the position in the queue of keys at which this process's next claim starts
// to search. It saves two costs of a search that starts at the very first entry: each claim runs into the keys that
// all others hold locked, and walks over the index entries of every key sold since the last vacuum. Concurrent claims
// start one key apart, and a single claimer takes exactly the first key for sale.
//
// A cursor is a hint and decides nothing. A key before it, returned or left by a failed transaction, is found by a
// claim that searches from the start of the queue. That happens once a second, after each failure, and whenever the
// search from the cursor finds too few keys.
type claimCursors struct {
	mu    sync.Mutex
	pools map[string]*claimCursor
}

type claimCursor struct {
	next    int64     // position of the next search
	rewound time.Time // the last search from the start of the queue
	wait    time.Duration
}

// A search from the start of the queue is repeated after rewindAfter, or later where it is slow: it takes a hundredth
// of the time at most.
const (
	rewindAfter  = time.Second
	rewindShare  = 100
	startOfQueue = int64(0)
)

// advance returns the position to search n keys from, and moves the cursor past them.
func (c *claimCursors) advance(pool string, n int) (from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	if p == nil || time.Since(p.rewound) > p.wait {
		if p != nil { // concurrent claims keep the cursor meanwhile
			p.rewound = time.Now()
		}
		return startOfQueue
	}
	from = p.next
	p.next += int64(n)
	return from
}

// found records the last position that a search from a position took, and how long the search took.
func (c *claimCursors) found(pool string, from, last int64, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	switch {
	case p == nil:
		if c.pools == nil {
			c.pools = map[string]*claimCursor{}
		}
		c.pools[pool] = &claimCursor{next: last + 1, rewound: time.Now(), wait: max(rewindAfter, rewindShare*took)}
	case from == startOfQueue: // only this search sees returned keys
		p.next, p.rewound, p.wait = last+1, time.Now(), max(rewindAfter, rewindShare*took)
	case last >= p.next:
		p.next = last + 1
	}
}

// rewind makes the next claim search from the start of the queue.
func (c *claimCursors) rewind(pool string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pools, pool)
}
