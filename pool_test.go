package keyturn_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestPoolCheckNamesEveryMistake(t *testing.T) {
	t.Parallel()
	err := keyturn.Pool{
		ID: "no spaces", Threshold: -1, Currency: "ABC", Pattern: "(", MinValidity: keyturn.Duration(-time.Hour),
		ForecastHorizon: -1, ServePerSecond: -1,
	}.Check()
	for _, field := range []string{
		"id", "threshold", "currency", "pattern", "minValidity", "forecastHorizon",
		"servePerSecond",
	} {
		require.Contains(t, fields(err), field)
	}
}

func fields(err error) []string {
	var out []string
	if e, ok := err.(*keyturn.Error); ok { //nolint:errorlint // not wrapped
		for _, f := range e.Fields {
			out = append(out, f.Location)
		}
	}
	return out
}

func TestAPatternThatCanMatchNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	for pattern, fine := range map[string]bool{
		"[A-Z0-9]{5}(-[A-Z0-9]{5}){3}": true, "^KEY-\\d+$": true, "(a|b)*": true, ".+": true, "\\bA": true, "(?i)key": true,
		"a^b": false, "a$b": false, "^$": false, "": true, "[^\\x00-\\x{10FFFF}]": false, "\\n": false, "[[:cntrl:]]+": false,
		"(?:)": false, "a{2000}": false,
	} {
		p := keyturn.Pool{ID: "p", Pattern: pattern}
		require.Equal(t, fine, p.Check() == nil, "%q: %v", pattern, p.Check())
	}
	p := keyturn.Pool{ID: "p", Pattern: "A|BC"}
	require.True(t, p.MustMatch().MatchString("BC"))
	require.False(t, p.MustMatch().MatchString("BCD"), "the whole key")
}
