package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// PaymentInput starts the workflow of a payment.
type PaymentInput struct {
	PaymentID string `json:"paymentId"`
	LinkID    string `json:"linkId"`
}

// PaymentResult is how a payment ended.
type PaymentResult struct {
	Status keyturn.PaymentStatus `json:"status"`
}

// PaymentWorkflowID is the ID of a payment's workflow.
func PaymentWorkflowID(paymentID string) string { return "payment-" + paymentID }

// SettlePayment follows one attempt to pay a checkout link, from the processor's session to its end: captured, let go,
// expired or given back. The database says what is next; what a processor tells, a customer does or a line needs comes
// as a signal to look at it. It ends with the payment, and is started again for what comes after.
func SettlePayment(ctx workflow.Context, in PaymentInput) (PaymentResult, error) {
	// Only the processor ends a payment: a workflow that is cancelled from outside would leave money blocked.
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	wake := workflow.GetSignalChannelWithOptions(ctx, WakeName,
		workflow.SignalChannelOptions{Description: "look at the database again"})
	step := activities.PaymentStep{PaymentID: in.PaymentID}
	var shown keyturn.PaymentStatus
	next, err := reviewPayment(ctx, step)
	for err == nil {
		if shown = showPayment(ctx, next, shown); next.Do == keyturn.PaymentDoNothing {
			// Somebody may have woken it since it looked: an e-mail was asked for, or an event has come.
			if !wake.ReceiveAsync(nil) || workflow.GetVersion(ctx, "woken at its end", workflow.DefaultVersion, 1) < 1 {
				break
			}
			next, err = reviewPayment(ctx, step)
			continue
		}
		workflow.SetCurrentDetails(ctx, "**"+string(next.Status)+"**, next: "+string(next.Do)+"\n\nLink: "+in.LinkID)
		var waited bool
		if waited, err = waitForWake(ctx, wake, time.Duration(next.Wait)); err != nil {
			break
		}
		if waited || next.Do == keyturn.PaymentDoWait {
			next, err = reviewPayment(ctx, step)
			continue
		}
		next, err = settlePayment(ctx, next, step)
	}
	return PaymentResult{Status: next.Status}, err
}

// showPayment sets the search attribute of a payment that does not go the usual way, once for each status, and gives
// what is shown.
func showPayment(ctx workflow.Context, next keyturn.PaymentNext, shown keyturn.PaymentStatus) keyturn.PaymentStatus {
	if next.Status == shown || !next.Unusual && shown == "" {
		return shown
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, PaymentStatusKey.ValueSet(string(next.Status))); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes were not set", "error", err)
		return shown
	}
	return next.Status
}

// reviewPayment reads the payment inside the workflow task, or, while the database is slow or down, for as long as it
// takes.
func reviewPayment(ctx workflow.Context, step activities.PaymentStep) (next keyturn.PaymentNext, err error) {
	const summary = "read the payment again"
	if next, ok := settleInTask(ctx, acts.ReviewPayment, summary, step); ok {
		return next, nil
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: reviewOptions.StartToCloseTimeout, RetryPolicy: ownFaults, Summary: summary,
	})
	err = workflow.ExecuteActivity(ctx, acts.ReviewPayment, step).Get(ctx, &next)
	return next, err
}

// waitForWake waits, unless somebody says that the payment has changed: then waited is true at once.
func waitForWake(ctx workflow.Context, wake workflow.ReceiveChannel, d time.Duration) (woken bool, err error) {
	for wake.ReceiveAsync(nil) {
		woken = true
	}
	if woken || d <= 0 {
		return woken, nil
	}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, d, workflow.TimerOptions{Summary: "until the next look"})
	selector := workflow.NewSelector(ctx)
	selector.AddFuture(timer, func(f workflow.Future) { err = f.Get(ctx, nil) })
	selector.AddReceive(wake, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		woken = true
	})
	selector.Select(ctx)
	return woken, err
}

// paymentSteps are the steps that call the processor, or send an e-mail. Each is repeated until somebody knows.
var paymentSteps = map[keyturn.PaymentDo]struct {
	activity func() any
	summary  string
}{
	keyturn.PaymentDoOpen:     {func() any { return acts.OpenSession }, "open the session"},
	keyturn.PaymentDoRetrieve: {func() any { return acts.RetrievePayment }, "ask where the payment stands"},
	keyturn.PaymentDoExpire:   {func() any { return acts.ExpireSession }, "end the session"},
	keyturn.PaymentDoVoid:     {func() any { return acts.VoidPayment }, "let the authorization go"},
	keyturn.PaymentDoRefund:   {func() any { return acts.RefundPayment }, "give the money back"},
	keyturn.PaymentDoMail:     {func() any { return acts.SendPaymentEmail }, "send an e-mail"},
}

func settlePayment(ctx workflow.Context, next keyturn.PaymentNext, step activities.PaymentStep) (keyturn.PaymentNext,
	error,
) {
	does, ok := paymentSteps[next.Do]
	if !ok {
		return reviewPayment(ctx, step)
	}
	if next, ok := settleInTask(ctx, does.activity(), does.summary, step); ok {
		return next, nil
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 45 * time.Second, HeartbeatTimeout: heartbeatTimeout, Summary: does.summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: 15 * time.Minute,
		},
	})
	err := workflow.ExecuteActivity(ctx, does.activity(), step).Get(ctx, &next)
	return next, err
}

// settleInTask tries a step once inside the workflow task, while processor and mail server are fast: that costs the
// history nothing. An error only means that a regular activity goes on, which waits for the lease of this one.
func settleInTask(ctx workflow.Context, activity any, summary string, step activities.PaymentStep) (
	next keyturn.PaymentNext, ok bool,
) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: steps[keyturn.DoDeliver].local, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary: summary,
	})
	return next, workflow.ExecuteLocalActivity(ctx, activity, step).Get(ctx, &next) == nil
}
