package keyturn_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// tableOf reads a table written as text: a row a line, cells between blanks.
func tableOf(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		if cells := strings.Fields(line); len(cells) > 0 {
			rows = append(rows, cells)
		}
	}
	return rows
}

// The chart in the docs has the edges of LineTransitions, no more and no fewer. Package db compares the database's.
func TestChartShowsTheTransitions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/understand/state-machine.md")
	require.NoError(t, err)
	_, chart, found := strings.Cut(string(page), "```mermaid\nstateDiagram-v2\n")
	require.True(t, found, "the page has a state diagram")
	chart, _, _ = strings.Cut(chart, "```")

	drawn := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\S+?)(?:: .*)?$`).FindAllStringSubmatch(chart, -1) {
		require.False(t, drawn[m[1]+">"+m[2]], "%s is drawn twice", m[0])
		drawn[m[1]+">"+m[2]] = true
	}
	coded := map[string]bool{"[*]>PENDING": true, "CANCELED>[*]": true, "DELIVERED>[*]": true}
	for from, next := range keyturn.LineTransitions {
		for _, to := range next {
			coded[string(from)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), slices.Sorted(maps.Keys(drawn)))
	for _, s := range keyturn.OrderStatuses {
		require.Contains(t, string(page), "`"+string(s)+"`", "the page explains every order status")
	}
	for _, s := range keyturn.LineStatuses {
		require.Contains(t, string(page), "`"+string(s)+"`", "the page explains every line status")
	}
}

// The charts of checkout links and payments have the edges of their tables.
func TestChartsShowTheTransitionsOfSelling(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/understand/state-machine.md")
	require.NoError(t, err)
	_, selling, found := strings.Cut(string(page), "## Checkout links and their payments")
	require.True(t, found)
	links := map[string]bool{"[*]>OPEN": true, "USED>[*]": true, "EXPIRED>[*]": true, "CANCELED>[*]": true}
	for from, next := range keyturn.LinkTransitions {
		for _, to := range next {
			links[string(from)+">"+string(to)] = true
		}
	}
	payments := map[string]bool{"[*]>CREATED": true, "CAPTURED>[*]": true, "VOIDED>[*]": true, "LOST>[*]": true}
	for from, next := range keyturn.PaymentTransitions {
		for _, to := range next {
			payments[string(from)+">"+string(to)] = true
		}
	}
	for _, coded := range []map[string]bool{links, payments} {
		_, chart, found := strings.Cut(selling, "```mermaid\nstateDiagram-v2\n")
		require.True(t, found)
		chart, selling, _ = strings.Cut(chart, "```")
		drawn := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\S+?)(?:: .*)?$`).FindAllStringSubmatch(chart, -1) {
			drawn[m[1]+">"+m[2]] = true
		}
		require.Equal(t, slices.Sorted(maps.Keys(coded)), slices.Sorted(maps.Keys(drawn)))
	}
}

// The chart of a key's life has the edges of KeyTransitions.
func TestChartShowsTheLifeOfAKey(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/use/pools.md")
	require.NoError(t, err)
	_, chart, found := strings.Cut(string(page), "```mermaid\nstateDiagram-v2\n")
	require.True(t, found, "the page has a state diagram")
	chart, _, _ = strings.Cut(chart, "```")
	drawn := []string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\S+?)(?:: .*)?$`).FindAllStringSubmatch(chart, -1) {
		drawn = append(drawn, m[1]+">"+m[2])
	}
	coded := []string{"[*]>available"}
	for from, next := range keyturn.KeyTransitions {
		for _, to := range next {
			coded = append(coded, string(from)+">"+string(to))
		}
	}
	require.ElementsMatch(t, coded, drawn)
}
