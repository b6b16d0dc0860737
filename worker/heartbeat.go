package worker

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// beatEvery is how often a running activity tells Temporal that its process lives. One that ends sooner says nothing,
// so that the usual activity costs nothing more. It is well below the heartbeat time-out of package workflows.
const beatEvery = 3 * time.Second

// heartbeats lets Temporal find out within seconds that the process of an activity died or froze, or that the answer of
// an activity was lost, instead of after the time that the activity may take.
type heartbeats struct {
	interceptor.WorkerInterceptorBase
}

func (*heartbeats) InterceptActivity(_ context.Context,
	next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	h := &heartbeat{}
	h.Next = next
	return h
}

type heartbeat struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity runs the activity to its own end or deadline. A heartbeat may bring the news that the workflow goes
// another way, that another attempt was started, or that Temporal does not answer. None of it ends a call or an e-mail
// under way, because its outcome would be unknown then; the database keeps two attempts apart.
func (h *heartbeat) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity || info.HeartbeatTimeout == 0 {
		return h.Next.ExecuteActivity(ctx, in)
	}
	run, cancel := context.WithDeadline(context.WithoutCancel(ctx), info.Deadline)
	defer cancel()
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return h.Next.ExecuteActivity(run, in)
}
