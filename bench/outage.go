package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// Partner is a stand-in for partners that can be told how to behave.
type Partner interface {
	URL(name string) string
	Drill(ctx context.Context, name, drill string) error
	Stats(ctx context.Context, name string) (emulator.Stats, error)
}

// Outage lets lines wait for one partner that is down while another one sells.
type Outage struct {
	*Bench
	Partner       Partner
	Lines         int
	PerSecond     float64
	MaxConcurrent int
	Fault         string  // the drill that is the outage
	Sales         float64 // orders a second at the other partner, all the time
	Usual         float64 // orders a second at the partner that will be down, before
	Intake        float64 // orders a second at the partner that is down, while it is
	Phase         time.Duration

	mu    sync.Mutex
	phase string
	sales map[string][]sale  // of the other partner, by phase
	busy  map[string]float64 // processors, by phase
	since time.Time          // the phase began, and had used that much
	used  time.Duration
	done  []finished
}

// sale is what one order at the other partner was like.
type sale struct {
	fulfillmentID string
	accept, whole time.Duration
}

type finished struct {
	place int // in the order of the orders
	at    time.Time
}

// The products and partners of the scenario, and its phases.
const (
	downID  = "bench-down"
	otherID = "bench-other"

	settle = 10 * time.Second

	phaseWarmUp    = "warming up"
	phaseAlone     = "alone"
	phaseBefore    = "before, both partners"
	phaseLoading   = "while the orders came in"
	phaseSettling  = "settling"
	phaseWaiting   = "while the lines waited"
	phaseReturning = "while they were served"
	phaseAfter     = "after"
)

// Run runs the scenario and says what it found.
func (o *Outage) Run(ctx context.Context) (*OutageReport, error) {
	o.name, o.sales, o.busy = time.Now().Format("0102150405"), map[string][]sale{}, map[string]float64{}
	if err := o.prepareOutage(ctx); err != nil {
		return nil, err
	}
	sellCtx, stopSelling := context.WithCancel(ctx)
	defer stopSelling()
	var sellers sync.WaitGroup
	sellers.Go(func() { o.sell(sellCtx, &sellers) })

	o.enter(phaseWarmUp)
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	o.enter(phaseAlone)
	if err := pause(ctx, o.Phase); err != nil {
		return nil, err
	}
	if err := o.before(ctx); err != nil {
		return nil, err
	}
	usual, err := o.Partner.Stats(ctx, downID)
	if err != nil {
		return nil, err
	}
	if err := o.Partner.Drill(ctx, downID, o.Fault); err != nil {
		return nil, err
	}
	o.enter(phaseLoading)
	var lines sync.WaitGroup
	if err := o.load(ctx, &lines); err != nil {
		return nil, err
	}
	o.enter(phaseSettling)
	if err := pause(ctx, settle); err != nil { // the sale of so many orders is over, and its load with it
		return nil, err
	}
	o.enter(phaseWaiting)
	if err := pause(ctx, o.Phase); err != nil {
		return nil, err
	}
	if err := o.Partner.Drill(ctx, downID, "ok"); err != nil {
		return nil, err
	}
	returned := time.Now()
	if err := o.firstServed(ctx); err != nil {
		return nil, err
	}
	o.enter(phaseReturning)
	if err := o.drain(ctx, &lines); err != nil {
		return nil, err
	}
	o.enter(phaseAfter)
	stopSelling()
	sellers.Wait()
	stats, err := o.Partner.Stats(ctx, downID)
	if err != nil {
		return nil, err
	}
	stats.Requests -= usual.Requests
	times, err := o.DB.LineTimes(ctx, otherID)
	if err != nil {
		return nil, err
	}
	return o.outageReport(stats, returned, times), nil
}

// before measures what is usual: both partners sell.
func (o *Outage) before(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var usual sync.WaitGroup
	defer usual.Wait()
	defer stop()
	usual.Go(func() {
		each(ctx, o.Usual, func(n int) {
			usual.Go(func() { o.sale(context.WithoutCancel(ctx), "USUAL", downID, n) })
		})
	})
	if err := pause(ctx, settle); err != nil {
		return err
	}
	o.enter(phaseBefore)
	return pause(ctx, o.Phase)
}

