//go:build chaos

package survive_test

import (
	"context"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

// A fault is fired while its target works on something: it says whether that was so.
type fault struct {
	kind  string
	parts []string // that it holds; of several one that is free
	fire  func(l *lab, rng *rand.Rand, on *part) (inFlight bool)
}

// patience is how long a fault waits for its target to be at work.
const patience = 4 * time.Second

// at waits until one of the proxies of a boundary has just forwarded a request.
func (l *lab) at(only func(string) bool, proxies ...*faultproxy.Proxy) bool {
	seen, stop := faultproxy.Await(only, proxies...)
	defer stop()
	select {
	case <-seen:
		return true
	case <-time.After(patience):
		return false
	}
}

// effects are the requests of each boundary that change something.
func effects(boundary string) func(string) bool {
	return func(name string) bool {
		switch boundary {
		case toPostgres:
			return strings.HasPrefix(name, faultproxy.Commit)
		case toTemporal:
			return strings.HasPrefix(name, "Start") || strings.HasPrefix(name, "Respond") || strings.HasPrefix(name, "Signal") ||
				strings.HasPrefix(name, "Record")
		case toPartner:
			return true // a dynamic URL is asked by GET
		case toSMTP:
			return name == faultproxy.FinalDot
		}
		return strings.HasPrefix(name, "POST ")
	}
}

func short(rng *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+rng.Intn(to-from)) * time.Millisecond
}

// networkFaults are those of one boundary.
func networkFaults(boundary string) []fault {
	return []fault{
		{kind: boundary + ": connections cut", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
			ok := l.at(nil, l.proxies[boundary]...)
			for _, p := range l.proxies[boundary] {
				p.Cut(rng.Intn(2) == 0)
			}
			return ok
		}},
		{kind: boundary + ": answers delayed", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
			late := short(rng, 200, 800)
			for _, p := range l.proxies[boundary] {
				p.Delay(late)
			}
			l.at(nil, l.proxies[boundary]...)
			time.Sleep(late)
			n := 0
			for _, p := range l.proxies[boundary] {
				n += p.Delay(0)
			}
			return n > 0
		}},
		{kind: boundary + ": everything swallowed", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
			ok := l.at(nil, l.proxies[boundary]...)
			for _, p := range l.proxies[boundary] {
				p.Swallow(true)
			}
			time.Sleep(short(rng, 300, 1200))
			for _, p := range l.proxies[boundary] {
				p.Swallow(false)
			}
			return ok
		}},
		{kind: boundary + ": answer lost after execution", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
			return l.lose(boundary, rng.Intn(2) == 0)
		}},
	}
}

// lose loses the next answer to a request with an effect, at whichever process's proxy it comes first.
func (l *lab) lose(boundary string, reset bool) bool {
	return l.loses(patience, l.proxies[boundary], faultproxy.Loss{Reset: reset, Only: effects(boundary)})
}

// loses loses an answer at the proxy where it comes first.
func (l *lab) loses(within time.Duration, proxies []*faultproxy.Proxy, loss faultproxy.Loss) bool {
	for _, p := range proxies {
		p.Lose(loss)
	}
	lost := false
	for deadline := time.Now().Add(within); !lost && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, p := range proxies {
			lost = lost || p.Lost()
		}
	}
	for _, p := range proxies {
		_, one := p.Disarm()
		lost = lost || one
	}
	return lost
}

// working waits until a part is at work.
func (l *lab) working(name string) bool {
	switch name {
	case "postgres":
		return l.at(nil, l.proxies[toPostgres]...)
	case "temporal":
		return l.at(nil, l.proxies[toTemporal]...)
	case "mail server":
		return l.at(nil, l.proxies[toSMTP]...)
	case "partner":
		return l.at(nil, l.proxies[toPartner]...)
	case "payment provider":
		return l.at(nil, l.proxies[toPayment]...)
	case "receivers":
		return l.becomes(patience, `SELECT EXISTS (SELECT FROM event_deliveries WHERE webhook IN ('good', 'flaky')
			AND lease_until > now())`)
	case "api":
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if l.load.busy.Load() > 0 {
				return true
			}
		}
		return false
	}
	own := l.own[name] // a worker: in the middle of anything at any boundary
	return l.at(nil, own[toPostgres], own[toTemporal], own[toSMTP], own[toPayment])
}

// processFaults are those of one part.
func processFaults(what string, parts ...string) []fault {
	return []fault{
		{kind: what + ": killed", parts: parts, fire: func(l *lab, rng *rand.Rand, on *part) bool {
			ok := l.working(on.name)
			on.kill()
			time.Sleep(short(rng, 50, 500))
			on.start()
			return ok
		}},
		{kind: what + ": frozen", parts: parts, fire: func(l *lab, rng *rand.Rand, on *part) bool {
			ok := l.working(on.name)
			thaw := on.freeze()
			time.Sleep(short(rng, 200, 1500))
			thaw()
			return ok
		}},
	}
}

