package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// point is where a process dies: the n-th time that an effect is about to happen, or has just happened.
type point struct {
	effect string // "before commit of …", "after the partner's new"
	n      int
}

func (p point) String() string {
	if p.n == 1 {
		return p.effect
	}
	return fmt.Sprintf("%s, time %d", p.effect, p.n)
}

// dies counts anew for each life.
func (p point) dies() func(string) bool {
	seen := 0
	return func(effect string) bool {
		if effect == p.effect {
			seen++
		}
		return effect == p.effect && seen == p.n
	}
}

// mostTimes bounds how often the same effect counts as another point: what the loops of housekeeping and relay do again
// and again is the same each time.
const mostTimes = 2

// pointsOf are the points of a run in which nobody died.
func pointsOf(effects []string) (out []point) {
	times := map[string]int{}
	for _, e := range effects {
		times[e]++
		if times[e] <= mostTimes {
			out = append(out, point{e, times[e]})
		}
	}
	return out
}

// A process dies at a point that costs no time-out to get over: the quick part of the sweep (make test/crash has all).
func TestProcessDiesAtASideEffect(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]point{
		// the order is accepted, and nobody was told
		"pool":                                {"after commit of customers orders", 1},
		"partner":                             {"before Temporal's StartWorkflow", 1},  // nothing is started
		"nothing in stock until the deadline": {"after the refund at the provider", 1}, // paid, and not booked
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := crashCases[slices.IndexFunc(crashCases, func(c crashCase) bool { return c.name == name })]
			died, _ := c.run(t, 1, func() func(string) bool {
				n := 0
				return func(effect string) bool { // the first effect at all is the order's acceptance
					if strings.HasPrefix(effect, at.effect) {
						n++
					}
					return n == at.n && strings.HasPrefix(effect, at.effect)
				}
			})
			require.Equal(t, 1, died)
		})
	}
}
