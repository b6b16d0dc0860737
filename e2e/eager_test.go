package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// A pool line that goes well is one workflow task, whoever starts it.
func TestPoolLineIsOneWorkflowTask(t *testing.T) {
	t.Parallel()
	for name, eager := range map[string]bool{"eager": true, "ordinary": false} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{eager: eager})
			s.pooled(every(time.Second, 10*time.Minute))
			a := s.order("game")
			s.await(a, keyturn.OrderCompleted)
			s.atRest(a)
			id := workflows.LineWorkflowID(fulfillment(a))
			require.LessOrEqual(t, len(s.history(id).Events), 8)
			require.Equal(t, 1, s.eventsOf(id, enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED))
			require.Zero(t, s.eventsOf(id, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
			require.Equal(t, eager,
				s.history(id).Events[0].GetWorkflowExecutionStartedEventAttributes().GetEagerExecutionAccepted())
			if !eager {
				s.record(id, "pool-ok")
			}
		})
	}
}
