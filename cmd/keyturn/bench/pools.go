package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// Pools measures key pools next to what the same PostgreSQL does without them, in the same run.
type Pools struct {
	DB       *db.DB
	Claimers []int         // how many claim at once
	Size     int           // of the pool that they claim from; 0: none
	Sizes    []int         // of pools that are compared with each other
	Life     int           // size of the pool that is sold out; 0: none
	Import   int           // keys of the import
	Each     time.Duration // of one measure
	Rounds   int
	Progress io.Writer
}

// PoolsReport is what was found.
type PoolsReport struct {
	Import *ImportRate `json:"import,omitempty"`
	Claims []ClaimRate `json:"claims,omitempty"`
	Sizes  []SizeRate  `json:"sizes,omitempty"`
	Life   *LifeRate   `json:"life,omitempty"`
}

// ClaimRate is claims a second, next to inserts a second by as many clients right before.
type ClaimRate struct {
	PoolSize int     `json:"poolSize"`
	Claimers int     `json:"claimers"`
	Claims   float64 `json:"claimsPerSecond"`
	Inserts  float64 `json:"insertsPerSecond"`
	Ratio    float64 `json:"ratio"`
}

// ImportRate is keys a second of an import, next to COPY of the same encrypted rows into a table without an index right after
// it: medians, the ratio of those of the rounds.
type ImportRate struct {
	Keys     int     `json:"keys"`
	Rate     float64 `json:"keysPerSecond"`
	CopyRate float64 `json:"copyPerSecond"`
	Ratio    float64 `json:"ratio"`
	HeapMB   float64 `json:"heapMB"` // the most that was in use
}

// Run measures and reports.
func (b *Pools) Run(ctx context.Context) (*PoolsReport, error) {
	m, err := db.NewMeasure(ctx, b.DB, slices.Max(b.Claimers))
	if err != nil {
		return nil, err
	}
	r := &PoolsReport{}
	if b.Import > 0 {
		fmt.Fprintf(b.Progress, "importing %d keys\n", b.Import)
		if r.Import, err = b.importing(ctx, m); err != nil {
			return nil, err
		}
	}
	if b.Size > 0 {
		fmt.Fprintf(b.Progress, "filling a pool of %d\n", b.Size)
		if err := b.fill(ctx, "claims", b.Size); err != nil {
			return nil, err
		}
		for _, n := range b.Claimers {
			rate, err := b.claims(ctx, m, "claims", b.Size, n)
			if err != nil {
				return nil, err
			}
			r.Claims = append(r.Claims, rate)
		}
	}
	if r.Sizes, err = b.sizes(ctx, m); err != nil {
		return nil, err
	}
	if b.Life > 0 {
		fmt.Fprintf(b.Progress, "selling out a pool of %d\n", b.Life)
		r.Life, err = b.life(ctx, m)
	}
	return r, err
}

func (b *Pools) fill(ctx context.Context, pool string, n int) error {
	if _, _, err := b.DB.PutPool(ctx, keyturn.Pool{ID: pool}); err != nil {
		return err
	}
	_, err := b.DB.Import(ctx, pool, &keyStream{name: pool, left: n}, "bench", false)
	return err
}

// claims takes rounds of inserts and claims in turn, so that what disturbs the machine disturbs both.
func (b *Pools) claims(ctx context.Context, m *db.Measure, pool string, size, clients int) (ClaimRate, error) {
	rate := ClaimRate{PoolSize: size, Claimers: clients}
	var inserts, claims []float64
	for range b.Rounds {
		n, err := b.loop(ctx, clients, m.Insert)
		if err != nil {
			return rate, err
		}
		inserts = append(inserts, n)
		view, err := m.Figures(ctx, pool)
		if err != nil {
			return rate, err
		}
		left := atomic.Int64{}
		left.Store(view.Stock.Available - int64(clients))
		n, err = b.loop(ctx, clients, func(ctx context.Context) error {
			if left.Add(-1) < 0 {
				return errSoldOut
			}
			return m.Claim(ctx, pool, 1)
		})
		if err != nil {
			return rate, err
		}
		claims = append(claims, n)
	}
	rate.Inserts, rate.Claims = median(inserts), median(claims)
	rate.Ratio = rate.Claims / rate.Inserts
	fmt.Fprintf(b.Progress, "  %d claimers: %.0f claims/s, %.0f inserts/s\n", clients, rate.Claims, rate.Inserts)
	return rate, nil
}

var errSoldOut = keyturn.Errorf(keyturn.KindOutOfStock, "the pool is sold out")

// loop has clients do something again and again, and gives how often a second. A pool that is sold out ends it.
func (b *Pools) loop(ctx context.Context, clients int, do func(context.Context) error) (float64, error) {
	start := time.Now()
	var done atomic.Int64
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for time.Since(start) < b.Each {
				if err := do(ctx); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	close(errs)
	for err := range errs {
		if keyturn.KindOf(err) != keyturn.KindOutOfStock {
			return 0, err
		}
	}
	return float64(done.Load()) / took.Seconds(), nil
}

// importing imports a file, watching the heap, and stores the same rows by COPY, in turn.
// What was imported in an earlier round stays, so that a later one finds indexes that are larger.
func (b *Pools) importing(ctx context.Context, m *db.Measure) (*ImportRate, error) {
	runtime.GC()
	stop, most := make(chan struct{}), make(chan uint64, 1)
	go func() {
		var peak uint64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				most <- peak
				return
			case <-tick.C:
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				peak = max(peak, s.HeapInuse)
			}
		}
	}()
	var end sync.Once
	over := func() { end.Do(func() { close(stop) }) }
	defer over()
	r := &ImportRate{Keys: b.Import}
	var imports, copies, ratios []float64
	for i := range b.Rounds {
		pool := fmt.Sprintf("import-%d", i+1)
		start := time.Now()
		if err := b.fill(ctx, pool, b.Import); err != nil {
			return nil, err
		}
		took := time.Since(start)
		rows, copying, err := m.Copy(ctx, pool, &keyStream{name: pool, left: b.Import})
		if err != nil {
			return nil, err
		}
		imports, copies = append(imports, float64(b.Import)/took.Seconds()), append(copies, float64(rows)/copying.Seconds())
		ratios = append(ratios, imports[i]/copies[i])
		fmt.Fprintf(b.Progress, "  %.0f keys/s, COPY %.0f/s, ratio %.2f\n", imports[i], copies[i], ratios[i])
	}
	over()
	r.Rate, r.CopyRate, r.HeapMB = median(imports), median(copies), float64(<-most)/1e6
	r.Ratio = median(ratios)
	return r, nil
}

// Print writes the report for people.
func (r *PoolsReport) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Claims) > 0 {
		fmt.Fprintln(w, strings.Join([]string{"keys", "claimers", "claims/s", "inserts/s", "ratio", ""}, "\t"))
	}
	for _, c := range r.Claims {
		fmt.Fprintf(w, "%d\t%d\t%.0f\t%.0f\t%.2f\t\n", c.PoolSize, c.Claimers, c.Claims, c.Inserts, c.Ratio)
	}
	_ = w.Flush()
	printSizes(out, r.Sizes)
	r.Life.print(out)
	if i := r.Import; i != nil {
		fmt.Fprintf(out, "import of %d keys: %.0f/s, COPY into a table without an index %.0f/s, ratio %.2f; heap at most %.0f MB\n", i.Keys, i.Rate, i.CopyRate, i.Ratio, i.HeapMB)
	}
}
