package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// stuck is a line whose partner is down for ever.
func stuck(t *testing.T) *line {
	t.Helper()
	l := newLine(t, 0, keyturn.DoCall)
	l.policy = keyturn.RetryPolicy{Schedule: []keyturn.Duration{keyturn.Duration(10 * time.Hour)}}.WithDefaults()
	l.partner = always(down)
	return l
}

func TestRetryEndsTheWaitForTheNextTry(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{
		"while its timer runs":     time.Hour,
		"while the server repeats": 11 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stuck(t)
			l.at(after, func() {
				l.partner = times(0, down)
				l.update(keyturn.Resolution{Action: keyturn.ActionRetry})
			})
			l.run()
			trace := []string{"CallEndpoint", "timer 10h", "RecordDecision retry", "CallEndpoint", "SendEmail"}
			if after > 10*time.Hour {
				trace = []string{"CallEndpoint", "timer 10h", "CallEndpoint", "RecordDecision retry", "CallEndpoint", "SendEmail"}
			}
			l.ends(keyturn.LineDelivered, after, trace...)
		})
	}
}

func TestRefundEndsALineAtOnce(t *testing.T) {
	t.Parallel()
	l := stuck(t)
	l.at(11*time.Hour, func() { l.update(keyturn.Resolution{Action: keyturn.ActionRefund}) })
	l.run()
	l.ends(keyturn.LineCanceled, 11*time.Hour, "CallEndpoint", "timer 10h", "CallEndpoint", "RecordDecision refund",
		"Refund")
}

func TestAHold(t *testing.T) {
	t.Parallel()
	held := func(t *testing.T, r keyturn.Resolution) *line {
		l := stuck(t)
		l.at(time.Hour, func() {
			l.partner = times(0, down)
			if r.Until != nil {
				at := l.now().Add(4 * time.Hour)
				r.Until = &at
			}
			l.update(r)
		})
		return l
	}
	t.Run("ends by itself", func(t *testing.T) {
		t.Parallel()
		l := held(t, keyturn.Resolution{Action: keyturn.ActionHold, Until: &time.Time{}})
		l.run()
		l.ends(keyturn.LineDelivered, 5*time.Hour, "CallEndpoint", "timer 10h", "RecordDecision hold", "timer 4h",
			"ReviewLine", "CallEndpoint", "SendEmail")
		require.Equal(t, []string{"RETRYING true", "HELD true", "RETRYING true", "DELIVERED false"}, l.shown)
	})
	t.Run("is released", func(t *testing.T) {
		t.Parallel()
		l := held(t, keyturn.Resolution{Action: keyturn.ActionHold})
		l.at(3*time.Hour, func() { l.update(keyturn.Resolution{Action: keyturn.ActionRelease}) })
		l.run()
		l.ends(keyturn.LineDelivered, 3*time.Hour, "CallEndpoint", "timer 10h", "RecordDecision hold", "timer 71h",
			"RecordDecision release", "CallEndpoint", "SendEmail")
	})
	t.Run("lasts to the deadline", func(t *testing.T) {
		t.Parallel()
		l := held(t, keyturn.Resolution{Action: keyturn.ActionHold})
		l.at(2*time.Hour, func() { l.partner = always(down) })
		l.run()
		l.ends(keyturn.LineCanceled, 72*time.Hour, "CallEndpoint", "timer 10h", "RecordDecision hold", "timer 71h",
			"ReviewLine", "CallEndpoint", "Refund")
	})
}

func TestExtendMovesTheDeadline(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoAwait)
	until := l.now().Add(100 * time.Hour)
	l.at(time.Hour, func() { l.update(keyturn.Resolution{Action: keyturn.ActionExtend, Until: &until}) })
	l.at(99*time.Hour, func() {
		s := l.state()
		require.InDelta(t, 100*time.Hour, s.AsOf.Add(time.Duration(s.Left)).Sub(l.start), float64(time.Minute))
	})
	l.run()
	l.ends(keyturn.LineCanceled, 100*time.Hour, "ReviewLine", "timer 72h", "RecordDecision extend", "timer 99h",
		"ReviewLine", "Refund")
}

// What makes no sense is refused before anything of it is written down; what only the database can judge is refused by
// it.
func TestDecisionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	l := stuck(t)
	past := l.start.Add(-time.Hour)
	l.at(time.Hour, func() {
		l.refused(keyturn.Resolution{Action: "deliver"}, "resolution is not valid")
		l.refused(keyturn.Resolution{Action: keyturn.ActionRelease}, "does not take release")
		l.env.UpdateWorkflow(workflows.ResolveName, "", &late{t: t},
			keyturn.Resolution{Action: keyturn.ActionExtend, Until: &past})
		l.env.SignalWorkflow(workflows.ResolveName, map[string]any{"action": "deliver"})
		l.env.SignalWorkflow(workflows.ResolveName, "nonsense")
	})
	l.at(2*time.Hour, func() {
		require.Equal(t, 2, l.refusals)
		require.Equal(t, 2, l.state().IgnoredSignals)
		l.env.SignalWorkflow(workflows.ResolveName, map[string]any{"action": "refund", "reason": "asked for it"})
	})
	l.run()
	l.ends(keyturn.LineCanceled, 2*time.Hour, "CallEndpoint", "timer 10h", "RecordDecision extend",
		"RecordDecision refund", "Refund")
}

// late is an Update that is accepted and then fails.
type late struct{ t *testing.T }

func (*late) Accept()            {}
func (c *late) Reject(err error) { require.NoError(c.t, err) }
func (c *late) Complete(_ any, err error) {
	require.ErrorContains(c.t, err, "must be in the future")
}

// A wake-up that changes nothing ends no wait, nor does an answer that was overtaken.
func TestAWakeUpThatChangesNothing(t *testing.T) {
	t.Parallel()
	l := stuck(t)
	l.at(time.Hour, l.wake(func() {}))
	l.at(11*time.Hour, func() {
		l.partner = times(0, down)
		l.wake(func() {})()
	})
	l.run()
	l.ends(keyturn.LineDelivered, 20*time.Hour, "CallEndpoint", "timer 10h", "ReviewLine", "CallEndpoint", "ReviewLine",
		"CallEndpoint", "SendEmail")
}

func TestACancelledOrderEndsALineAtOnce(t *testing.T) {
	t.Parallel()
	l := stuck(t)
	l.at(11*time.Hour, l.wake(func() { l.status, l.nextAt = keyturn.LineCanceling, time.Time{} }))
	l.run()
	l.ends(keyturn.LineCanceled, 11*time.Hour, "CallEndpoint", "timer 10h", "CallEndpoint", "ReviewLine", "Refund")
}

// Only the database ends a line: a cancellation from outside would leave it with neither key nor money.
func TestACancellationFromOutsideChangesNothing(t *testing.T) {
	t.Parallel()
	l := stuck(t)
	l.at(time.Hour, func() { l.env.CancelWorkflow() })
	l.at(2*time.Hour, func() { l.partner = times(0, down) })
	l.run()
	l.ends(keyturn.LineDelivered, 10*time.Hour, "CallEndpoint", "timer 10h", "CallEndpoint", "SendEmail")
}
