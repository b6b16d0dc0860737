package keyturn_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestLicenseTransitions(t *testing.T) {
	t.Parallel()
	for _, row := range tableOf(`
		status    renew    upgrade  pause   resume   cancel
		Running   Running  Running  Paused  -        Canceled
		Paused    Running  Running  -       Running  Canceled
		Expired   Running  -        -       -        Canceled
		Canceled  -        -        -       -        -`)[1:] {
		for i, op := range keyturn.ExistingOperations {
			to, ok := keyturn.LicenseStatus(row[0]).After(op)
			if row[i+1] == "-" {
				require.False(t, ok, "%s of a licence that is %s", op, row[0])
				continue
			}
			require.True(t, ok, "%s of a licence that is %s", op, row[0])
			require.Equal(t, keyturn.LicenseStatus(row[i+1]), to)
		}
		_, ok := keyturn.LicenseStatus(row[0]).After(keyturn.OpCreate)
		require.False(t, ok)
	}
	require.Equal(t, "cancel, renew", keyturn.LicenseExpired.Allowed())
	require.Equal(t, "nothing", keyturn.LicenseCanceled.Allowed())
}

func TestLicenseExpiresByTheClock(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 6, 15, 0, 0, 0, 0, time.UTC)
	before, after := end.Add(-time.Nanosecond), end
	for _, s := range []keyturn.LicenseStatus{keyturn.LicenseRunning, keyturn.LicensePaused} {
		require.Equal(t, s, s.At(before, &end))
		require.Equal(t, keyturn.LicenseExpired, s.At(after, &end))
		require.Equal(t, s, s.At(after, nil), "without an end it does not expire")
	}
	require.Equal(t, keyturn.LicenseCanceled, keyturn.LicenseCanceled.At(after, &end))
}

// The chart in the docs has the rows of LicenseTransitions, with the create and the clock, and no others. Package db
// compares the database's.
func TestChartShowsWhatOperationsDo(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/use/licenses.md")
	require.NoError(t, err)
	_, chart, found := strings.Cut(string(page), "```mermaid\nstateDiagram-v2\n")
	require.True(t, found, "the page has a state diagram")
	chart, _, _ = strings.Cut(chart, "```")
	drawn := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\S+?)(?:: (.*))?$`).FindAllStringSubmatch(chart, -1) {
		require.False(t, drawn[m[1]+">"+m[3]+">"+m[2]], "%s is drawn twice", m[0])
		drawn[m[1]+">"+m[3]+">"+m[2]] = true
	}
	coded := map[string]bool{
		"[*]>create>Running": true, "Running>the clock>Expired": true,
		"Paused>the clock>Expired": true, "Canceled>>[*]": true,
	}
	for from, ops := range keyturn.LicenseTransitions {
		for op, to := range ops {
			coded[string(from)+">"+string(op)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), slices.Sorted(maps.Keys(drawn)))
	for _, s := range keyturn.LicenseStatuses {
		require.Contains(t, string(page), string(s), "the page explains every status")
	}
}

func TestIntegrationDefines(t *testing.T) {
	t.Parallel()
	with := func(names ...string) keyturn.Integration {
		in := keyturn.Integration{Operations: map[string]keyturn.Operation{}}
		for _, n := range names {
			in.Operations[n] = keyturn.Operation{}
		}
		return in
	}
	require.True(t, with().Defines(keyturn.OpPause), "without definitions the default template has them all")
	require.True(t, with("suspend", "reactivate", "lookup").Defines(keyturn.OpRenew),
		"nor do names alone and a look-up change that")
	require.True(t, with("create", "suspend").Defines(keyturn.OpPause))
	require.True(t, with("reactivate").Defines(keyturn.OpResume))
	require.True(t, with("fallback").Defines(keyturn.OpUpgrade))
	require.False(t, with("create", "suspend").Defines(keyturn.OpResume))
	require.False(t, with("create").Defines(keyturn.OpRenew))
}
