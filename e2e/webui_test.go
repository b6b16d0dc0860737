package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// found waits until the visibility store finds exactly the workflows of these fulfillments.
func (s *stack) found(query string, want ...string) {
	s.t.Helper()
	var ids []string
	for _, f := range want {
		ids = append(ids, workflows.LineWorkflowID(f))
	}
	s.foundWorkflows(query, ids...)
}

func (s *stack) foundWorkflows(query string, want ...string) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		r, err := s.temporal.ListWorkflow(context.Background(),
			&workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("TaskQueue = '%s' AND %s", s.queue, query)})
		require.NoError(s.t, err)
		ids := map[string]bool{}
		for _, e := range r.Executions {
			ids[e.Execution.WorkflowId] = true
		}
		ok := len(ids) == len(want)
		for _, id := range want {
			ok = ok && ids[id]
		}
		return ok, fmt.Sprintf("%s finds %v", query, ids)
	})
}

// story is the workflow's current details, as the Web UI shows them.
func (s *stack) story(f string) string {
	s.t.Helper()
	v, err := s.temporal.QueryWorkflow(context.Background(), workflows.LineWorkflowID(f), "",
		"__temporal_workflow_metadata")
	require.NoError(s.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(s.t, v.Get(&metadata))
	return metadata.CurrentDetails
}

// Somebody who has only the Web UI sees which order, which product, which partner, what was tried, what went wrong and
// what happens next.
func TestWebUITellsTheStoryOfALineInTrouble(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "error-code:SOLD_OUT")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: every(5*time.Second, time.Hour)})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand)})
	a := s.order("cad", "game", "antique")
	f := fulfillment(a)
	s.awaitLine(fulfillment(a, 1), keyturn.LineDelivered)
	s.eventually(func() (bool, string) { return len(s.calls("acme", "create")) >= 3, "not tried often enough" })

	s.found(fmt.Sprintf("OrderId = '%s'", a.Order.ID), fulfillment(a), fulfillment(a, 1), fulfillment(a, 2))
	s.found("NeedsAttention = true AND LineStatus = 'RETRYING' AND Source = 'endpoint/acme' AND ProductId = 'cad'", f)
	s.found("NeedsAttention = true", f, fulfillment(a, 2))

	story := s.story(f)
	for _, part := range []string{
		"RETRYING", a.Order.ID, "cad", "endpoint/acme", "Rejected", "error code",
		"delivered by then, or refunded", "resolve",
	} {
		require.Contains(t, story, part)
	}
	d, err := s.temporal.DescribeWorkflowExecution(context.Background(), workflows.LineWorkflowID(f), "")
	require.NoError(t, err)
	require.Len(t, d.PendingActivities, 1)
	require.Equal(t, "CallEndpoint", d.PendingActivities[0].ActivityType.Name)
	require.GreaterOrEqual(t, d.PendingActivities[0].Attempt, int32(2))
	for _, part := range []string{"endpoint/acme", "try", "the next follows in", "deadline"} {
		require.Contains(t, d.PendingActivities[0].LastFailure.Message, part)
	}
	require.Contains(t, text(t, d.ExecutionConfig.UserMetadata.Summary), a.Order.ID)
	summaries := ""
	for _, e := range s.history(workflows.LineWorkflowID(f)).Events {
		if e.UserMetadata != nil {
			summaries += text(t, e.UserMetadata.Summary) + "\n"
		}
	}
	require.Contains(t, summaries, "call endpoint/acme")
	require.Contains(t, summaries, "until the next attempt")
	require.Contains(t, s.story(fulfillment(a, 2)), "wait for a person")

	s.drill("acme", "ok")
	s.awaitLine(f, keyturn.LineDelivered)
	s.found("NeedsAttention = true", fulfillment(a, 2))
	s.found("LineStatus = 'DELIVERED'", f)
	require.Contains(t, s.story(f), "DELIVERED")
}

// The Source that operators filter by follows the line to its next source.
func TestSourceAttributeFollowsTheLine(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "permanent-code")
	s.integration(keyturn.Integration{
		ID:              "acme",
		PermanentErrors: keyturn.PermanentErrors{ErrorCodes: []string{"PRODUCT_UNKNOWN"}},
	})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"), fromPool("spare")), Retry: patient})
	a := s.order("cad")
	s.awaitLine(fulfillment(a), keyturn.LineWaitingForStock)
	s.found("Source = 'pool/spare' AND LineStatus = 'WAITING_FOR_STOCK'", fulfillment(a))
	s.found("Source = 'endpoint/acme'")
}

func text(t *testing.T, payload any) string {
	t.Helper()
	p, ok := payload.(interface{ GetData() []byte })
	require.True(t, ok)
	return string(p.GetData())
}
