package db

import (
	"sync"
	"time"
)

// fronts remembers, for each pool, where in the queue of keys this process's next claim should begin to look. It saves
// two costs that a claim which begins at the very first entry has: every claimer meets every other one's locked keys
// there, and walks over the index entries of all keys that were sold since PostgreSQL last cleaned up. Claims that run at
// the same time begin one key apart instead, and one alone takes exactly the first key that is for sale.
//
// A front is a hint and decides nothing. A key before it, which came back or was left by a transaction that failed, is
// found by the claim that looks from the very beginning, which one does each second, after each failure, and whenever
// too few keys are found.
type fronts struct {
	mu    sync.Mutex
	pools map[string]*front
}

type front struct {
	next   int64 // the position to look from
	looked time.Time
	wait   time.Duration // until somebody looks from the beginning again
}

// The search from the beginning is repeated after a second, or less often where it takes long: it shall cost a hundredth
// of the time at most.
const (
	lookAgain     = time.Second
	lookShare     = 100
	positionStart = int64(0)
)

// look gives the position to look for n keys from.
func (f *fronts) look(pool string, n int) (from int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pools[pool]
	if p == nil || time.Since(p.looked) > p.wait {
		if p != nil { // the others go on meanwhile
			p.looked = time.Now()
		}
		return positionStart
	}
	from = p.next
	p.next += int64(n)
	return from
}

// took notes which position a claim took last, and how long its search took.
func (f *fronts) took(pool string, from, last int64, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pools[pool]
	switch {
	case p == nil:
		if f.pools == nil {
			f.pools = map[string]*front{}
		}
		f.pools[pool] = &front{next: last + 1, looked: time.Now(), wait: max(lookAgain, lookShare*d)}
	case from == positionStart: // it knows best, also where keys have come back
		p.next, p.looked, p.wait = last+1, time.Now(), max(lookAgain, lookShare*d)
	case last >= p.next:
		p.next = last + 1
	}
}

// forget has the next claim look from the beginning.
func (f *fronts) forget(pool string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pools, pool)
}
