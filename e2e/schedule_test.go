package e2e_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	temporalclient "go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

// operator gives a client of an API of the stack's own, with every scope.
func (s *stack) operator() *client.Client {
	api := api.New(api.Config{
		Payments: []string{"sandbox"},
		DB:       s.db, Temporal: s.temporal, Starter: s.starter, TaskQueue: s.queue, DevToken: "operator",
		RenderKeys: s.acts.Letters.Render, Logger: s.logger,
	})
	server := httptest.NewServer(api.Handler())
	s.t.Cleanup(server.Close)
	return &client.Client{BaseURL: server.URL, Token: "operator"}
}

// scheduled makes the schedule of audits, and takes it away with the test.
func (s *stack) scheduled() temporalclient.ScheduleHandle {
	s.t.Helper()
	ctx := context.Background()
	require.NoError(s.t, worker.ScheduleAudits(ctx, s.temporal, s.queue))
	handle := s.temporal.ScheduleClient().GetHandle(ctx, workflows.AuditScheduleID(s.queue))
	s.t.Cleanup(func() { require.NoError(s.t, handle.Delete(ctx)) })
	return handle
}

func (s *stack) auditNow(api *client.Client) keyturn.AuditDetail {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	found, err := api.AuditNow(ctx)
	require.NoError(s.t, err)
	return found
}

func TestTheScheduleAuditsRepairsAndReports(t *testing.T) {
	s := start(t, options{})
	schedule := s.scheduled()
	api := s.operator()
	s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, "KEY-01")
	s.product(keyturn.Product{ID: "rare", Sources: sources(fromPool("rare-keys")), Retry: every(time.Hour, 48*time.Hour)})
	s.await(s.order("editor"), keyturn.OrderCompleted)
	waiting := s.order("rare")
	line := waiting.Starts[0].FulfillmentID
	s.awaitLine(line, keyturn.LineWaitingForStock)

	found := s.auditNow(api)
	require.True(t, found.OK, found.Violated)
	require.True(t, found.Report.Result("A5").Checked, "the schedule looks at Temporal")
	require.Empty(t, found.Repaired)
	alerts := `SELECT cause || ' ' || CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed' END FROM alerts WHERE cause = 'Audit' ORDER BY id`
	require.Empty(t, s.texts(alerts))
	d, err := schedule.Describe(context.Background())
	require.NoError(t, err)
	s.record(d.Info.RecentActions[0].StartWorkflowResult.WorkflowID, "audit-books")

	require.NoError(t, s.temporal.TerminateWorkflow(context.Background(), workflows.LineWorkflowID(line), "", "a test"))
	s.eventually(func() (bool, string) { // Temporal's list is a moment behind
		found = s.auditNow(api)
		return !found.OK, "the books balance"
	})
	require.Equal(t, []string{"A5"}, found.Violated)
	require.Len(t, found.Repaired, 1)
	require.True(t, strings.HasPrefix(found.Repaired[0], "line "), found.Repaired[0])
	require.Equal(t, []string{"Audit open"}, s.texts(alerts))
	s.eventually(func() (bool, string) { // operations were told, and the line has a workflow again
		d, err := s.temporal.DescribeWorkflowExecution(context.Background(), workflows.LineWorkflowID(line), "")
		require.NoError(t, err)
		told := s.count(`SELECT count(*) FROM alerts WHERE cause = 'Audit' AND mailed_at IS NOT NULL`)
		return told == 1 && d.GetWorkflowExecutionInfo().GetStatus().String() == "Running",
			d.GetWorkflowExecutionInfo().GetStatus().String()
	})
	var told strings.Builder
	for _, l := range s.letters("ops@keyturn.test") {
		told.WriteString(l.Text)
	}
	require.Contains(t, told.String(), "the books do not balance: A5")

	s.eventually(func() (bool, string) {
		found = s.auditNow(api)
		return found.OK, strings.Join(found.Violated, " ")
	})
	require.Equal(t, []string{"Audit closed"}, s.texts(alerts), "a clean run closes it")
	require.Equal(t, 1, s.load("rare-keys", "RARE-1"), "the line still waits, and is served")
	s.await(waiting, keyturn.OrderCompleted)

	all, err := api.Audits(context.Background(), 100)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), 3)
	require.Equal(t, found.ID, all[0].ID, "the newest first")
	_, err = api.Audit(context.Background(), "0198c0de-0000-7000-8000-000000000000")
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
}

func TestTheScheduleIsMadeOnceAndStaysPaused(t *testing.T) {
	s := start(t, options{noWorker: true})
	_, err := s.operator().AuditNow(context.Background())
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "no worker was ever there")
	require.ErrorContains(t, err, "start a worker")
	ctx := context.Background()
	handle := s.scheduled()
	require.NoError(t, handle.Pause(ctx, temporalclient.SchedulePauseOptions{Note: "a test"}))
	require.NoError(t, worker.ScheduleAudits(ctx, s.temporal, s.queue), "every worker that starts does this")
	d, err := handle.Describe(ctx)
	require.NoError(t, err)
	require.True(t, d.Schedule.State.Paused)
	require.Len(t, d.Info.NextActionTimes, 10)
	next := d.Info.NextActionTimes[0].UTC()
	require.Less(t, time.Until(next), 25*time.Hour)
	require.Contains(t, []int{3}, next.Hour(), "at night, with half an hour of jitter")
}
