package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn/activities"
)

// errandPolicy repeats an errand for days without disturbing anyone.
var errandPolicy = &temporal.RetryPolicy{
	InitialInterval: 5 * time.Second, BackoffCoefficient: 2,
	MaximumInterval: time.Hour,
}

// cancelPolicy repeats a cancel. A partner that is back hears of it within minutes: until then, what it issued can be
// used.
var cancelPolicy = &temporal.RetryPolicy{
	InitialInterval: 5 * time.Second, BackoffCoefficient: 2,
	MaximumInterval: 5 * time.Minute,
}

// CancelAtPartner tells the partner of an abandoned source to cancel what it may have issued, until it acknowledges or
// the database says that it is too late.
func CancelAtPartner(ctx workflow.Context, in activities.Revocation) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 75 * time.Second, HeartbeatTimeout: heartbeatTimeout, RetryPolicy: cancelPolicy,
		Summary: "tell " + in.Source + " to cancel",
	})
	return workflow.ExecuteActivity(ctx, acts.CancelAtPartner, in).Get(ctx, nil)
}

// followFor is how long a processor is asked for what came of a payment; each night all are reviewed.
const followFor = 24 * time.Hour

// FollowPayment asks a processor for what came of a payment that orders came in paid with. Whoever is told of more
// wakes it.
func FollowPayment(ctx workflow.Context, in activities.PaidOrders) error {
	wake := workflow.GetSignalChannelWithOptions(ctx, WakeName,
		workflow.SignalChannelOptions{Description: "ask the payment provider again"})
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 45 * time.Second, HeartbeatTimeout: heartbeatTimeout, ScheduleToCloseTimeout: followFor,
		RetryPolicy: errandPolicy, Summary: "ask what came of " + in.Reference,
	})
	for {
		for wake.ReceiveAsync(nil) {
		}
		err := workflow.ExecuteActivity(ctx, acts.FollowPayment, in).Get(ctx, nil)
		if err != nil || wake.Len() == 0 {
			return err
		}
	}
}

// sendFor is how long an e-mail that is not a line's first is tried.
const sendFor = 72 * time.Hour

// SendFollowUpEmail sends a stored e-mail that is not a line's first: keys once more, new keys, or the news of a
// refund.
func SendFollowUpEmail(ctx workflow.Context, in activities.Sending) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 60 * time.Second, HeartbeatTimeout: heartbeatTimeout, ScheduleToCloseTimeout: sendFor,
		RetryPolicy: errandPolicy, Summary: "send a stored e-mail",
	})
	return workflow.ExecuteActivity(ctx, acts.SendFollowUpEmail, in).Get(ctx, nil)
}
