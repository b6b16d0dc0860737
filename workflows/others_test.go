package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

func TestADeliveredLineThatIsTakenBackIsRefunded(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.status = keyturn.LineCanceling
	l.payment = func(try int) bool { return try > 1 }
	l.env.ExecuteWorkflow(workflows.CancelLineItem, workflows.LineInput{FulfillmentID: "f", Next: l.next()})
	require.NoError(t, l.env.GetWorkflowError())
	l.ends(keyturn.LineCanceled, 2*time.Second, "Refund", "Refund")
}

// What is to be told to a partner, and an e-mail that follows, are repeated ever more slowly.
func TestErrandsAreRepeated(t *testing.T) {
	t.Parallel()
	failing := func(n int) func() error {
		tries := 0
		return func() error {
			if tries++; tries <= n {
				return temporal.NewApplicationError("not yet", string(keyturn.KindUnavailable))
			}
			return nil
		}
	}
	for name, run := range map[string]func(env *testsuite.TestWorkflowEnvironment, try func() error){
		"CancelAtPartner": func(env *testsuite.TestWorkflowEnvironment, try func() error) {
			env.RegisterActivityWithOptions(func(_ context.Context, in activities.Revocation) error {
				require.Equal(t, activities.Revocation{FulfillmentID: "f", Source: "endpoint/acme"}, in)
				return try()
			}, activity.RegisterOptions{Name: "CancelAtPartner"})
			env.ExecuteWorkflow(workflows.CancelAtPartner, activities.Revocation{FulfillmentID: "f", Source: "endpoint/acme"})
		},
		"SendFollowUpEmail": func(env *testsuite.TestWorkflowEnvironment, try func() error) {
			env.RegisterActivityWithOptions(func(_ context.Context, in activities.Sending) error {
				require.Equal(t, activities.Sending{DeliveryID: "d"}, in)
				return try()
			}, activity.RegisterOptions{Name: "SendFollowUpEmail"})
			env.ExecuteWorkflow(workflows.SendFollowUpEmail, activities.Sending{DeliveryID: "d"})
		},
		"FollowPayment": func(env *testsuite.TestWorkflowEnvironment, try func() error) {
			in := activities.PaidOrders{Provider: "stripe", Reference: "pi_1"}
			env.RegisterActivityWithOptions(func(_ context.Context, got activities.PaidOrders) error {
				require.Equal(t, in, got)
				return try()
			}, activity.RegisterOptions{Name: "FollowPayment"})
			env.ExecuteWorkflow(workflows.FollowPayment, in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			worker.RegisterWorkflows(env)
			start := env.Now()
			run(env, failing(4))
			require.NoError(t, env.GetWorkflowError())
			require.InDelta(t, (5 + 10 + 20 + 40), env.Now().Sub(start).Seconds(), 2)
		})
	}
}

func TestTheBooksAreAuditedAndThenPurged(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	worker.RegisterWorkflows(env)
	var ran []string
	env.RegisterActivityWithOptions(func(context.Context) (workflows.AuditOutcome, error) {
		ran = append(ran, "AuditBooks")
		return workflows.AuditOutcome{ID: "a", Violations: 2}, nil
	}, activity.RegisterOptions{Name: "AuditBooks"})
	env.RegisterActivityWithOptions(func(context.Context) (workflows.TidyOutcome, error) {
		ran = append(ran, "PurgeExpired")
		return workflows.TidyOutcome{}, nil
	}, activity.RegisterOptions{Name: "PurgeExpired"})
	env.ExecuteWorkflow(workflows.AuditBooks)
	require.NoError(t, env.GetWorkflowError())
	var out workflows.AuditOutcome
	require.NoError(t, env.GetWorkflowResult(&out))
	require.EqualValues(t, 2, out.Violations)
	require.Equal(t, []string{"AuditBooks", "PurgeExpired"}, ran)
}

// An event that comes while a processor is asked has it asked once more.
func TestAPaymentIsFollowedAgainWhenItIsToldOf(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	worker.RegisterWorkflows(env)
	asked := 0
	env.RegisterActivityWithOptions(func(context.Context, activities.PaidOrders) error {
		if asked++; asked == 1 {
			env.SignalWorkflow(workflows.WakeName, nil)
		}
		return nil
	}, activity.RegisterOptions{Name: "FollowPayment"})
	env.ExecuteWorkflow(workflows.FollowPayment, activities.PaidOrders{Provider: "stripe", Reference: "pi_1"})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 2, asked)
}
