package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// acts names the activities' methods; it is never called.
var acts *activities.Activities

// FulfillLineItem obtains what a line item needs and delivers it, or gives the money back. It ends when the line is
// DELIVERED or CANCELED. A pool line that goes well is one workflow task with two local activities, ClaimKeys and
// SendEmail, and CapturePayment between them if a checkout link sold it.
func FulfillLineItem(ctx workflow.Context, in LineInput) (Result, error) { return runLine(ctx, in) }

// CancelLineItem takes back a line that was delivered: the keys are revoked already, the money follows.
func CancelLineItem(ctx workflow.Context, in LineInput) (Result, error) { return runLine(ctx, in) }

// fulfillment is a line on its way.
type fulfillment struct {
	in         LineInput
	next       keyturn.Next       // what the database said last
	asOf       time.Time          // when it said so, by Temporal's clock
	interrupts workflow.Channel   // what the database said because a person or the relay asked
	shown      bool               // search attributes were set: something went wrong
	shownAs    keyturn.LineStatus // the status they show
	shownFrom  string             // the source they show
	announced  string             // the source by hand that operations were told of
	ignored    int                // signals that made no sense
}

func runLine(ctx workflow.Context, in LineInput) (Result, error) {
	f := &fulfillment{in: in, next: in.Next, asOf: workflow.Now(ctx), interrupts: workflow.NewBufferedChannel(ctx, 100)}
	// A cancellation from outside would leave a line with neither key nor money: only the database ends a line. Who wants
	// it ended decides `refund`.
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	if err := f.listen(ctx); err != nil {
		return Result{}, err
	}
	for f.next.Do != keyturn.DoNothing {
		f.show(ctx)
		next, err := f.step(ctx)
		if err != nil {
			return Result{}, err
		}
		f.next, f.asOf = next, workflow.Now(ctx)
	}
	f.show(ctx)
	return Result{Status: f.next.Status}, f.end(ctx)
}

// step does what is next, until it is done or something more urgent came.
func (f *fulfillment) step(ctx workflow.Context) (keyturn.Next, error) {
	if f.fast() {
		if next, ok := f.stepLocal(ctx); ok {
			return next, nil
		}
	}
	if f.next.Do == keyturn.DoAwait && f.next.Status != keyturn.LineHeld && f.announced != f.next.Source {
		f.announced = f.next.Source // operations hear at once that keys are to be supplied
		return f.review(ctx)
	}
	if next, interrupted, err := f.wait(ctx, time.Duration(f.next.Wait)); interrupted || err != nil {
		return next, err
	}
	if f.next.Do == keyturn.DoAwait || f.next.Do == keyturn.DoQueue { // what ends its waiting wakes the line
		return f.review(ctx)
	}
	return f.stepRegular(ctx)
}

// fast says that nothing has gone wrong, so that the first attempt of a database step or an e-mail may run inside the
// workflow task.
func (f *fulfillment) fast() bool {
	fresh := f.next.Status == keyturn.LinePending || f.next.Status == keyturn.LineObtained
	return fresh && steps[f.next.Do].local > 0 && f.next.Wait == 0
}

// stepLocal tries a step once as a local activity. An error (a database that is down, a mail server that takes its
// time) only means that the step goes on as a regular activity.
func (f *fulfillment) stepLocal(ctx workflow.Context) (next keyturn.Next, ok bool) {
	run := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, f.localOptions()), f.activity(),
		f.input(false))
	return next, run.Get(ctx, &next) == nil
}

// stepRegular runs a step as a regular activity. A first call of a partner comes back at its first failure, so that the
// search attributes can tell; from then on the server repeats the activity with the delay that each failure names, and
// the history does not grow.
func (f *fulfillment) stepRegular(ctx workflow.Context) (keyturn.Next, error) {
	retry := f.next.Status != keyturn.LinePending && f.next.Status != keyturn.LineObtained
	stepCtx, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, f.options()))
	defer cancel()
	run := workflow.ExecuteActivity(stepCtx, f.activity(), f.input(retry))
	next, interrupted, err := f.await(ctx, run)
	if err != nil && !interrupted {
		return f.next, err
	}
	return next, nil
}

// wait sleeps until the next attempt is due, or something more urgent comes.
func (f *fulfillment) wait(ctx workflow.Context, d time.Duration) (keyturn.Next, bool, error) {
	if d <= 0 { // what is due is not waited for, and a timer of no time gives a value of its own
		return f.next, false, nil
	}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, d, workflow.TimerOptions{Summary: f.waitSummary()})
	return f.await(ctx, timer)
}

// await waits for a future or for an interrupt that changes what is to be done.
func (f *fulfillment) await(ctx workflow.Context, run workflow.Future) (next keyturn.Next, interrupted bool,
	err error,
) {
	done := false
	for !done && !interrupted {
		selector := workflow.NewSelector(ctx)
		selector.AddFuture(run, func(r workflow.Future) {
			done = true
			err = r.Get(ctx, &next)
		})
		selector.AddReceive(f.interrupts, func(c workflow.ReceiveChannel, _ bool) {
			var n interrupt
			c.Receive(ctx, &n)
			if n.next.Version < f.next.Version {
				return // it was overtaken on its way
			}
			if n.decided || n.next.Do != f.next.Do || n.next.Source != f.next.Source || n.next.Status != f.next.Status ||
				atOnce(ctx, n.next) {
				interrupted, next = true, n.next
			}
		})
		selector.Select(ctx)
	}
	return next, interrupted, err
}

// atOnce says that somebody wants the step now, whatever the server waits for: a line in trouble is to be tried, or the
// provider tells of a refund that was under way.
func atOnce(ctx workflow.Context, next keyturn.Next) bool {
	switch {
	case next.Wait > 0:
		return false
	case next.Do == keyturn.DoRefund:
		return workflow.GetVersion(ctx, "refund told of", workflow.DefaultVersion, 1) >= 1
	}
	return next.Status.InTrouble()
}

// review asks the database after a wait for a person, or when the relay says so.
func (f *fulfillment) review(ctx workflow.Context) (next keyturn.Next, err error) {
	ctx = workflow.WithActivityOptions(ctx, reviewOptions)
	err = workflow.ExecuteActivity(ctx, acts.ReviewLine, activities.Step{FulfillmentID: f.in.FulfillmentID}).Get(ctx,
		&next)
	return next, err
}