// firstServed waits until the partner has been found to be back, for twice as long as probes are apart.
func (o *Outage) firstServed(ctx context.Context) error {
	for since := time.Now(); time.Since(since) < 2*time.Minute; {
		o.mu.Lock()
		n := len(o.done)
		o.mu.Unlock()
		if n > 0 {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("no line is served two minutes after the partner is back")
}

func (o *Outage) enter(phase string) {
	fmt.Fprintln(o.Progress, phase)
	now, used := time.Now(), ownCPU()+cpuOf(o.TemporalPID)+cpuOf(o.PostgresPID)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != "" {
		o.busy[o.phase] = float64(used-o.used) / float64(now.Sub(o.since))
	}
	o.phase, o.since, o.used = phase, now, used
}

func (o *Outage) prepareOutage(ctx context.Context) error {
	for id, limits := range map[string]keyturn.Limits{downID: {
		PerSecond: o.PerSecond, MaxConcurrent: o.MaxConcurrent,
		Timeout: keyturn.Duration(5 * time.Second),
	}, otherID: {}} {
		if _, _, err := o.DB.PutIntegration(ctx,
			keyturn.Integration{ID: id, BaseURL: o.Partner.URL(id), Limits: limits}); err != nil {
			return err
		}
		if _, _, err := o.DB.PutProduct(ctx, keyturn.Product{
			ID: id, Name: "Bench " + id,
			Sources: []keyturn.Source{keyturn.FromIntegration(id)},
		}); err != nil {
			return err
		}
	}
	return nil
}

// sell places orders at the other partner at a steady rate and notes how long each takes.
func (o *Outage) sell(ctx context.Context, orders *sync.WaitGroup) {
	each(ctx, o.Sales, func(n int) {
		orders.Go(func() {
			o.mu.Lock()
			phase := o.phase
			o.mu.Unlock()
			one := o.sale(context.WithoutCancel(ctx), "SALE", otherID, n)
			o.mu.Lock()
			defer o.mu.Unlock()
			o.sales[phase] = append(o.sales[phase], one)
		})
	})
}

// each calls do at a steady rate, with 0, 1, 2…, until ctx ends.
func each(ctx context.Context, perSecond float64, do func(n int)) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(n)
		}
	}
}

// sale places one order. One that fails counts as the slowest.
func (o *Outage) sale(ctx context.Context, name, product string, n int) sale {
	order := o.orderOf(fmt.Sprintf("%s-%s-%d", name, o.name, n), product, 1)
	start := time.Now()
	view, _, err := o.API.CreateOrder(ctx, order.ID, order)
	if err != nil {
		return sale{accept: waitFor, whole: waitFor}
	}
	s := sale{fulfillmentID: view.LineItems[0].FulfillmentID, accept: time.Since(start)}
	if o.waitEnd(ctx, workflows.LineWorkflowID(s.fulfillmentID)) != nil {
		s.whole = waitFor
		return s
	}
	s.whole = time.Since(start)
	return s
}

// load places the orders at the partner that is down, one after the other, so that each is older than the next. At more
// than the usual rate it is a flood that no outage brings: what it does to others is shown and not judged. At more than
// the machine can take, what is left of it spoils the measure while the lines wait.
func (o *Outage) load(ctx context.Context, lines *sync.WaitGroup) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Intake))
	defer tick.Stop()
	for n := range o.Lines {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		order := o.orderOf(fmt.Sprintf("OUTAGE-%s-%d", o.name, n), downID, 1)
		view, _, err := o.API.CreateOrder(ctx, order.ID, order)
		if err != nil {
			return err
		}
		id := workflows.LineWorkflowID(view.LineItems[0].FulfillmentID)
		lines.Go(func() {
			defer o.Ends.forget(id)
			select {
			case <-o.Ends.of(id):
			case <-ctx.Done():
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.done = append(o.done, finished{n, time.Now()})
		})
		if (n+1)%1000 == 0 {
			fmt.Fprintf(o.Progress, "  %d orders accepted\n", n+1)
		}
	}
	for since := time.Now(); time.Since(since) < 30*time.Minute; {
		state, err := o.DB.PartnerState(ctx, downID)
		if err != nil {
			return err
		}
		if state.Waiting >= o.Lines-1 {
			return nil
		}
		fmt.Fprintf(o.Progress, "  %d of %d lines wait\n", state.Waiting, o.Lines)
		if err := pause(ctx, 5*time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("the lines do not wait for the partner after half an hour")
}

// drain waits until every line is delivered, for ten times as long as it may take.
func (o *Outage) drain(ctx context.Context, lines *sync.WaitGroup) error {
	all := make(chan struct{})
	go func() {
		lines.Wait()
		close(all)
	}()
	limit := time.After(10*time.Duration(float64(o.Lines)/o.PerSecond)*time.Second + 5*time.Minute)
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-all:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return nil // the report says how many are missing
		case <-tick.C:
			o.mu.Lock()
			fmt.Fprintf(o.Progress, "  %d of %d delivered\n", len(o.done), o.Lines)
			o.mu.Unlock()
		}
	}
}

// furthest is how many places the line stands behind or before its own that is furthest from it, and how long by the
// clock a line was overtaken at most.
func furthest(done []finished) (places int) {
	slices.SortFunc(done, func(a, b finished) int { return a.at.Compare(b.at) })
	for i, f := range done {
		places = max(places, i-f.place, f.place-i)
	}
	return places
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
