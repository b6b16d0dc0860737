package worker

import (
	"context"
	"math/rand/v2"
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

// sourceLimits bounds how many calls of one source are under way in this process, or wait for their turn in it. What a
// partner takes at once is decided in the database; this is for what that allows, and for lines that come all at once.
type sourceLimits struct {
	interceptor.WorkerInterceptorBase
	most    int // of one source
	limiter activities.SourceLimiter
}

func newSourceLimits(slots int) *sourceLimits { return &sourceLimits{most: max(slots/sourceShare, 1)} }

// InterceptActivity is part of the SDK's interface.
func (l *sourceLimits) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &limited{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, limits: l}
}

type limited struct {
	interceptor.ActivityInboundInterceptorBase
	limits *sourceLimits
}

// ExecuteActivity runs the activity if its source has a slot left. If not, nothing has happened: the server repeats it,
// without history.
func (a *limited) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	source := sourceOf(activity.GetInfo(ctx).ActivityType.Name, in.Args)
	if source == "" {
		return a.Next.ExecuteActivity(ctx, in)
	}
	release, ok := a.limits.limiter.TryAcquire(source, a.limits.most)
	if !ok {
		delay := crowded + rand.N(crowded) //nolint:gosec // nobody gains by guessing it
		return nil, temporal.NewApplicationErrorWithOptions("this worker is full of lines of "+source,
			string(keyturn.KindRateLimited),
			temporal.ApplicationErrorOptions{NextRetryDelay: delay, Category: temporal.ApplicationErrorCategoryBenign})
	}
	defer release()
	return a.Next.ExecuteActivity(ctx, in)
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
