package bench

import (
	"context"
	"fmt"
	"time"

	temporalclient "go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/workflows"
)

const (
	poolProduct     = "bench-pool"
	endpointProduct = "bench-endpoint"
	poolName        = "bench-keys"
)

// waitFor bounds the wait for one order, so that a fault ends the run instead of hanging it.
const waitFor = time.Minute

// bare starts a workflow that is no order and waits for its end.
func (b *Bench) bare(workflow string) one {
	return func(ctx context.Context, n int) (time.Duration, time.Duration, error) {
		id := fmt.Sprintf("%s-%s-%d", workflow, b.name, n)
		start := time.Now()
		_, err := b.Temporal.ExecuteWorkflow(ctx, temporalclient.StartWorkflowOptions{ID: id, TaskQueue: b.TaskQueue},
			workflow)
		if err != nil {
			return 0, 0, err
		}
		accept := time.Since(start)
		err = b.waitEnd(ctx, id)
		return accept, time.Since(start), err
	}
}

func (b *Bench) waitEnd(ctx context.Context, id string) error {
	defer b.Ends.forget(id)
	select {
	case <-b.Ends.of(id):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(waitFor):
		return fmt.Errorf("workflow %s has not ended after %s", id, waitFor)
	}
}

// order posts an order and waits until every line's workflow has ended.
func (b *Bench) order(api *client.Client, product string, lines int) one {
	return func(ctx context.Context, n int) (time.Duration, time.Duration, error) {
		o := b.orderOf(fmt.Sprintf("BENCH-%s-%d", b.name, n), product, lines)
		start := time.Now()
		view, _, err := api.CreateOrder(ctx, o.ID, o)
		if err != nil {
			return 0, 0, err
		}
		accept := time.Since(start)
		for _, l := range view.LineItems {
			if err := b.waitEnd(ctx, workflows.LineWorkflowID(l.FulfillmentID)); err != nil {
				return accept, 0, err
			}
		}
		return accept, time.Since(start), nil
	}
}

func (b *Bench) orderOf(id, product string, lines int) keyturn.Order {
	o := keyturn.Order{
		ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_" + id},
		Customer: keyturn.Customer{
			ID: "user-" + id, Email: "buyer@bench.test", Country: "FR", Locale: "en-GB",
			FirstName: "Jean", LastName: "Dupont", City: "Paris", ZipCode: "75001",
		},
	}
	for range lines {
		o.LineItems = append(o.LineItems, keyturn.LineItem{ProductID: product, Quantity: 1, GrossPrice: "29.99"})
	}
	return o
}

// keysNeeded is how many pool keys the whole run takes.
func (b *Bench) keysNeeded() int {
	n := 0
	for _, s := range b.shapes() {
		n += (b.Orders + s.lines) * (b.Rounds + 1)
	}
	return n + 20_000
}
