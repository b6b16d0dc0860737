package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

// aPayment is a payment's workflow in virtual time, for which a test says what each activity answers.
type aPayment struct {
	t     *testing.T
	env   *testsuite.TestWorkflowEnvironment
	start time.Time
	trace []string
	now   keyturn.PaymentNext                            // what a review answers
	does  map[string]func() (keyturn.PaymentNext, error) // what the other activities do
	// looked is told of each review before it is answered
	looked func()
	down   int // how many reviews fail because the database does not answer
}

func newPayment(t *testing.T) *aPayment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	p := &aPayment{t: t, env: suite.NewTestWorkflowEnvironment(), does: map[string]func() (keyturn.PaymentNext, error){}}
	p.start = p.env.Now()
	worker.RegisterWorkflows(p.env)
	p.env.RegisterActivityWithOptions(func(_ context.Context, in activities.PaymentStep) (keyturn.PaymentNext, error) {
		require.Equal(t, "p", in.PaymentID)
		if p.looked != nil {
			p.looked()
		}
		if p.down > 0 {
			p.down--
			return keyturn.PaymentNext{}, keyturn.Errorf(keyturn.KindUnavailable, "the database did not answer")
		}
		return p.now, nil
	}, activity.RegisterOptions{Name: "ReviewPayment"})
	for _, name := range []string{
		"OpenSession", "RetrievePayment", "ExpireSession", "VoidPayment", "RefundPayment",
		"SendPaymentEmail",
	} {
		p.env.RegisterActivityWithOptions(func(context.Context, activities.PaymentStep) (keyturn.PaymentNext, error) {
			p.trace = append(p.trace, name)
			next, err := p.does[name]()
			if err == nil {
				p.now = next
			}
			return next, err
		}, activity.RegisterOptions{Name: name})
	}
	return p
}

func (p *aPayment) run() workflows.PaymentResult {
	p.t.Helper()
	p.env.ExecuteWorkflow(workflows.SettlePayment, workflows.PaymentInput{PaymentID: "p", LinkID: "l"})
	require.True(p.t, p.env.IsWorkflowCompleted())
	require.NoError(p.t, p.env.GetWorkflowError())
	var out workflows.PaymentResult
	require.NoError(p.t, p.env.GetWorkflowResult(&out))
	return out
}

func after(d time.Duration, do keyturn.PaymentDo, status keyturn.PaymentStatus) keyturn.PaymentNext {
	return keyturn.PaymentNext{Do: do, Status: status, Wait: keyturn.Duration(d)}
}

// A database that is down for minutes ends no workflow: what its payment needs would wait until it is missed.
func TestAPaymentOutlivesADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now, p.down = after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured), 9
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
	require.Zero(t, p.down)
	require.Greater(t, p.env.Now().Sub(p.start), 2*time.Minute)
}

// A customer who never pays: the processor is asked ever more rarely, and the session ends in time.
func TestAPaymentThatNobodyMakes(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now = after(30*time.Second, keyturn.PaymentDoWait, keyturn.PaymentOpen)
	looks := 0
	p.env.RegisterDelayedCallback(func() { p.now = after(0, keyturn.PaymentDoRetrieve, keyturn.PaymentOpen) },
		29*time.Second)
	p.does["RetrievePayment"] = func() (keyturn.PaymentNext, error) {
		if looks++; looks == 1 {
			return after(29*time.Minute, keyturn.PaymentDoExpire, keyturn.PaymentOpen), nil
		}
		return keyturn.PaymentNext{}, nil
	}
	p.env.RegisterDelayedCallback(func() { p.now = after(0, keyturn.PaymentDoExpire, keyturn.PaymentOpen) },
		29*time.Minute+29*time.Second)
	p.does["ExpireSession"] = func() (keyturn.PaymentNext, error) {
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentExpired), nil
	}
	require.Equal(t, keyturn.PaymentExpired, p.run().Status)
	require.Equal(t, []string{"RetrievePayment", "ExpireSession"}, p.trace)
	require.InDelta(t, 1770, p.env.Now().Sub(p.start).Seconds(), 2)
}

// A signal ends the wait at once, whatever the timer says.
func TestAPaymentIsWoken(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now = after(time.Hour, keyturn.PaymentDoWait, keyturn.PaymentAuthorized)
	p.env.RegisterDelayedCallback(func() {
		p.now = after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured)
		p.env.SignalWorkflow(workflows.WakeName, nil)
	}, time.Minute)
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
	require.InDelta(t, 60, p.env.Now().Sub(p.start).Seconds(), 2)
}

