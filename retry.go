package keyturn

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// RetryPolicy says when a failed step is tried again and when the line is given up. It is read anew at each failure, so
// an edited policy reaches lines in flight. Either Schedule or the three backoff fields; with neither, the defaults.
type RetryPolicy struct {
	Schedule           []Duration `json:"schedule,omitempty"` // the last one repeats
	InitialInterval    Duration   `json:"initialInterval,omitempty"`
	BackoffCoefficient float64    `json:"backoffCoefficient,omitempty"`
	MaximumInterval    Duration   `json:"maximumInterval,omitempty"`
	GiveUpAfter        Duration   `json:"giveUpAfter,omitempty"` // from the acceptance of the order
}

// DefaultSchedule and DefaultGiveUp apply where a product says nothing.
var DefaultSchedule = []Duration{
	Duration(5 * time.Second), Duration(5 * time.Minute), Duration(30 * time.Minute), Duration(2 * time.Hour),
	Duration(5 * time.Hour),
	Duration(10 * time.Hour), Duration(14 * time.Hour), Duration(20 * time.Hour), Duration(24 * time.Hour),
}

// DefaultGiveUp is three days: a weekend at the partner's does not cost the sale.
const DefaultGiveUp = 72 * time.Hour

const (
	minInterval = 100 * time.Millisecond // less would be a busy loop against a partner
	maxInterval = 30 * 24 * time.Hour
	maxGiveUp   = 90 * 24 * time.Hour // card networks take refunds back for about this long
)

// WithDefaults fills in what the merchant left out.
func (r RetryPolicy) WithDefaults() RetryPolicy {
	if r.InitialInterval == 0 && len(r.Schedule) == 0 {
		r.Schedule = DefaultSchedule
	}
	if r.InitialInterval != 0 {
		if r.BackoffCoefficient == 0 {
			r.BackoffCoefficient = 2
		}
		if r.MaximumInterval == 0 {
			r.MaximumInterval = Duration(min(100*time.Duration(r.InitialInterval), 24*time.Hour))
			r.MaximumInterval = max(r.MaximumInterval, r.InitialInterval)
		}
	}
	if r.GiveUpAfter == 0 {
		r.GiveUpAfter = Duration(DefaultGiveUp)
	}
	return r
}

// Check says what is wrong with the policy.
func (r RetryPolicy) Check() error {
	var bad Problems
	backoff := r.InitialInterval != 0 || r.BackoffCoefficient != 0 || r.MaximumInterval != 0
	bad.Check(len(r.Schedule) == 0 || !backoff, "schedule",
		"cannot stand beside initialInterval, backoffCoefficient or maximumInterval: give one or the other")
	bad.Check(len(r.Schedule) <= 100, "schedule", "must have at most 100 entries")
	for i, d := range r.Schedule {
		bad.Check(inRange(d, minInterval, maxInterval), "schedule["+itoa(i)+"]", "must be between %s and %s",
			Duration(minInterval), Duration(maxInterval))
	}
	if backoff {
		bad.Check(inRange(r.InitialInterval, minInterval, maxInterval), "initialInterval", "must be between %s and %s",
			Duration(minInterval), Duration(maxInterval))
		bad.Check(r.BackoffCoefficient == 0 || r.BackoffCoefficient >= 1 && r.BackoffCoefficient <= 10, "backoffCoefficient",
			"must be between 1 and 10")
		bad.Check(r.MaximumInterval == 0 || r.MaximumInterval >= r.InitialInterval &&
			time.Duration(r.MaximumInterval) <= maxInterval,
			"maximumInterval", "must be between initialInterval and %s", Duration(maxInterval))
	}
	bad.Check(r.GiveUpAfter == 0 || inRange(r.GiveUpAfter, time.Second, maxGiveUp), "giveUpAfter",
		"must be between 1s and %s", Duration(maxGiveUp))
	return bad.Err("the retry policy is not valid")
}

func inRange(d Duration, low, high time.Duration) bool {
	return time.Duration(d) >= low && time.Duration(d) <= high
}

// String says in words when a failed step is tried again: "5s, 5m, then every 30m". It needs WithDefaults.
func (r RetryPolicy) String() string {
	if n := len(r.Schedule); n > 0 {
		var text strings.Builder
		for _, d := range r.Schedule[:n-1] {
			text.WriteString(d.String() + ", ")
		}
		if n > 1 {
			text.WriteString("then ")
		}
		return text.String() + "every " + r.Schedule[n-1].String()
	}
	factor := strconv.FormatFloat(r.BackoffCoefficient, 'g', -1, 64)
	return r.InitialInterval.String() + ", each time " + factor + " times as long, at most " + r.MaximumInterval.String()
}

// Delay is how long to wait after the failures-th failure in a row (1 or more). It needs WithDefaults.
func (r RetryPolicy) Delay(failures int) time.Duration {
	failures = max(failures, 1)
	if len(r.Schedule) > 0 {
		return time.Duration(r.Schedule[min(failures, len(r.Schedule))-1])
	}
	delay := float64(r.InitialInterval) * math.Pow(r.BackoffCoefficient, float64(failures-1))
	return time.Duration(min(delay, float64(r.MaximumInterval)))
}
