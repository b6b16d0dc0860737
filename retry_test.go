package keyturn_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

func seconds(s ...float64) []keyturn.Duration {
	out := make([]keyturn.Duration, len(s))
	for i := range s {
		out[i] = keyturn.Duration(s[i] * float64(time.Second))
	}
	return out
}

func TestRetryDelays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		policy keyturn.RetryPolicy
		delays []string // after the first, second, … failure
	}{
		{"the default", keyturn.RetryPolicy{}, []string{
			"5s", "5m0s", "30m0s", "2h0m0s", "5h0m0s", "10h0m0s", "14h0m0s",
			"20h0m0s", "24h0m0s", "24h0m0s",
		}},
		{"a schedule repeats its last", keyturn.RetryPolicy{Schedule: seconds(1, 3)}, []string{"1s", "3s", "3s", "3s"}},
		{
			"backoff doubles up to a hundred times",
			keyturn.RetryPolicy{InitialInterval: keyturn.Duration(time.Second)},
			[]string{"1s", "2s", "4s", "8s", "16s", "32s", "1m4s", "1m40s", "1m40s"},
		},
		{
			"backoff with all three",
			keyturn.RetryPolicy{
				InitialInterval: keyturn.Duration(time.Second), BackoffCoefficient: 3,
				MaximumInterval: keyturn.Duration(10 * time.Second),
			},
			[]string{"1s", "3s", "9s", "10s", "10s"},
		},
		{
			"a constant",
			keyturn.RetryPolicy{InitialInterval: keyturn.Duration(time.Second), BackoffCoefficient: 1},
			[]string{"1s", "1s", "1s"},
		},
		{
			"an initial interval above a day is its own maximum",
			keyturn.RetryPolicy{InitialInterval: keyturn.Duration(48 * time.Hour)},
			[]string{"48h0m0s", "48h0m0s"},
		},
	} {
		require.NoError(t, c.policy.Check(), c.name)
		p := c.policy.WithDefaults()
		for i, want := range c.delays {
			require.Equal(t, want, p.Delay(i+1).String(), "%s, failure %d", c.name, i+1)
		}
		require.Equal(t, p.Delay(1), p.Delay(0), c.name)
		require.Equal(t, p.Delay(1), p.Delay(-7), c.name)
	}
}

func TestRetryPolicyDefaults(t *testing.T) {
	t.Parallel()
	p := keyturn.RetryPolicy{}.WithDefaults()
	require.Equal(t, keyturn.DefaultSchedule, p.Schedule)
	require.Equal(t, keyturn.DefaultGiveUp, time.Duration(p.GiveUpAfter))
	require.Equal(t, p, p.WithDefaults(), "a second time changes nothing")

	p = keyturn.RetryPolicy{Schedule: seconds(1), GiveUpAfter: seconds(60)[0]}
	require.Equal(t, p, p.WithDefaults(), "what the merchant wrote stays")
}

