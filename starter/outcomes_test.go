package starter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/starter"
)

// A workflow of before the restore may have its answer already, from a world that the database does not know: started
// anew it would be found running, and then end as if all were done.
func TestWhatRunsForOrdersIsStoppedAfterARestore(t *testing.T) {
	t.Parallel()
	c, err := client.Dial(client.Options{HostPort: testkit.Temporal(t)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	const queue = "nobody-works-here"
	status := func(id string) enums.WorkflowExecutionStatus {
		d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		return d.GetWorkflowExecutionInfo().GetStatus()
	}
	ours := []string{"FulfillLineItem", "CancelLineItem", "CancelAtPartner", "SendFollowUpEmail"}
	for _, kind := range append(ours, "AuditBooks") {
		_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: queue + kind, TaskQueue: queue}, kind)
		require.NoError(t, err)
	}
	n := 0
	require.Eventually(t, func() bool { // the list of what runs may be behind
		stopped, err := starter.StopWorkflows(t.Context(), c, queue)
		n += stopped
		return err == nil && n == len(ours)
	}, time.Minute, 50*time.Millisecond)
	for _, kind := range ours {
		require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, status(queue+kind), kind)
	}
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, status(queue+"AuditBooks"))
	require.NoError(t, c.TerminateWorkflow(t.Context(), queue+"AuditBooks", "", "the test is over"))
}
