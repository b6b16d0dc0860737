//go:build chaos

package survive_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// each is how often each kind of fault has to be fired in all, per twenty seeds.
const each = 50

func isSchedule(id string) bool {
	for _, ours := range []string{"fulfillment-", "cancel-", "revoke-", "delivery-", "payment-"} {
		if strings.HasPrefix(id, ours) {
			return false
		}
	}
	return true
}

// TestChaos runs the laboratory with KEYTURN_CHAOS_SEEDS seeds from KEYTURN_CHAOS_SEED on (`make chaos`).
func TestChaos(t *testing.T) {
	seeds := number("KEYTURN_CHAOS_SEEDS", 1)
	first := number("KEYTURN_CHAOS_SEED", time.Now().UnixNano()%1_000_000)
	all := newTally()
	run := func(name string, seeds int64, what func(*lab)) {
		t.Run(name, func(t *testing.T) { // returns when all seeds are done, also those that run side by side (-parallel)
			for seed := first; seed < first+seeds; seed++ {
				t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
					t.Parallel()
					fmt.Fprintf(os.Stdout, "chaos: %s, SEED=%d\n", name, seed)
					l := newLab(t, seed)
					defer func() {
						all.merge(l.tally)
						fmt.Fprintf(os.Stdout, "chaos: %s, SEED=%d took %s, healed in %v, failed: %v\n", name, seed,
							time.Since(l.tally.begun).Round(time.Second), l.tally.healed, t.Failed())
					}()
					what(l)
					l.count()
				})
			}
		})
	}
	run("faults", seeds, (*lab).disturb)
	run("restores", (seeds+restoredPer-1)/restoredPer, (*lab).restores)
	fmt.Fprintln(os.Stdout, all.table(int(seeds)))
	for kind, n := range all.fired {
		want := int(each * seeds / 20)
		if kind == olderBuildKind || kind == changedSourceKind {
			want = int(each * (seeds / 2 * 2) / 20) // an odd number of seeds may have one less of those that fire it
		}
		if n < want {
			t.Errorf("void: %q was fired %d times while its target was at work, and %d are wanted", kind, n, want)
		}
	}
	require.NotEmpty(t, all.fired)
	for _, outcome := range []string{
		"lines delivered", "lines refunded", "alerts of clocks that differ", "keys replaced after a recall",
		"customers erased", "events that receivers took", "requests of events that failed",
	} {
		require.NotZero(t, all.sums[outcome], "void: no %s", outcome)
	}
}

func number(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// disturb fires faults while orders come in, audits along, lets everything come to rest, and audits strictly.
func (l *lab) disturb() {
	l.t.Helper()
	_, err := wrongClockBuild() // before the load: it takes long, and all the machine
	require.NoError(l.t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.load.shop(stop, 0) })
	if l.sellsByLinks() {
		wg.Go(func() { l.load.sellByLinks(stop) })
	}
	wg.Go(func() { l.auditAlong(stop) })
	settled := make(chan struct{})
	var people sync.WaitGroup
	people.Go(func() { l.decideMoved(settled) })
	over := l.rampage()
	close(stop)
	wg.Wait()
	l.ready()
	healed := l.quiesce(over)
	close(settled)
	people.Wait()
	l.tally.healed = append(l.tally.healed, healed)
	l.auditAtRest(nil)
	l.checkReceivers()
	l.scanForSecrets()
}
