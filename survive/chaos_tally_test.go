//go:build chaos

package survive_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// tally is what a run, or all of them, came to.
type tally struct {
	mu       sync.Mutex
	fired    map[string]int // while the target was at work
	idle     map[string]int // while it was not: these do not count
	sums     map[string]int64
	checked  map[string]bool // invariants, by ID
	broken   map[string]int64
	healed   []time.Duration
	begun    time.Time
	excepted map[string]int64 // what a restore explains, by invariant
}

func newTally() *tally {
	return &tally{
		fired: map[string]int{}, idle: map[string]int{}, sums: map[string]int64{}, checked: map[string]bool{},
		broken:   map[string]int64{},
		excepted: map[string]int64{}, begun: time.Now(),
	}
}

func (t *tally) fault(kind string, inFlight bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if inFlight {
		t.fired[kind]++
	} else {
		t.idle[kind]++
	}
}

func (t *tally) add(what string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sums[what] += n
}

// merge adds another run's.
func (t *tally) merge(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range o.fired {
		t.fired[k] += n
	}
	for k, n := range o.idle {
		t.idle[k] += n
	}
	for k, n := range o.sums {
		t.sums[k] += n
	}
	for k, n := range o.broken {
		t.broken[k] += n
	}
	for k, n := range o.excepted {
		t.excepted[k] += n
	}
	maps.Copy(t.checked, o.checked)
	t.healed = append(t.healed, o.healed...)
}

// table is what the run has to show.
func (t *tally) table(seeds int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	fmt.Fprintf(&out, "\n| fault, fired while its target was at work | times | while idle |\n|---|---:|---:|\n")
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(t.fired)) {
		fmt.Fprintf(&out, "| %s | %d | %d |\n", kind, t.fired[kind], t.idle[kind])
		total += t.fired[kind]
	}
	fmt.Fprintf(&out, "| all %d kinds | %d | |\n\n| | |\n|---|---:|\n| seeds | %d |\n", len(t.fired), total, seeds)
	for _, what := range slices.Sorted(maps.Keys(t.sums)) {
		fmt.Fprintf(&out, "| %s | %d |\n", what, t.sums[what])
	}
	violations, excepted := int64(0), int64(0)
	for _, n := range t.broken {
		violations += n
	}
	for _, n := range t.excepted {
		excepted += n
	}
	fmt.Fprintf(&out, "| invariants checked | %d |\n| violations | %d |\n| findings that a restored backup explains | "+
		"%d |\n", len(t.checked), violations, excepted)
	if len(t.excepted) > 0 {
		fmt.Fprintf(&out, "| … by invariant | %s |\n", strings.TrimPrefix(fmt.Sprint(t.excepted), "map"))
	}
	if len(t.healed) > 0 {
		slices.Sort(t.healed)
		fmt.Fprintf(&out, "| quiet after the last fault, median | %s |\n| … longest | %s |\n",
			seconds(t.healed[len(t.healed)/2]), seconds(t.healed[len(t.healed)-1]))
	}
	fmt.Fprintf(&out, "| took | %s |\n", time.Since(t.begun).Round(time.Second))
	return out.String()
}

// note writes a line of the run's own log.
func (l *lab) note(format string, args ...any) {
	f, err := os.OpenFile(filepath.Join(l.dir, "faults.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Errorf("write the log of faults: %v", err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s  %s\n", time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}
