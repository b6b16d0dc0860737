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
	"keyturn.dev/keyturn/stock"
)

// Pools measures what key pools must hold: how many claims they give, whether the rate is flat in their size and over
// their life, and how long an import and its undo take.
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
	Import *ImportTime `json:"import,omitempty"`
	Claims []ClaimRate `json:"claims,omitempty"`
	Sizes  []SizeRate  `json:"sizes,omitempty"`
	Life   *LifeRate   `json:"life,omitempty"`
}

// What must hold. A claim is a small part of a line: with claimsPerLine claims for each whole line that a shop gets
// through, pools are never what it waits for.
const (
	claimsPerLine   = 10
	importSeconds   = 20.0 // for a million keys
	undoSeconds     = 10.0
	keysOfTheBounds = 1_000_000
)

// ClaimRate is claims a second by a number of claimers.
type ClaimRate struct {
	PoolSize int     `json:"poolSize"`
	Claimers int     `json:"claimers"`
	Claims   float64 `json:"claimsPerSecond"`
	Enough   float64 `json:"enoughForLinesPerSecond"`
}

// ImportTime is how long an import takes and how long its undo: medians of the rounds.
type ImportTime struct {
	Keys        int     `json:"keys"`
	Seconds     float64 `json:"seconds"`
	UndoSeconds float64 `json:"undoSeconds"`
	MaxSeconds  float64 `json:"maxSeconds"`
	MaxUndo     float64 `json:"maxUndoSeconds"`
	HeapMB      float64 `json:"heapMB"` // the most that was in use
}

// Run measures and reports.
func (b *Pools) Run(ctx context.Context) (*PoolsReport, error) {
	m := stock.NewMeasure(b.DB.Stock(), slices.Max(b.Claimers))
	r := &PoolsReport{}
	var err error
	if b.Import > 0 {
		fmt.Fprintf(b.Progress, "importing %d keys\n", b.Import)
		if r.Import, err = b.importing(ctx); err != nil {
			return nil, err
		}
	}
	if b.Size > 0 {
		fmt.Fprintf(b.Progress, "filling a pool of %d\n", b.Size)
		if _, err := b.fill(ctx, "claims", b.Size); err != nil {
			return nil, err
		}
		for _, n := range b.Claimers {
			rate, err := b.claims(ctx, m, "claims", n)
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

func (b *Pools) fill(ctx context.Context, pool string, n int) (batch string, err error) {
	if _, _, err := b.DB.PutPool(ctx, keyturn.Pool{ID: pool}); err != nil {
		return "", err
	}
	r, err := b.DB.Import(ctx, pool, &keyStream{name: pool, left: n}, "bench", false)
	return r.BatchID, err
}

func (b *Pools) claims(ctx context.Context, m *stock.Measure, pool string, clients int) (ClaimRate, error) {
	rate := ClaimRate{PoolSize: b.Size, Claimers: clients}
	var claims []float64
	for range b.Rounds {
		view, err := m.Figures(ctx, pool)
		if err != nil {
			return rate, err
		}
		left := atomic.Int64{}
		left.Store(view.Stock.Available - int64(clients))
		n, err := b.loop(ctx, clients, func(ctx context.Context) error {
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
	rate.Claims = median(claims)
	rate.Enough = rate.Claims / claimsPerLine
	fmt.Fprintf(b.Progress, "  %d claimers: %.0f claims/s\n", clients, rate.Claims)
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

// importing imports a file and undoes that, watching the heap. What an earlier round withdrew stays, so that a later
// one finds larger tables.
func (b *Pools) importing(ctx context.Context) (*ImportTime, error) {
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
	scale := float64(b.Import) / keysOfTheBounds
	r := &ImportTime{Keys: b.Import, MaxSeconds: importSeconds * scale, MaxUndo: undoSeconds * scale}
	var imports, undos []float64
	for i := range b.Rounds {
		pool := fmt.Sprintf("import-%d", i+1)
		start := time.Now()
		batch, err := b.fill(ctx, pool, b.Import)
		if err != nil {
			return nil, err
		}
		imports = append(imports, time.Since(start).Seconds())
		start = time.Now()
		if err := b.DB.Stock().UndoBatch(ctx, pool, batch, "bench"); err != nil {
			return nil, err
		}
		undos = append(undos, time.Since(start).Seconds())
		fmt.Fprintf(b.Progress, "  imported in %.1f s, undone in %.1f s\n", imports[i], undos[i])
	}
	over()
	r.Seconds, r.UndoSeconds, r.HeapMB = median(imports), median(undos), float64(<-most)/1e6
	return r, nil
}

// Print writes the report for people.
func (r *PoolsReport) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Claims) > 0 {
		fmt.Fprintln(w, strings.Join([]string{"keys", "claimers", "claims/s", "enough for lines/s", ""}, "\t"))
	}
	for _, c := range r.Claims {
		fmt.Fprintf(w, "%d\t%d\t%.0f\t%.0f\t\n", c.PoolSize, c.Claimers, c.Claims, c.Enough)
	}
	_ = w.Flush()
	if len(r.Claims) > 0 {
		fmt.Fprintf(out, "must hold: `keyturn bench` gets through no more lines/s than these are enough for (%d claims a "+
			"line), with as many in flight\n", claimsPerLine)
	}
	printSizes(out, r.Sizes)
	r.Life.print(out)
	if i := r.Import; i != nil {
		fmt.Fprintf(out, "import of %d keys: %.1f s (must be at most %.1f), undone in %.1f s (must be at most %.1f); heap "+
			"at most %.0f MB\n",
			i.Keys, i.Seconds, i.MaxSeconds, i.UndoSeconds, i.MaxUndo, i.HeapMB)
	}
}
