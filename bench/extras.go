package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// Extras are the figures that are no shape.
type Extras struct {
	AcceptMs        float64 `json:"acceptP50Ms"` // POST /v1/orders, one at a time
	LinkMs          float64 `json:"linkP50Ms"`   // POST /v1/checkout-links, one at a time
	PageMs          float64 `json:"pageP50Ms"`   // GET /c/…
	BigLines        int     `json:"bigOrderLines"`
	BigAcceptMs     float64 `json:"bigOrderAcceptMs"`
	BigFinishedMs   float64 `json:"bigOrderFinishedMs"`
	Retries         int     `json:"retries"`
	EventsAtFirst   int     `json:"eventsAfterFirstFailure"`
	EventsAtLast    int     `json:"eventsAfterRetries"`
	RetriesInSecond float64 `json:"retriesPerSecond"`
}

// FailingProduct is a product whose partner always fails.
const FailingProduct = "bench-failing"

// Accept measures how long accepting an order takes when nothing else goes on.
func (b *Bench) Accept(ctx context.Context, e *Extras) error {
	fmt.Fprintln(b.Progress, "accepting orders one at a time")
	var times []time.Duration
	for range 60 {
		b.serial++
		accept, _, err := b.order(b.API, poolProduct, 1)(ctx, b.serial)
		if err != nil {
			return err
		}
		times = append(times, accept)
		time.Sleep(20 * time.Millisecond)
	}
	e.AcceptMs = ms(percentile(times, 0.5))
	return nil
}

// Big measures one order of many lines.
func (b *Bench) Big(ctx context.Context, lines int, e *Extras) error {
	fmt.Fprintf(b.Progress, "one order of %d lines\n", lines)
	b.serial++
	o := b.orderOf(fmt.Sprintf("BENCH-%s-%d", b.name, b.serial), poolProduct, lines)
	start := time.Now()
	if _, _, err := b.API.CreateOrder(ctx, o.ID, o); err != nil {
		return err
	}
	e.BigLines, e.BigAcceptMs = lines, ms(time.Since(start))
	for time.Since(start) < 10*time.Minute {
		view, err := b.DB.OrderStatus(ctx, o.ID)
		if err != nil {
			return err
		}
		if view == keyturn.OrderCompleted {
			e.BigFinishedMs = ms(time.Since(start))
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("an order of %d lines has not finished after ten minutes", lines)
}

// Retries lets a line fail many times and counts its history.
func (b *Bench) Retries(ctx context.Context, times int, e *Extras) error {
	fmt.Fprintf(b.Progress, "a line that fails %d times\n", times)
	if _, _, err := b.DB.PutProduct(ctx, keyturn.Product{
		ID: FailingProduct, Name: "Bench failing", PublisherProductID: "drill:always-500",
		Sources: []keyturn.Source{keyturn.FromIntegration(PartnerID)},
		Retry: keyturn.RetryPolicy{
			InitialInterval: keyturn.Duration(100e6), BackoffCoefficient: 1,
			MaximumInterval: keyturn.Duration(100e6), GiveUpAfter: keyturn.Duration(3600e9),
		},
	}); err != nil {
		return err
	}
	b.serial++
	o := b.orderOf(fmt.Sprintf("BENCH-%s-%d", b.name, b.serial), FailingProduct, 1)
	view, _, err := b.API.CreateOrder(ctx, o.ID, o)
	if err != nil {
		return err
	}
	id := view.LineItems[0].FulfillmentID
	start, told := time.Now(), 0
	for {
		line, err := b.DB.Fulfillment(ctx, id)
		if err != nil {
			return err
		}
		if line.Attempts >= 3 && e.EventsAtFirst == 0 {
			if e.EventsAtFirst, err = b.events(ctx, workflows.LineWorkflowID(id)); err != nil {
				return err
			}
		}
		if line.Attempts/100 > told {
			told = line.Attempts / 100
			n, err := b.events(ctx, workflows.LineWorkflowID(id))
			if err != nil {
				return err
			}
			fmt.Fprintf(b.Progress, "failed %d times: %d history events\n", line.Attempts, n)
		}
		if line.Attempts >= times {
			e.Retries, e.RetriesInSecond = line.Attempts, float64(line.Attempts)/time.Since(start).Seconds()
			e.EventsAtLast, err = b.events(ctx, workflows.LineWorkflowID(id))
			return err
		}
		if time.Since(start) > time.Duration(times)*3*time.Second { // Temporal makes at least a second of every delay
			return fmt.Errorf("the line has failed only %d times after %s", line.Attempts, time.Since(start))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (b *Bench) events(ctx context.Context, id string) (int, error) {
	d, err := b.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return 0, err
	}
	return int(d.GetWorkflowExecutionInfo().GetHistoryLength()), nil
}

// Print writes the figures that were measured.
func (e *Extras) Print(w io.Writer) {
	if e.AcceptMs > 0 {
		fmt.Fprintf(w, "POST /v1/orders, one at a time: median %.1f ms\n", e.AcceptMs)
	}
	if e.LinkMs > 0 {
		fmt.Fprintf(w, "POST /v1/checkout-links, one at a time: median %.1f ms; the page of a link: %.1f ms\n", e.LinkMs,
			e.PageMs)
	}
	if e.BigLines > 0 {
		fmt.Fprintf(w, "one order of %d lines: accepted in %.0f ms, finished after %.1f s (%.0f lines/s)\n", e.BigLines,
			e.BigAcceptMs, e.BigFinishedMs/1000, float64(e.BigLines)/(e.BigFinishedMs/1000))
	}
	if e.Retries > 0 {
		fmt.Fprintf(w, "a line that failed %d times: %d history events after the first failures, %d at the end\n", e.Retries,
			e.EventsAtFirst, e.EventsAtLast)
	}
}
