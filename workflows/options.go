package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// A decision is one transaction; somebody waits for its answer.
var decideOptions = workflow.LocalActivityOptions{
	StartToCloseTimeout: 5 * time.Second,
	RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumAttempts: 3},
	Summary:             "record the decision",
}

// Retries of our own faults: a database that restarts. Failures of a line bring their own delay (NextRetryDelay).
var ownFaults = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute}

// A worker heartbeats while an activity runs: one that died, froze or lost its answer is noticed after this time, and
// another attempt begins. The database keeps it from what the first one may still do.
const heartbeatTimeout = 10 * time.Second

var reviewOptions = workflow.ActivityOptions{
	StartToCloseTimeout: 10 * time.Second, RetryPolicy: ownFaults,
	Summary: "read the line again",
}

// steps says how each step runs. local is the time of its first attempt inside the workflow task, 0 for a step that is
// always a regular activity. The steps of one workflow task must fit into eight of its ten seconds, or the SDK extends
// the task with new ones: ClaimKeys, CapturePayment and SendEmail take eight at most. startToClose is of the regular
// activity, and longer than the activity's own deadline, so that a failure comes as an error with a name rather than
// as a timeout.
var steps = map[keyturn.Do]struct {
	local, startToClose time.Duration
	summary             string // what follows is the source
}{
	keyturn.DoClaim:   {3 * time.Second, 45 * time.Second, "claim keys from "},
	keyturn.DoApply:   {4 * time.Second, 45 * time.Second, "update the licence"},
	keyturn.DoDeliver: {3 * time.Second, 60 * time.Second, "send the e-mail"},
	keyturn.DoCapture: {2 * time.Second, 45 * time.Second, "take the money that is authorized"},
	keyturn.DoCall:    {0, 2 * time.Minute, "call "}, // 20 s of calls, the last of which may take 30 s more
	keyturn.DoRefund:  {0, 45 * time.Second, "refund the payment"},
}

func (f *fulfillment) activity() any {
	switch f.next.Do {
	case keyturn.DoClaim:
		return acts.ClaimKeys
	case keyturn.DoCall:
		return acts.CallEndpoint
	case keyturn.DoApply:
		return acts.UpdateLicense
	case keyturn.DoDeliver:
		return acts.SendEmail
	case keyturn.DoCapture:
		return acts.CapturePayment
	case keyturn.DoRefund:
		return acts.Refund
	case keyturn.DoAwait, keyturn.DoQueue, keyturn.DoNothing:
	}
	return acts.ReviewLine
}

func (f *fulfillment) input(retry bool) activities.Step {
	return activities.Step{FulfillmentID: f.in.FulfillmentID, Retry: retry, Status: f.next.Status, Source: f.next.Source}
}

func (f *fulfillment) summary() string {
	if f.next.Do == keyturn.DoClaim || f.next.Do == keyturn.DoCall {
		return steps[f.next.Do].summary + f.next.Source
	}
	return steps[f.next.Do].summary
}

func (f *fulfillment) options() workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout: steps[f.next.Do].startToClose, HeartbeatTimeout: heartbeatTimeout, RetryPolicy: ownFaults,
		Summary: f.summary(),
	}
}

// localOptions try a step once: what fails goes on as a regular activity.
func (f *fulfillment) localOptions() workflow.LocalActivityOptions {
	return workflow.LocalActivityOptions{
		StartToCloseTimeout: steps[f.next.Do].local, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary: f.summary(),
	}
}
