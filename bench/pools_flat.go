package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"keyturn.dev/keyturn/stock"
)

// Whether claims stay as fast when a pool is larger, or older: the same number of keys is sold from each pool, a
// thousand at a time and in turn, so that what the machine does meanwhile comes to all of them.
const (
	flatClaimers = 8
	flatKeys     = 1000 // sold in one measure
	flatWarm     = 2000 // sold before: what they write is in memory and in the log by then
	flatRounds   = 5
	flatLine     = 20 // keys of one line, where a pool is only to get older
)

// SizeRate is claims a second from a pool of some size, the median and the range of its rounds, and how long the pool's
// stock figures and forecast take, the median.
type SizeRate struct {
	PoolSize int           `json:"poolSize"`
	Claims   float64       `json:"claimsPerSecond"`
	Slowest  float64       `json:"slowestRound"`
	Fastest  float64       `json:"fastestRound"`
	Figures  time.Duration `json:"figuresNanoseconds"`
}

// sizes fills all pools and then sells from them in turn.
func (b *Pools) sizes(ctx context.Context, m *stock.Measure) ([]SizeRate, error) {
	name := func(size int) string { return fmt.Sprintf("size-%d", size) }
	for _, size := range b.Sizes {
		if need := flatWarm + flatRounds*flatKeys; size < need {
			return nil, fmt.Errorf("pools that are compared must have at least %d keys", need)
		}
		fmt.Fprintf(b.Progress, "filling a pool of %d\n", size)
		if _, err := b.fill(ctx, name(size), size); err != nil {
			return nil, err
		}
	}
	for _, size := range b.Sizes {
		if _, err := sell(ctx, m, name(size), flatWarm, 1); err != nil {
			return nil, err
		}
	}
	rates := make([][]float64, len(b.Sizes))
	for round := range flatRounds {
		for i := range b.Sizes {
			at := (i + round) % len(b.Sizes) // nobody is always the first
			rate, err := sell(ctx, m, name(b.Sizes[at]), flatKeys, 1)
			if err != nil {
				return nil, err
			}
			rates[at] = append(rates[at], rate)
		}
	}
	var out []SizeRate
	for i, size := range b.Sizes {
		took, err := figures(ctx, m, name(size))
		if err != nil {
			return nil, err
		}
		out = append(out, SizeRate{size, median(rates[i]), slices.Min(rates[i]), slices.Max(rates[i]), took})
	}
	return out, nil
}

func figures(ctx context.Context, m *stock.Measure, pool string) (time.Duration, error) {
	var all []time.Duration
	for range 50 {
		start := time.Now()
		if _, err := m.Figures(ctx, pool); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	return median(all), nil
}

// LifeRate is the rate of the first and the last thousands of claims of one pool.
type LifeRate struct {
	PoolSize int       `json:"poolSize"`
	First    []float64 `json:"firstPerSecond"` // thousand by thousand
	Last     []float64 `json:"lastPerSecond"`
	Vacuum   string    `json:"vacuum"`
}

// lifeThousands are measured at each end of a pool's life.
const lifeThousands = 3

func (b *Pools) life(ctx context.Context, m *stock.Measure) (*LifeRate, error) {
	if least := 10 * lifeThousands * flatKeys; b.Life < least || b.Life%flatLine != 0 {
		return nil, fmt.Errorf("a pool that is sold out must have at least %d keys, and a multiple of %d", least, flatLine)
	}
	if _, err := b.fill(ctx, "life", b.Life); err != nil {
		return nil, err
	}
	r := &LifeRate{PoolSize: b.Life}
	var err error
	if r.First, err = thousands(ctx, m); err != nil {
		return nil, err
	}
	if _, err = sell(ctx, m, "life", b.Life-2*lifeThousands*flatKeys, flatLine); err != nil {
		return nil, err
	}
	if r.Last, err = thousands(ctx, m); err != nil {
		return nil, err
	}
	r.Vacuum, err = m.Vacuum(ctx)
	return r, err
}

func thousands(ctx context.Context, m *stock.Measure) (rates []float64, err error) {
	for range lifeThousands {
		rate, err := sell(ctx, m, "life", flatKeys, 1)
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// sell claims n keys for lines of some units each, and gives the claims a second.
func sell(ctx context.Context, m *stock.Measure, pool string, n, units int) (float64, error) {
	var left atomic.Int64
	left.Store(int64(n / units))
	errs := make(chan error, flatClaimers)
	start := time.Now()
	var wg sync.WaitGroup
	for range flatClaimers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := m.Claim(ctx, pool, units); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return float64(n/units) / time.Since(start).Seconds(), <-errs
}

func printSizes(out io.Writer, sizes []SizeRate) {
	if len(sizes) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join([]string{
		"keys", "claims/s", "slowest round", "fastest round", "figures and forecast",
		"",
	}, "\t"))
	for _, s := range sizes {
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.0f\t%.2f ms\t\n", s.PoolSize, s.Claims, s.Slowest, s.Fastest,
			float64(s.Figures.Microseconds())/1000)
	}
	_ = w.Flush()
	fmt.Fprintln(out, "must hold: the rate is the same for each size")
}

func (l *LifeRate) print(out io.Writer) {
	if l != nil {
		fmt.Fprintf(out, "life of a pool of %d: first thousands %.0f claims/s, last thousands %.0f claims/s, %s (must "+
			"hold: the last are as fast as the first)\n",
			l.PoolSize, l.First, l.Last, l.Vacuum)
	}
}
