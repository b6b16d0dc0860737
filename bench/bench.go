// Package bench measures what an order costs, as a ratio to what the engine costs by itself, in the same run.
package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	temporalclient "go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
)

// Bench is a benchmark on a Temporal, a PostgreSQL and an API with its worker that run already. The worker runs in this
// process with Ends as an interceptor and the floors registered.
type Bench struct {
	DB          *db.DB
	Temporal    temporalclient.Client
	API         *client.Client // accepts orders whose workflows start in the ordinary way
	EagerAPI    *client.Client // the same with eager starts; nil: not measured
	Links       *Links         // what checkout links sell by; nil: not measured
	TaskQueue   string
	TemporalPID int // 0: not on this machine
	PostgresPID int
	Ends        *Ends
	Rounds      int
	Orders      int // per shape and round
	AtOnce      int
	Settle      time.Duration
	Only        string // measure only shapes whose name contains this, and the floors
	Progress    io.Writer

	serial  int
	name    string
	opened  chan Sale
	unended chan string // workflows of payments
}

// Shape names, in the order of the report.
const (
	shapeEmpty    = "empty workflow"
	shapeActivity = "workflow with one activity"
	shapePool     = "order, one pool line"
	shapeEndpoint = "order, one endpoint line"
	shapeTen      = "order, ten pool lines"
	shapePoolE    = "order, one pool line, eager"
	shapeEndpE    = "order, one endpoint line, eager"
	shapeLink     = "link, one pool line"
	shapeLinkEv   = "link, one pool line, by events"
)

type shape struct {
	name  string
	lines int // per unit
	floor string
	do    one
	ready func(ctx context.Context, count int) error // before it is measured; nil: nothing
}

func (b *Bench) shapes() []shape {
	all := []shape{
		{name: shapeEmpty, lines: 1, floor: shapeEmpty, do: b.bare("benchEmpty")},
		{name: shapeActivity, lines: 1, floor: shapeActivity, do: b.bare("benchOneActivity")},
		{name: shapePool, lines: 1, floor: shapeEmpty, do: b.order(b.API, poolProduct, 1)},
		{name: shapeEndpoint, lines: 1, floor: shapeActivity, do: b.order(b.API, endpointProduct, 1)},
		{name: shapeTen, lines: 10, floor: shapeEmpty, do: b.order(b.API, poolProduct, 10)},
	}
	if b.EagerAPI != nil {
		all = append(all, shape{name: shapePoolE, lines: 1, floor: shapeEmpty, do: b.order(b.EagerAPI, poolProduct, 1)},
			shape{name: shapeEndpE, lines: 1, floor: shapeActivity, do: b.order(b.EagerAPI, endpointProduct, 1)})
	}
	if b.Links != nil { // a paid line is what they are compared with
		all = append(all, shape{name: shapeLink, lines: 1, floor: shapePool, do: b.sale(false), ready: b.open(false)},
			shape{name: shapeLinkEv, lines: 1, floor: shapePool, do: b.sale(true), ready: b.open(true)})
	}
	floors := []string{shapeEmpty, shapeActivity, shapePool}
	return slices.DeleteFunc(all, func(s shape) bool {
		return !slices.Contains(floors, s.name) && !strings.Contains(s.name, b.Only)
	})
}

// Run measures every shape in interleaved rounds, after one that warms everything up and is not counted.
func (b *Bench) Run(ctx context.Context) (*Report, error) {
	b.name = time.Now().Format("0102150405")
	shapes := b.shapes()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	samples := map[string][]sample{}
	for round := 0; round <= b.Rounds; round++ {
		for _, s := range shapes {
			count := max(b.Orders/s.lines, 1)
			if round == 0 {
				count = max(count/4, 1)
			}
			fmt.Fprintf(b.Progress, "round %d of %d: %s, %d times\n", round, b.Rounds, s.name, count)
			if s.ready != nil {
				if err := s.ready(ctx, count); err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
			}
			got, err := b.measure(ctx, count, s.lines, s.do)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if err := b.endPayments(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				samples[s.name] = append(samples[s.name], got)
			}
		}
	}
	r := b.report(shapes, samples)
	for i, s := range shapes {
		if err := b.history(ctx, s, &r.Shapes[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}
