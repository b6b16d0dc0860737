package workflows_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

// line is one line's workflow in virtual time: three days pass in a moment.
type line struct {
	*model
	t     *testing.T
	env   *testsuite.TestWorkflowEnvironment
	start time.Time
	shown []string // the search attribute LineStatus, as it was set

	refusals int
}

// newLine is a line that was just accepted and that its sources serve in this order. skew is how far the database's
// clock is ahead of Temporal's.
func newLine(t *testing.T, skew time.Duration, sources ...keyturn.Do) *line {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	l := &line{t: t, env: suite.NewTestWorkflowEnvironment()}
	l.start = l.env.Now()
	l.model = &model{
		now: func() time.Time { return l.env.Now().Add(skew) }, sources: sources, stock: 1, status: keyturn.LinePending,
		version:  1,
		policy:   keyturn.RetryPolicy{}.WithDefaults(),
		giveUpAt: l.start.Add(skew + keyturn.DefaultGiveUp),
		partner:  func(int) *failure { return nil },
		mail:     func(int) *failure { return nil },
		payment:  func(int) bool { return true },
	}
	worker.RegisterWorkflows(l.env)
	for name, fn := range map[string]any{
		"ClaimKeys": l.ClaimKeys, "CallEndpoint": l.CallEndpoint, "UpdateLicense": l.UpdateLicense, "SendEmail": l.SendEmail,
		"Refund": l.Refund, "ReviewLine": l.ReviewLine, "RecordDecision": l.RecordDecision,
	} {
		l.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	l.env.SetOnActivityCanceledListener(func(info *activity.Info) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cancelled = append(l.cancelled, info.ActivityID)
	})
	l.env.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		l.traced("timer " + keyturn.Duration(d.Round(time.Second)).String())
	})
	l.env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		attributes, _ := args.Get(0).(temporal.SearchAttributes)
		status, _ := attributes.GetKeyword(workflows.LineStatusKey)
		attention, _ := attributes.GetBool(workflows.NeedsAttentionKey)
		l.shown = append(l.shown, fmt.Sprintf("%s %v", status, attention))
	}).Return(nil).Maybe()
	return l
}

// log notes what happens, with its virtual time.
func (m *model) log(what string) { m.trace = append(m.trace, what) }

func (l *line) traced(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trace = append(l.trace, what)
}

// run runs the workflow to its end.
func (l *line) run() {
	l.t.Helper()
	l.env.ExecuteWorkflow(workflows.FulfillLineItem, workflows.LineInput{
		FulfillmentID: "f", OrderID: "o", ProductID: "p",
		Next: l.next(),
	})
	require.True(l.t, l.env.IsWorkflowCompleted())
	require.NoError(l.t, l.env.GetWorkflowError())
}

// ends requires how the line ended, what happened, and after how long.
func (l *line) ends(status keyturn.LineStatus, after time.Duration, trace ...string) {
	l.t.Helper()
	var result workflows.Result
	require.NoError(l.t, l.env.GetWorkflowResult(&result))
	require.Equal(l.t, trace, l.trace)
	require.Equal(l.t, status, result.Status)
	l.took(after)
}

// took requires how much time has passed. Activities take real time, a moment each.
func (l *line) took(d time.Duration) {
	l.t.Helper()
	require.InDelta(l.t, d.Seconds(), l.env.Now().Sub(l.start).Seconds(), 2)
}

// at does something after a while.
func (l *line) at(d time.Duration, do func()) { l.env.RegisterDelayedCallback(do, d) }

// update sends a decision that is taken.
func (l *line) update(r keyturn.Resolution) {
	l.env.UpdateWorkflow(workflows.ResolveName, "", &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { require.NoError(l.t, err) },
		OnComplete: func(_ any, err error) { require.NoError(l.t, err) },
	}, r)
}

// refused sends a decision that is refused for this reason, and counts that it was.
func (l *line) refused(r keyturn.Resolution, reason string) {
	l.env.UpdateWorkflow(workflows.ResolveName, "", &testsuite.TestUpdateCallback{
		OnAccept: func() { l.t.Errorf("%s was accepted", r.Action) },
		OnReject: func(err error) {
			require.ErrorContains(l.t, err, reason)
			l.refusals++
		},
		OnComplete: func(any, error) {},
	}, r)
}

func (l *line) state() workflows.State {
	v, err := l.env.QueryWorkflow(workflows.StateName)
	require.NoError(l.t, err)
	var s workflows.State
	require.NoError(l.t, v.Get(&s))
	return s
}

// wake is what the relay does after it changed the line.
func (l *line) wake(change func()) func() {
	return func() {
		l.mu.Lock()
		change()
		l.version++
		l.mu.Unlock()
		l.env.SignalWorkflow(workflows.WakeName, nil)
	}
}

func always(f failure) func(int) *failure { return func(int) *failure { return &f } }

// times fails so many times, then not any more.
func times(n int, f failure) func(int) *failure {
	return func(try int) *failure {
		if try <= n {
			return &f
		}
		return nil
	}
}

var (
	down  = failure{kind: keyturn.KindUnavailable}
	never = failure{kind: keyturn.KindRejected, permanent: true}
)
