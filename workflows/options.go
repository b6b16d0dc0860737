package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// The first try of a database step or an e-mail, inside the workflow task: it must be over well within the task's ten
// seconds, and it is not repeated there.
var localOptions = workflow.LocalActivityOptions{
	StartToCloseTimeout: 6 * time.Second,
	RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
}

// A decision is one transaction; somebody waits for its answer.
var decideOptions = workflow.LocalActivityOptions{
	StartToCloseTimeout: 5 * time.Second,
	RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumAttempts: 3},
}

// Retries of our own faults: a database that restarts. Failures of a line bring their own delay (NextRetryDelay).
var ownFaults = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute}

// A worker heartbeats while an activity runs: one that died, froze or lost its answer is noticed after this time, and
// another attempt begins. The database keeps it from what the first one may still do.
const heartbeatTimeout = 10 * time.Second

var reviewOptions = workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second, RetryPolicy: ownFaults, Summary: "look at the line again"}

// steps says how each step runs as a regular activity. StartToClose is longer than the activity's own deadline, so that
// a failure comes as an error with a name rather than as a timeout.
var steps = map[keyturn.Do]struct {
	startToClose time.Duration
	summary      string
}{
	keyturn.DoClaim:   {75 * time.Second, "claim keys from "},   // and send them: 30 s
	keyturn.DoCall:    {2 * time.Minute, "call "},               // 20 s of calls, the last of which may take 30 s more, and 30 s of sending
	keyturn.DoApply:   {75 * time.Second, "book the operation"}, // and send its e-mail
	keyturn.DoDeliver: {60 * time.Second, "send the e-mail"},
	keyturn.DoRefund:  {45 * time.Second, "refund the line"},
}

func (f *fulfillment) activity() any {
	switch f.next.Do {
	case keyturn.DoClaim:
		return acts.ClaimKeys
	case keyturn.DoCall:
		return acts.CallEndpoint
	case keyturn.DoApply:
		return acts.ApplyOperation
	case keyturn.DoDeliver:
		return acts.SendEmail
	case keyturn.DoRefund:
		return acts.Refund
	case keyturn.DoAwait, keyturn.DoQueue, keyturn.DoNothing:
	}
	return acts.Review
}

func (f *fulfillment) input(retry bool) activities.Step {
	return activities.Step{FulfillmentID: f.in.FulfillmentID, Retry: retry, Status: f.next.Status, Source: f.next.Source}
}

func (f *fulfillment) options() workflow.ActivityOptions {
	s := steps[f.next.Do]
	summary := s.summary
	if f.next.Do == keyturn.DoClaim || f.next.Do == keyturn.DoCall {
		summary += f.next.Source
	}
	return workflow.ActivityOptions{StartToCloseTimeout: s.startToClose, HeartbeatTimeout: heartbeatTimeout, RetryPolicy: ownFaults, Summary: summary}
}