// deployFaults stop as a deploy does.
func deployFaults(what string, parts ...string) []fault {
	return []fault{{
		kind: what + ": restarted as by a deploy", parts: parts,
		fire: func(l *lab, _ *rand.Rand, on *part) bool {
			ok := l.working(on.name)
			l.stopKeyturn(on.name)
			on.start()
			return ok
		},
	}}
}

// twoWorkers freezes whichever worker is in the middle of a refund or an e-mail for longer than its heartbeat may stay
// away: its work is given to another one. Then it wakes up and goes on where it was.
func twoWorkers(workers ...string) fault {
	return fault{kind: "two workers on one attempt", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
		boundary := toPayment
		if rng.Intn(4) == 0 {
			boundary = toSMTP
		}
		on := l.catch(patience, boundary, workers)
		if on == nil {
			return false
		}
		defer on.held.Unlock()
		thaw := on.freeze()
		time.Sleep(11*time.Second + short(rng, 0, 1500))
		thaw()
		return true
	}}
}

// lateWorker freezes whichever worker has an e-mail or a refund under way until every lease that it holds has run out,
// and all of its work is others'. Then it wakes up and goes on where it was.
func lateWorker(workers ...string) fault {
	return fault{kind: "worker: woken after its leases", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
		boundary := toSMTP
		if rng.Intn(3) == 0 {
			boundary = toPayment
		}
		on := l.catch(4*patience, boundary, workers)
		if on == nil {
			return false
		}
		defer on.held.Unlock()
		thaw := on.freeze()
		time.Sleep(50*time.Second + short(rng, 0, 3000)) // an e-mail's lease is the longest
		thaw()
		return true
	}}
}

// silence has connections to PostgreSQL stay silent, without closing them, until they are thrown away: all, or those of
// one process. Then what was kept back arrives: a commit of somebody who has long given up takes effect.
func silence() fault {
	return fault{kind: toPostgres + ": silent until thrown away", fire: func(l *lab, rng *rand.Rand, _ *part) bool {
		proxies := l.proxies[toPostgres]
		if rng.Intn(2) == 0 {
			one := rng.Intn(len(proxies))
			proxies = proxies[one : one+1]
		}
		ok := l.at(nil, proxies...)
		for _, p := range proxies {
			p.Swallow(true)
		}
		time.Sleep(short(rng, 8000, 13000))
		for _, p := range proxies {
			p.Swallow(false)
		}
		return ok
	}}
}

// catch waits until one of the workers has an effect under way at a boundary, and holds the first that nothing else is
// done to; nil: none had.
func (l *lab) catch(within time.Duration, boundary string, workers []string) *part {
	seen := make(chan *part, len(workers))
	var watched sync.WaitGroup
	defer watched.Wait()
	over, end := context.WithTimeout(context.Background(), within)
	defer end()
	for _, name := range workers {
		watched.Go(func() {
			for over.Err() == nil {
				forwarded, stop := faultproxy.Await(effects(boundary), l.own[name][boundary])
				select {
				case <-forwarded:
					stop()
					select {
					case seen <- l.parts[name]:
					case <-over.Done():
					}
				case <-over.Done():
					stop()
				}
			}
		})
	}
	for {
		select {
		case p := <-seen:
			if p.held.TryLock() {
				return p
			}
		case <-over.Done():
			return nil
		}
	}
}

const olderBuildKind = "older and newer build side by side"

// oldBuild runs a worker of an older build beside those of this one.
func oldBuild(old, worker string) fault {
	return fault{
		kind: olderBuildKind, parts: []string{worker},
		fire: func(l *lab, rng *rand.Rand, on *part) bool {
			l.stopKeyturn(on.name)
			l.startKeyturn(on.name, old)
			ok := l.working(on.name)
			time.Sleep(short(rng, 2000, 3500))
			l.stopKeyturn(on.name)
			on.start()
			return ok
		},
	}
}

// fullDisk leaves PostgreSQL no room. It may end of it; then it is started again, as a supervisor would.
func fullDisk() fault {
	return fault{
		kind: "PostgreSQL's disk full", parts: []string{"postgres"},
		fire: func(l *lab, rng *rand.Rand, on *part) bool {
			ok := l.working("postgres")
			ballast := filepath.Join(l.mount, "ballast")
			l.fill(ballast)
			time.Sleep(short(rng, 800, 2000))
			if err := os.Remove(ballast); err != nil {
				l.t.Errorf("free the disk: %v", err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if _, err := l.direct.ExecContext(ctx, "SELECT 1"); err != nil {
				on.kill()
				on.start()
			}
			return ok
		},
	}
}

// fill takes all of the space that is left on PostgreSQL's disk.
func (l *lab) fill(path string) {
	f, err := os.Create(path)
	if err != nil {
		l.t.Errorf("fill the disk: %v", err)
		return
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size >= 4096; size /= 16 {
		for {
			if _, err := f.Write(block[:size]); err != nil {
				break
			}
		}
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(l.mount, &s); err == nil && s.Bavail > 8 {
		l.t.Errorf("%d blocks are left on a disk that should be full", s.Bavail)
	}
}
