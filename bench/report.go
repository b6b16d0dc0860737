package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.temporal.io/api/enums/v1"

	"keyturn.dev/keyturn/workflows"
)

// Report is what a run found. Times are milliseconds; medians over the rounds.
type Report struct {
	Rounds int           `json:"rounds"`
	Orders int           `json:"ordersPerRound"`
	AtOnce int           `json:"atOnce"`
	Shapes []ShapeReport `json:"shapes"`
}

// ShapeReport is one shape's figures, per line item.
type ShapeReport struct {
	Name           string  `json:"name"`
	LinesPerSecond float64 `json:"linesPerSecond"`
	AcceptP50      float64 `json:"acceptP50Ms"` // POST /v1/orders, or the start of a bare workflow
	P50            float64 `json:"p50Ms"`       // from accept to delivered
	P99            float64 `json:"p99Ms"`
	CPU            float64 `json:"cpuMs"`
	AppCPU         float64 `json:"appCpuMs"`
	TemporalCPU    float64 `json:"temporalCpuMs"`
	PostgresCPU    float64 `json:"postgresCpuMs"`
	Transactions   float64 `json:"transactions"`
	RoundTrips     float64 `json:"databaseRoundTrips"` // with those of the relay and the housekeeping meanwhile
	Events         int     `json:"historyEvents"`
	Actions        int     `json:"billableActions"`
	Floor          string  `json:"floor"`
	CPURatio       float64 `json:"cpuToFloor"` // median of the rounds' ratios
	RateRatio      float64 `json:"rateToFloor"`
}

func (b *Bench) report(shapes []shape, samples map[string][]sample) *Report {
	r := &Report{Rounds: b.Rounds, Orders: b.Orders, AtOnce: b.AtOnce}
	for _, s := range shapes {
		var out ShapeReport
		out.Name, out.Floor = s.name, s.floor
		own, floor := samples[s.name], samples[s.floor]
		pick := func(of func(sample) float64) float64 {
			var values []float64
			for _, x := range own {
				values = append(values, of(x))
			}
			return median(values)
		}
		out.LinesPerSecond = pick(sample.rate)
		out.CPU = pick(func(x sample) float64 { return perLine(x, x.cpu()) })
		out.AppCPU = pick(func(x sample) float64 { return perLine(x, x.app) })
		out.TemporalCPU = pick(func(x sample) float64 { return perLine(x, x.temporal) })
		out.PostgresCPU = pick(func(x sample) float64 { return perLine(x, x.postgres) })
		out.Transactions = pick(func(x sample) float64 { return float64(x.txs) / float64(x.lines) })
		out.RoundTrips = pick(func(x sample) float64 { return float64(x.trips) / float64(x.lines) })
		var all, accepts []time.Duration
		var cpu, rate []float64
		for i, x := range own {
			all, accepts = append(all, x.latencies...), append(accepts, x.accepts...)
			cpu = append(cpu, perLine(x, x.cpu())/perLine(floor[i], floor[i].cpu()))
			rate = append(rate, x.rate()/floor[i].rate())
		}
		out.P50, out.P99, out.AcceptP50 = ms(percentile(all, 0.5)), ms(percentile(all, 0.99)), ms(percentile(accepts, 0.5))
		out.CPURatio, out.RateRatio = median(cpu), median(rate)
		r.Shapes = append(r.Shapes, out)
	}
	return r
}

func (s sample) rate() float64 { return float64(s.lines) / s.wall.Seconds() }

func perLine(s sample, d time.Duration) float64 { return ms(d) / float64(s.lines) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// history counts the events and billable actions of one unit of the shape.
func (b *Bench) history(ctx context.Context, s shape, out *ShapeReport) error {
	ids, err := b.one(ctx, s)
	for _, id := range ids {
		if err == nil {
			err = b.addHistory(ctx, id, out)
		}
	}
	return err
}

func (b *Bench) addHistory(ctx context.Context, id string, out *ShapeReport) error {
	events := b.Temporal.GetWorkflowHistory(ctx, id, "", true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	markers := false
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		out.Events++
		switch e.GetEventType() {
		case enums.EVENT_TYPE_MARKER_RECORDED:
			markers = true // all local activities of a workflow task are one action
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			if markers {
				out.Actions++
			}
			markers = false
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
			enums.EVENT_TYPE_TIMER_STARTED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
			out.Actions++
		}
	}
	if markers {
		out.Actions++
	}
	return nil
}

// one runs the shape once more and gives the IDs of its workflows, of several lines those of one.
func (b *Bench) one(ctx context.Context, s shape) ([]string, error) {
	b.serial++
	if s.ready != nil {
		if err := s.ready(ctx, 1); err != nil {
			return nil, err
		}
		ids, err := b.sell(ctx, s.name == shapeLinkEv)
		if err == nil {
			err = b.endPayments(ctx)
		}
		return ids, err
	}
	if s.name == shapeEmpty || s.name == shapeActivity {
		name := map[string]string{shapeEmpty: "benchEmpty", shapeActivity: "benchOneActivity"}[s.name]
		_, _, err := b.bare(name)(ctx, b.serial)
		return []string{fmt.Sprintf("%s-%s-%d", name, b.name, b.serial)}, err
	}
	api, product := b.API, poolProduct
	if s.name == shapePoolE || s.name == shapeEndpE {
		api = b.EagerAPI
	}
	if s.name == shapeEndpoint || s.name == shapeEndpE {
		product = endpointProduct
	}
	o := b.orderOf(fmt.Sprintf("BENCH-%s-%d", b.name, b.serial), product, s.lines)
	view, _, err := api.CreateOrder(ctx, o.ID, o)
	if err != nil {
		return nil, err
	}
	id := workflows.LineWorkflowID(view.LineItems[0].FulfillmentID)
	return []string{id}, b.waitEnd(ctx, id)
}

// Print writes the report as a table.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%d rounds, interleaved; %d lines of each shape a round, %d orders at a time; medians. CPU in "+
		"milliseconds per line item.\n\n", r.Rounds, r.Orders, r.AtOnce)
	fmt.Fprintf(w, "%-32s %8s %8s %8s %8s  %7s = %6s + %8s + %8s  %6s %6s %6s %7s  %s\n", "", "lines/s", "accept",
		"p50 ms", "p99 ms", "CPU ms", "app", "Temporal", "Postgres", "tx", "trips", "events", "actions", "to its floor")
	for _, s := range r.Shapes {
		ratio := ""
		if s.Floor != s.Name {
			ratio = fmt.Sprintf("%.2f × CPU, %.2f × rate of the %s", s.CPURatio, s.RateRatio, s.Floor)
		}
		fmt.Fprintf(w, "%-32s %8.1f %8.1f %8.1f %8.1f  %7.2f = %6.2f + %8.2f + %8.2f  %6.1f %6.1f %6d %7d  %s\n", s.Name,
			s.LinesPerSecond, s.AcceptP50, s.P50, s.P99,
			s.CPU, s.AppCPU, s.TemporalCPU, s.PostgresCPU, s.Transactions, s.RoundTrips, s.Events, s.Actions, ratio)
	}
}
