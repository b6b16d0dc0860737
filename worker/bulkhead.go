package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// defaultSlots is how many activities a worker runs at the same time. They wait for others nearly all of their time.
const defaultSlots = 1000

// sourceShare is the part of a worker's slots that one source's lines have at most: a partner that takes many calls and
// answers none in time leaves the others to everybody else.
const sourceShare = 4

// A line that finds no slot comes again after this time, or up to twice as long.
const crowded = 5 * time.Second

// bulkhead bounds how many calls of one source are under way in this process, or wait for their turn in it. What a
// partner takes at once is decided in the database; this is for what that allows, and for lines that come all at once.
type bulkhead struct {
	interceptor.WorkerInterceptorBase
	most int

	mu   sync.Mutex
	busy map[string]int // by source
}

func newBulkhead(slots int) *bulkhead {
	return &bulkhead{most: max(slots/sourceShare, 1), busy: map[string]int{}}
}

// InterceptActivity is part of the SDK's interface.
func (b *bulkhead) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &compartment{
		ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next},
		bulkhead:                       b,
	}
}

type compartment struct {
	interceptor.ActivityInboundInterceptorBase
	bulkhead *bulkhead
}

// ExecuteActivity runs the activity if its source has a slot left. If not, nothing has happened: the server repeats it,
// without history.
func (c *compartment) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	source := sourceOf(activity.GetInfo(ctx).ActivityType.Name, in.Args)
	if source == "" {
		return c.Next.ExecuteActivity(ctx, in)
	}
	if !c.bulkhead.enter(source) {
		delay := crowded + rand.N(crowded) //nolint:gosec // nobody gains by guessing it
		return nil, temporal.NewApplicationErrorWithOptions("this worker is full of lines of "+source,
			string(keyturn.KindRateLimited),
			temporal.ApplicationErrorOptions{NextRetryDelay: delay, Category: temporal.ApplicationErrorCategoryBenign})
	}
	defer c.bulkhead.leave(source)
	return c.Next.ExecuteActivity(ctx, in)
}

// sourceOf is the source that an activity calls; "" if it calls none.
func sourceOf(activityType string, args []any) string {
	if len(args) == 0 {
		return ""
	}
	switch in := args[0].(type) {
	case activities.Step:
		if activityType == callEndpoint {
			return in.Source
		}
	case activities.Revocation:
		return in.Source
	}
	return ""
}

func (b *bulkhead) enter(source string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[source] >= b.most {
		return false
	}
	b.busy[source]++
	return true
}

func (b *bulkhead) leave(source string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[source]--; b.busy[source] == 0 {
		delete(b.busy, source)
	}
}
