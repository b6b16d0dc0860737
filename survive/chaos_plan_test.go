//go:build chaos

package survive_test

import (
	"math/rand"
	"os"
	"sync"
	"time"
)

// times is how often each kind is fired per seed.
const times = 3

// lanes are faults that are fired one after another; the lanes run side by side.
func (l *lab) lanes() [][]fault {
	join := func(some ...[]fault) (out []fault) {
		for _, s := range some {
			out = append(out, s...)
		}
		return out
	}
	catalog := []fault{movedPartner(), erasure(), recall()}
	last := []fault{}
	if l.mount != "" {
		last = append(last, fullDisk())
	}
	// A worker of the older build does not tell a partner that was taken out of a product to cancel. Each of the two
	// kinds is fired in every other seed, and there twice as often.
	if old := os.Getenv("KEYTURN_OLD"); old != "" && !l.sellsByLinks() {
		last = append(last, oldBuild(old, "worker-2"), oldBuild(old, "worker-2"))
	} else {
		catalog = append(catalog, changedSource(), changedSource())
	}
	lanes := [][]fault{
		join(networkFaults(toPostgres), networkFaults(toTemporal), []fault{silence()}),
		join(networkFaults(toPartner), networkFaults(toSMTP), networkFaults(toPayment)),
		join(processFaults("PostgreSQL", "postgres"), processFaults("Temporal", "temporal")),
		join(processFaults("API", "api"), deployFaults("API", "api"), processFaults("worker", "worker-3", "worker-2"),
			deployFaults("worker", "worker-3", "worker-2")),
		join(processFaults("mail server", "mail server"), processFaults("partner", "partner"),
			processFaults("payment provider", "payment provider"), processFaults("receivers", "receivers")),
		{twoWorkers("worker-1", "worker-2", "worker-3")},
		{lateWorker("worker-1", "worker-2", "worker-3")},
		{
			wrongClock(20*time.Second, "20 s", "worker-3", "worker-2", "api"),
			wrongClock(time.Hour, "an hour", "worker-2", "worker-3", "api"),
		},
		catalog,
		{
			lostWorkflows("terminated", allRunning, terminate), lostWorkflows("deleted", allRunning, remove),
			lostWorkflows("reset", everything, reset), lostStore(),
		},
	}
	return append(lanes, last)
}

// rampage fires every kind of fault as often as it should be while orders come in, and says when the last one ended.
func (l *lab) rampage() (over time.Time) {
	var wg sync.WaitGroup
	for i, lane := range l.lanes() {
		wg.Go(func() { l.runLane(lane, l.rng(i)) })
	}
	wg.Wait()
	return time.Now()
}

func (l *lab) runLane(kinds []fault, rng *rand.Rand) {
	var queue []fault
	for range times {
		queue = append(queue, kinds...)
	}
	rng.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	missed := map[string]int{}
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		time.Sleep(short(rng, 50, 350))
		if l.fireOne(f, rng) {
			continue
		}
		// Its target had nothing to do, perhaps because something else had just been killed: later.
		if missed[f.kind]++; missed[f.kind] < 12 {
			queue = append(queue, f)
		}
	}
}

func (l *lab) fireOne(f fault, rng *rand.Rand) bool {
	var on *part
	if len(f.parts) > 0 {
		on = l.hold(f.parts)
		defer on.held.Unlock()
	}
	start := time.Now()
	ok := f.fire(l, rng, on)
	l.tally.fault(f.kind, ok)
	l.note("%-45s in flight: %-5v took %s", f.kind, ok, seconds(time.Since(start)))
	return ok
}

// hold takes the first of the parts that is free, or waits for the first.
func (l *lab) hold(names []string) *part {
	for _, name := range names {
		if p := l.parts[name]; p.held.TryLock() {
			return p
		}
	}
	p := l.parts[names[0]]
	p.held.Lock()
	return p
}
