package workflows

import (
	"bytes"
	"encoding/json"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// interrupt is what the database said because somebody asked. decided: a person decided something, which ends whatever
// the workflow waits for.
type interrupt struct {
	next    keyturn.Next
	decided bool
}

// listen takes questions, decisions and wake-ups from the moment the line is known.
func (f *fulfillment) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, StateName, func() (State, error) {
		return State{Next: f.next, AsOf: f.asOf, IgnoredSignals: f.ignored}, nil
	}, workflow.QueryHandlerOptions{Description: "where the line stands and what happens next"}); err != nil {
		return err
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, ResolveName, f.update, workflow.UpdateHandlerOptions{
		Validator:   func(_ workflow.Context, d decision) error { return f.validate(keyturn.Resolution(d)) },
		Description: "a person's decision: retry, supply, refund, hold, release or extend",
	}); err != nil {
		return err
	}
	workflow.GoNamed(ctx, "signals", f.signals)
	return nil
}

// validate refuses a decision that makes no sense before anything of it is written down. Whether its time has passed is
// for the database to say, whose clock decides.
func (f *fulfillment) validate(r keyturn.Resolution) error {
	if err := r.Check(); err != nil {
		return refuse(err)
	}
	if !r.Action.Allows(f.next.Status) {
		return refuse(keyturn.Errorf(keyturn.KindConflict, "a line that is %s does not take %s", f.next.Status, r.Action))
	}
	return nil
}

func refuse(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), string(keyturn.KindOf(err)), nil)
}

// decision is a keyturn.Resolution that is read strictly: an unknown field may be a misspelt one, or keys, which must
// not enter a history. An Update whose payload cannot be read is refused before anything of it is written down.
type decision keyturn.Resolution

// UnmarshalJSON reads one resolution without unknown fields.
func (d *decision) UnmarshalJSON(data []byte) error {
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if in.Decode((*keyturn.Resolution)(d)) != nil {
		return keyturn.Errorf(keyturn.KindInvalid, "the payload is no resolution")
	}
	return nil
}

func (f *fulfillment) update(ctx workflow.Context, d decision) (keyturn.Next, error) {
	return f.resolve(ctx, keyturn.Resolution(d))
}

// resolve carries out a decision and answers what is next.
func (f *fulfillment) resolve(ctx workflow.Context, r keyturn.Resolution) (keyturn.Next, error) {
	var next keyturn.Next
	ctx = workflow.WithLocalActivityOptions(ctx, decideOptions)
	err := workflow.ExecuteLocalActivity(ctx, acts.RecordDecision,
		activities.Decision{FulfillmentID: f.in.FulfillmentID, Resolution: r}).Get(ctx, &next)
	if err != nil {
		return next, err
	}
	f.interrupts.SendAsync(interrupt{next: next, decided: true})
	return next, nil
}

// signals takes decisions and wake-ups that nobody waits for. What makes no sense is counted and changes nothing.
func (f *fulfillment) signals(ctx workflow.Context) {
	resolve := workflow.GetSignalChannelWithOptions(ctx, ResolveName,
		workflow.SignalChannelOptions{Description: "a person's decision, as JSON: {\"action\": \"retry\", \"reason\": " +
			"\"…\"}"})
	wake := workflow.GetSignalChannelWithOptions(ctx, WakeName,
		workflow.SignalChannelOptions{Description: "look at the database again"})
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(resolve, func(c workflow.ReceiveChannel, _ bool) { f.receiveDecision(ctx, c) })
	selector.AddReceive(wake, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		if next, err := f.review(ctx); err == nil {
			f.interrupts.SendAsync(interrupt{next: next})
		}
	})
	for {
		selector.Select(ctx)
	}
}

func (f *fulfillment) receiveDecision(ctx workflow.Context, c workflow.ReceiveChannel) {
	var raw converter.RawValue
	c.Receive(ctx, &raw)
	r, err := decodeResolution(raw)
	if err == nil {
		err = f.validate(r)
	}
	if err == nil {
		_, err = f.resolve(ctx, r)
	}
	if err != nil {
		f.ignore(ctx, err)
	}
}

// decodeResolution reads a signal's payload. What the CLI sends is JSON, whatever its encoding says.
func decodeResolution(raw converter.RawValue) (keyturn.Resolution, error) {
	var d decision
	if err := d.UnmarshalJSON(raw.Payload().GetData()); err != nil {
		return keyturn.Resolution{}, err
	}
	if d.By == "" {
		d.By = "signal"
	}
	return keyturn.Resolution(d), nil
}

func (f *fulfillment) ignore(ctx workflow.Context, why error) {
	f.ignored++
	workflow.GetMetricsHandler(ctx).Counter("keyturn_signals_ignored").Inc(1)
	workflow.GetLogger(ctx).Warn("a signal was ignored", "fulfillmentId", f.in.FulfillmentID, "kind",
		string(keyturn.KindOf(why)))
}

// end lets running decisions finish and counts the signals that came too late.
func (f *fulfillment) end(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	late := workflow.GetSignalChannel(ctx, ResolveName)
	var raw converter.RawValue
	for late.ReceiveAsync(&raw) {
		f.ignore(ctx, keyturn.Errorf(keyturn.KindConflict, "the line is decided"))
	}
	return nil
}
