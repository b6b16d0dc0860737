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

// CancelAtPartner tells the partner of an abandoned source to cancel what it may have issued, until it acknowledges or
// the database says that it is too late.
func CancelAtPartner(ctx workflow.Context, in activities.Revocation) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 75 * time.Second, HeartbeatTimeout: heartbeatTimeout, RetryPolicy: errandPolicy,
		Summary: "tell " + in.Source + " to cancel",
	})
	return workflow.ExecuteActivity(ctx, acts.CancelAtPartner, in).Get(ctx, nil)
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
