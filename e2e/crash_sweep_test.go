//go:build crash

package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrashSweep has a process die before and after every effect of every use case, and has its successor die at the
// same point, too. Whatever they leave behind, the next one brings to its end, and the books balance.
func TestCrashSweep(t *testing.T) {
	var mu sync.Mutex
	swept, names := map[string]int{}, map[string]bool{}
	var missed []string // points that were not reached
	t.Run("all", func(t *testing.T) {
		for _, c := range crashCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				_, effects := c.run(t, 0, nil)
				points := pointsOf(effects)
				require.NotEmpty(t, points)
				for _, p := range points {
					for deaths, attempt := range map[int]string{1: "first attempt", 2: "first and second attempt"} {
						t.Run(p.String()+", "+attempt, func(t *testing.T) {
							t.Parallel()
							died, _ := c.run(t, deaths, p.dies)
							mu.Lock()
							defer mu.Unlock()
							names[p.effect] = true
							swept[fmt.Sprintf("%d of %d processes died", died, deaths)]++
							if died == 0 {
								missed = append(missed, c.name+": "+p.String())
							}
						})
					}
				}
			})
		}
	})
	var list []string
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	for _, name := range list {
		fmt.Fprintln(os.Stdout, name)
	}
	slices.Sort(missed)
	for _, p := range slices.Compact(missed) {
		fmt.Fprintln(os.Stdout, "not reached:", p)
	}
	fmt.Fprintf(os.Stdout, "%d named points in %d use cases: %v\n", len(names), len(crashCases), swept)
	require.Greater(t, swept["1 of 1 processes died"], 10*swept["0 of 1 processes died"],
		"void: too many points were not reached")
}
