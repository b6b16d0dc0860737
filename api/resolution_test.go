package api_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/workflows"
)

// standIn takes decisions as a line's workflow does, and nothing else.
func standIn(b *bench) func(workflow.Context) error {
	decide := func(ctx context.Context, id string, r keyturn.Resolution) (keyturn.Next, error) {
		next, err := b.db.Resolve(ctx, id, r)
		if err != nil {
			err = temporal.NewNonRetryableApplicationError(err.Error(), string(keyturn.KindOf(err)), nil)
		}
		return next, err
	}
	return func(ctx workflow.Context) error {
		id := workflow.GetInfo(ctx).WorkflowExecution.ID[len("fulfillment-"):]
		err := workflow.SetUpdateHandler(ctx, workflows.ResolveName,
			func(ctx workflow.Context, r keyturn.Resolution) (next keyturn.Next, err error) {
				ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second})
				err = workflow.ExecuteLocalActivity(ctx, decide, id, r).Get(ctx, &next)
				return next, err
			})
		if err != nil {
			return err
		}
		workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
		return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	}
}

func TestDecisionsGoThroughTheLinesWorkflow(t *testing.T) {
	t.Parallel()
	temporalClient, err := client.Dial(client.Options{HostPort: testkit.Temporal(t)})
	require.NoError(t, err)
	t.Cleanup(temporalClient.Close)
	b := newBench(t, func(c *api.Config) { c.Temporal = temporalClient })
	b.must(t, "PUT", "/v1/products/by-hand", `{"name": "By hand", "sources": [{"type": "manual"}]}`)
	queue := "starter-test-" + uuid.NewString()
	w := worker.New(temporalClient, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(standIn(b), workflow.RegisterOptions{Name: "StandIn"})
	require.NoError(t, w.Start())
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			w.Stop()
		}
	})
	start := func(id string) {
		_, err := temporalClient.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID:        workflows.LineWorkflowID(id),
			TaskQueue: queue,
		}, "StandIn")
		require.NoError(t, err)
	}
	decide := func(name, id, body string, status int, contains ...string) scenario {
		return scenario{
			name, "POST", "/v1/fulfillments/" + id + "/resolution", nil, body, status, contains,
			[]string{"KEY-A"},
		}
	}
	ops := b.token(t, "olivia", api.ScopeOps)

	id, unstarted, refunded := b.order(t, "ORD-1", "by-hand"), b.order(t, "ORD-2", "by-hand"),
		b.order(t, "ORD-3", "by-hand")
	start(id)
	start(refunded)
	b.play(t, []scenario{
		decide("hold", id, `{"id": "d-1", "action": "hold", "reason": "the publisher is closed"}`, 200, `"status":"HELD"`,
			`"reason":"the publisher is closed"`),
		decide("hold again with the same id", id, `{"id": "d-1", "action": "hold", "reason": "the publisher is closed"}`, 200,
			`"status":"HELD"`),
		decide("hold what is held", id, `{"id": "d-2", "action": "hold"}`, 409, "HELD"),
		{
			"release", "POST", "/v1/fulfillments/" + id + "/resolution",
			[]string{"Authorization", ops},
			`{"action": "release"}`,
			200,
			[]string{`"status":"RETRYING"`, `"by":"olivia"`},
			nil,
		},
		decide("extend", id, `{"action": "extend", "until": "`+time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339)+`"}`,
			200, `"giveUpAt"`),
		decide("supply", id, `{"action": "supply", "keys": ["KEY-A", "KEY-B"], "reason": "from the publisher's e-mail"}`, 200,
			`"status":"RETRYING"`),
		decide("refund", refunded, `{"action": "refund"}`, 200, `"status":"CANCELING"`,
			`"refund":{"status":"PENDING","amount":"29.99"`),
	})
	found, err := b.client().Deliverables(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []string{"KEY-A", "KEY-B"}, found.ActivationCodes)
	line, err := b.client().Fulfillment(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, line.Resolutions, 4, "the repeated one is one")

	stopped = true
	w.Stop()
	var waits sync.WaitGroup // each for as long as the API waits for a worker
	defer waits.Wait()
	waits.Go(func() {
		b.play(t, []scenario{
			decide("no workflow yet", unstarted, `{"action": "refund"}`, 503, "retry in a few seconds"),
		})
	})
	_, err = b.client().Resolve(t.Context(), id, keyturn.ResolutionRequest{ID: "d-9", Action: keyturn.ActionHold})
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "no worker")
	require.ErrorContains(t, err, "d-9")
}
