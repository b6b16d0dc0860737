package bench

import (
	"fmt"
	"io"
	"time"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
)

// OutageReport is what the scenario found.
type OutageReport struct {
	Lines          int          `json:"lines"`
	Delivered      int          `json:"delivered"`
	PerSecond      float64      `json:"perSecondAllowed"`
	PeakPerSecond  int          `json:"perSecondPeak"` // within any stretch of a second
	MaxConcurrent  int          `json:"maxConcurrentAllowed"`
	PeakConcurrent int          `json:"maxConcurrentPeak"`
	CallsInOutage  int          `json:"calls"` // of all lines together
	FirstMs        float64      `json:"firstDeliveredAfterMs"`
	DrainSeconds   float64      `json:"drainSeconds"`
	Rate           float64      `json:"deliveredPerSecond"`
	OutOfPlace     int          `json:"furthestOutOfPlace"` // lines
	Horizon        int          `json:"horizon"`            // that many lines are on their way at the same time
	Other          []PhaseSales `json:"otherPartner"`
	Failed         []string     `json:"failed"`
}

// PhaseSales is what the other partner's customers noticed in one phase.
type PhaseSales struct {
	Phase  string  `json:"phase"`
	Orders int     `json:"orders"`
	P50Ms  float64 `json:"p50Ms"`
	P99Ms  float64 `json:"p99Ms"`
	Ratio  float64 `json:"p99Ratio"`   // to before, when both partners sold
	Steps  Steps   `json:"stepsP99Ms"` // where the time goes
	Busy   float64 `json:"processors"` // that this process, Temporal and PostgreSQL used together
}

// Steps are the parts of an order's way, each as the 99th percentile of its own in milliseconds.
type Steps struct {
	Accept float64 `json:"accept"` // POST /v1/orders
	// from the line in the database to the call that is booked: its workflow and its activity begin
	ToCall float64 `json:"untilCalled"`
	Call   float64 `json:"call"` // until the answer is booked
	ToEnd  float64 `json:"untilMailed"`
}

// maxRatio is how much slower other partners may become.
const maxRatio = 1.5

func (o *Outage) outageReport(stats emulator.Stats, returned time.Time, times []db.LineTimes) *OutageReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	byID := map[string]db.LineTimes{}
	for _, t := range times {
		byID[t.FulfillmentID] = t
	}
	r := &OutageReport{
		Lines: o.Lines, Delivered: len(o.done), PerSecond: o.PerSecond, PeakPerSecond: stats.PeakPerSecond,
		MaxConcurrent:  o.MaxConcurrent,
		PeakConcurrent: stats.MaxConcurrent, CallsInOutage: stats.Requests, OutOfPlace: furthest(o.done),
		Horizon: int(o.PerSecond) + o.MaxConcurrent, Failed: []string{},
	}
	if n := len(o.done); n > 0 {
		r.FirstMs, r.DrainSeconds = ms(o.done[0].at.Sub(returned)), o.done[n-1].at.Sub(returned).Seconds()
		r.Rate = float64(n) / r.DrainSeconds
	}
	before := ms(percentile(wholes(o.sales[phaseBefore]), 0.99))
	for _, phase := range []string{phaseAlone, phaseBefore, phaseLoading, phaseWaiting, phaseReturning} {
		sales := o.sales[phase]
		p := PhaseSales{
			Phase: phase, Orders: len(sales), P50Ms: ms(percentile(wholes(sales), 0.5)),
			P99Ms: ms(percentile(wholes(sales), 0.99)),
			Busy:  o.busy[phase], Steps: stepsOf(sales, byID),
		}
		if before > 0 {
			p.Ratio = p.P99Ms / before
		}
		r.Other = append(r.Other, p)
	}
	r.check(r.Delivered == r.Lines, "%d of %d lines were not delivered", r.Lines-r.Delivered, r.Lines)
	r.check(float64(r.PeakPerSecond) <= r.PerSecond, "%d calls arrived within a second, %g are allowed", r.PeakPerSecond,
		r.PerSecond)
	r.check(r.PeakConcurrent <= r.MaxConcurrent, "%d calls were under way at the same time, %d are allowed",
		r.PeakConcurrent, r.MaxConcurrent)
	r.check(r.OutOfPlace <= 2*r.Horizon, "a line finished %d places from its own, and the dispatch horizon is %d lines",
		r.OutOfPlace, r.Horizon)
	for _, p := range r.Other[len(r.Other)-2:] {
		r.check(p.Ratio <= maxRatio, "the other partner's p99 was %.2f times of what it was %s", p.Ratio, p.Phase)
	}
	return r
}

func wholes(sales []sale) []time.Duration {
	out := make([]time.Duration, 0, len(sales))
	for _, s := range sales {
		out = append(out, s.whole)
	}
	return out
}

func stepsOf(sales []sale, times map[string]db.LineTimes) Steps {
	var accept, toCall, call, toEnd []time.Duration
	for _, s := range sales {
		accept = append(accept, s.accept)
		if t, ok := times[s.fulfillmentID]; ok {
			toCall, call, toEnd = append(toCall, t.Called.Sub(t.Accepted)), append(call, t.Answered.Sub(t.Called)),
				append(toEnd, t.Delivered.Sub(t.Answered))
		}
	}
	p99 := func(d []time.Duration) float64 { return ms(percentile(d, 0.99)) }
	return Steps{Accept: p99(accept), ToCall: p99(toCall), Call: p99(call), ToEnd: p99(toEnd)}
}

func (r *OutageReport) check(ok bool, format string, args ...any) {
	if !ok {
		r.Failed = append(r.Failed, fmt.Sprintf(format, args...))
	}
}

// Print writes the report for people.
func (r *OutageReport) Print(w io.Writer) {
	fmt.Fprintf(w, "%d of %d lines delivered, the first %.1f s after the partner was back, the last after %.0f s: %.1f "+
		"a second\n", r.Delivered, r.Lines, r.FirstMs/1000, r.DrainSeconds, r.Rate)
	fmt.Fprintf(w, "calls: %d in all; at most %d within any second (%g allowed), %d at the same time (%d allowed)\n",
		r.CallsInOutage, r.PeakPerSecond, r.PerSecond, r.PeakConcurrent, r.MaxConcurrent)
	fmt.Fprintf(w, "order: the line furthest from its place was %d places away; %d are on their way at the same time\n\n",
		r.OutOfPlace, r.Horizon)
	fmt.Fprintf(w, "%-28s %8s %10s %10s %8s %12s   %s\n", "the other partner", "orders", "p50 ms", "p99 ms", "ratio",
		"processors", "p99 ms of: accept, until called, call, until mailed")
	for _, p := range r.Other {
		fmt.Fprintf(w, "%-28s %8d %10.0f %10.0f %8.2f %12.2f   %.0f, %.0f, %.0f, %.0f\n", p.Phase, p.Orders, p.P50Ms, p.P99Ms,
			p.Ratio, p.Busy,
			p.Steps.Accept, p.Steps.ToCall, p.Steps.Call, p.Steps.ToEnd)
	}
	if len(r.Failed) == 0 {
		fmt.Fprintln(w, "\nas it should be")
	}
}