func TestRetryPolicyCheck(t *testing.T) {
	t.Parallel()
	day := keyturn.Duration(24 * time.Hour)
	for _, c := range []struct {
		name   string
		policy keyturn.RetryPolicy
		field  string // "" : valid
	}{
		{"nothing", keyturn.RetryPolicy{}, ""},
		{"shortest", keyturn.RetryPolicy{Schedule: seconds(0.1), GiveUpAfter: seconds(1)[0]}, ""},
		{"longest", keyturn.RetryPolicy{Schedule: []keyturn.Duration{30 * day}, GiveUpAfter: 90 * day}, ""},
		{"both ways", keyturn.RetryPolicy{Schedule: seconds(1), InitialInterval: seconds(1)[0]}, "schedule"},
		{
			"both ways, by the coefficient",
			keyturn.RetryPolicy{Schedule: seconds(1), BackoffCoefficient: 2},
			"schedule initialInterval",
		},
		{"a busy loop", keyturn.RetryPolicy{Schedule: seconds(1, 0)}, "schedule[1]"},
		{"a negative delay", keyturn.RetryPolicy{Schedule: seconds(-1)}, "schedule[0]"},
		{"a delay that never ends", keyturn.RetryPolicy{Schedule: []keyturn.Duration{31 * day}}, "schedule[0]"},
		{"too many entries", keyturn.RetryPolicy{Schedule: slices.Repeat(seconds(1), 101)}, "schedule"},
		{"a coefficient alone", keyturn.RetryPolicy{BackoffCoefficient: 2}, "initialInterval"},
		{"a maximum alone", keyturn.RetryPolicy{MaximumInterval: day}, "initialInterval"},
		{"initial too short", keyturn.RetryPolicy{InitialInterval: 1}, "initialInterval"},
		{"shrinking", keyturn.RetryPolicy{InitialInterval: day, BackoffCoefficient: 0.5}, "backoffCoefficient"},
		{"exploding", keyturn.RetryPolicy{InitialInterval: day, BackoffCoefficient: 11}, "backoffCoefficient"},
		{"not a number", keyturn.RetryPolicy{InitialInterval: day, BackoffCoefficient: math.NaN()}, "backoffCoefficient"},
		{"infinite", keyturn.RetryPolicy{InitialInterval: day, BackoffCoefficient: math.Inf(1)}, "backoffCoefficient"},
		{"maximum below initial", keyturn.RetryPolicy{InitialInterval: day, MaximumInterval: day - 1}, "maximumInterval"},
		{"maximum too long", keyturn.RetryPolicy{InitialInterval: day, MaximumInterval: 31 * day}, "maximumInterval"},
		{"give up at once", keyturn.RetryPolicy{GiveUpAfter: 1}, "giveUpAfter"},
		{"give up in the past", keyturn.RetryPolicy{GiveUpAfter: -day}, "giveUpAfter"},
		{"give up after the money cannot go back", keyturn.RetryPolicy{GiveUpAfter: 91 * day}, "giveUpAfter"},
	} {
		wantFields(t, c.policy.Check(), c.name, strings.Split(c.field, " ")...)
	}
}

// Any policy that passes the check gives delays within its bounds, growing, for any number of failures.
func TestRetryDelaysStayInBounds(t *testing.T) {
	t.Parallel()
	interval := rapid.Custom(func(t *rapid.T) keyturn.Duration {
		return keyturn.Duration(rapid.Int64Range(int64(100*time.Millisecond), int64(30*24*time.Hour)).Draw(t, "interval"))
	})
	rapid.Check(t, func(t *rapid.T) {
		var p keyturn.RetryPolicy
		if rapid.Bool().Draw(t, "scheduled") {
			p.Schedule = rapid.SliceOfN(interval, 1, 100).Draw(t, "schedule")
		} else {
			p.InitialInterval = interval.Draw(t, "initial")
			p.BackoffCoefficient = rapid.Float64Range(1, 10).Draw(t, "coefficient")
			p.MaximumInterval = max(p.InitialInterval, interval.Draw(t, "maximum"))
		}
		require.NoError(t, p.Check())
		p = p.WithDefaults()
		failures := rapid.IntRange(1, 1_000_000).Draw(t, "failures")
		delay := p.Delay(failures)
		if n := len(p.Schedule); n > 0 {
			require.Equal(t, time.Duration(p.Schedule[min(failures, n)-1]), delay)
			return
		}
		require.GreaterOrEqual(t, delay, time.Duration(p.InitialInterval))
		require.LessOrEqual(t, delay, time.Duration(p.MaximumInterval))
		require.GreaterOrEqual(t, p.Delay(failures+1), delay)
	})
}

func TestRetryPolicyInJSON(t *testing.T) {
	t.Parallel()
	var p keyturn.RetryPolicy
	require.NoError(t, json.Unmarshal([]byte(`{"schedule":["5s","5m","2h"],"giveUpAfter":"72h"}`), &p))
	text, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{"schedule":["5s","5m","2h"],"giveUpAfter":"72h"}`, string(text))
	require.Error(t, json.Unmarshal([]byte(`{"giveUpAfter":72}`), &p), "a bare number does not say its unit")
	require.Error(t, json.Unmarshal([]byte(`{"giveUpAfter":"soon"}`), &p))
}