// What the processor does not answer is asked until it does, and money that belongs to no order goes back.
func TestAPaymentGoesBack(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now = after(0, keyturn.PaymentDoVoid, keyturn.PaymentVoiding)
	tries := 0
	p.does["VoidPayment"] = func() (keyturn.PaymentNext, error) {
		if tries++; tries < 4 {
			return keyturn.PaymentNext{}, temporal.NewApplicationError("no answer", string(keyturn.KindUnavailable))
		}
		return after(0, keyturn.PaymentDoRefund, keyturn.PaymentCaptured), nil
	}
	p.does["RefundPayment"] = func() (keyturn.PaymentNext, error) {
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured), nil
	}
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
	require.Equal(t, []string{"VoidPayment", "VoidPayment", "VoidPayment", "VoidPayment", "RefundPayment"}, p.trace)
}

// Cancelling the workflow from outside changes nothing: only the processor ends a payment.
func TestAPaymentCannotBeCancelledFromOutside(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now = after(time.Hour, keyturn.PaymentDoWait, keyturn.PaymentAuthorized)
	p.env.RegisterDelayedCallback(p.env.CancelWorkflow, time.Second)
	p.env.RegisterDelayedCallback(func() {
		p.now = after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured)
	}, time.Minute)
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
	require.InDelta(t, 3600, p.env.Now().Sub(p.start).Seconds(), 2)
}

// Where a payment stands is shown once for each status, from where it leaves the usual way, and not of one that goes
// well.
func TestAnUnusualPaymentIsShown(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	var shown []string
	p.env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		attributes, _ := args.Get(0).(temporal.SearchAttributes)
		status, _ := attributes.GetKeyword(workflows.PaymentStatusKey)
		shown = append(shown, status)
	}).Return(nil).Maybe()
	unusual := func(do keyturn.PaymentDo, status keyturn.PaymentStatus) keyturn.PaymentNext {
		return keyturn.PaymentNext{Do: do, Status: status, Unusual: true}
	}
	p.now = after(0, keyturn.PaymentDoRetrieve, keyturn.PaymentOpen)
	p.does["RetrievePayment"] = func() (keyturn.PaymentNext, error) {
		return unusual(keyturn.PaymentDoVoid, keyturn.PaymentVoiding), nil
	}
	p.does["VoidPayment"] = func() (keyturn.PaymentNext, error) {
		return unusual(keyturn.PaymentDoRefund, keyturn.PaymentCaptured), nil
	}
	p.does["RefundPayment"] = func() (keyturn.PaymentNext, error) {
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured), nil
	}
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
	require.Equal(t, []string{"VOIDING", "CAPTURED"}, shown)

	p = newPayment(t)
	p.env.OnUpsertTypedSearchAttributes(mock.Anything).Panic("it costs an event of each sale").Maybe()
	p.now = after(0, keyturn.PaymentDoRetrieve, keyturn.PaymentAuthorized)
	p.does["RetrievePayment"] = func() (keyturn.PaymentNext, error) {
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentCaptured), nil
	}
	require.Equal(t, keyturn.PaymentCaptured, p.run().Status)
}

// Who wakes a payment at the moment at which it ends is heard: it looks once more.
func TestAPaymentIsWokenAtItsEnd(t *testing.T) {
	t.Parallel()
	p := newPayment(t)
	p.now = after(0, keyturn.PaymentDoVoid, keyturn.PaymentVoiding)
	p.does["VoidPayment"] = func() (keyturn.PaymentNext, error) {
		p.env.SignalWorkflow(workflows.WakeName, nil)
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentVoided), nil
	}
	p.does["SendPaymentEmail"] = func() (keyturn.PaymentNext, error) {
		return after(0, keyturn.PaymentDoNothing, keyturn.PaymentVoided), nil
	}
	looks := 0
	p.looked = func() {
		if looks++; looks == 2 { // the e-mail that was asked for meanwhile
			p.now = after(0, keyturn.PaymentDoMail, keyturn.PaymentVoided)
		}
	}
	require.Equal(t, keyturn.PaymentVoided, p.run().Status)
	require.Equal(t, []string{"VoidPayment", "SendPaymentEmail"}, p.trace)
}
