package bench

import (
	"context"
	"slices"
	"sync"
	"time"
)

// sample is one round of one shape.
type sample struct {
	lines     int
	wall      time.Duration
	latencies []time.Duration // from accept to delivered
	accepts   []time.Duration // of POST /v1/orders
	app       time.Duration   // CPU
	temporal  time.Duration
	postgres  time.Duration
	txs       int64
	trips     int64 // round trips to Keyturn's database
}

func (s sample) cpu() time.Duration { return s.app + s.temporal + s.postgres }

// one does one unit of a shape: an order, or a bare workflow. It says how long accepting and everything took.
type one func(ctx context.Context, n int) (accept, whole time.Duration, err error)

// measure does count units, atOnce at the same time, and measures them.
func (b *Bench) measure(ctx context.Context, count, linesEach int, do one) (sample, error) {
	b.settle()
	before := b.servers(ctx)
	before.app = ownCPU() // last, so that reading the others is not counted
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	s := sample{lines: count * linesEach}
	numbers := make(chan int)
	for range min(b.AtOnce, count) {
		wg.Go(func() {
			for n := range numbers {
				accept, whole, err := do(ctx, n)
				mu.Lock()
				s.latencies, s.accepts = append(s.latencies, whole), append(s.accepts, accept)
				if err != nil && failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for range count {
		b.serial++
		numbers <- b.serial
	}
	close(numbers)
	wg.Wait()
	s.wall = time.Since(start)
	b.settle()
	app := ownCPU()
	after := b.servers(ctx)
	after.app = app
	s.app, s.temporal, s.postgres = after.app-before.app, after.temporal-before.temporal, after.postgres-before.postgres
	s.txs, s.trips = after.txs-before.txs, after.trips-before.trips
	return s, failed
}

// settle lets what the servers do after an answer belong to the round that caused it.
func (b *Bench) settle() { time.Sleep(b.Settle) }

type reading struct {
	app, temporal, postgres time.Duration
	txs, trips              int64
}

func (b *Bench) servers(ctx context.Context) reading {
	return reading{
		temporal: cpuOf(b.TemporalPID), postgres: cpuOf(b.PostgresPID), txs: b.transactions(ctx),
		trips: b.DB.RoundTrips(),
	}
}

// transactions counts the commits in Keyturn's database.
func (b *Bench) transactions(ctx context.Context) int64 {
	n, err := b.DB.Commits(ctx)
	if err != nil {
		return 0
	}
	return n
}

func median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}
