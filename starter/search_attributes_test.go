package starter_test

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/durationpb"

	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/workflows"
)

// freshNamespace is one as `temporal operator namespace create` makes it: without search attributes of ours.
func freshNamespace(t *testing.T) (client.Client, string) {
	t.Helper()
	namespace := "fresh-" + strings.ToLower(rand.Text()[:8])
	c, err := client.NewLazyClient(client.Options{HostPort: testkit.Temporal(t), Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := starter.MissingSearchAttributes(t.Context(), c, namespace)
		return err == nil
	}, 30*time.Second, 100*time.Millisecond, "servers learn of a namespace a little later")
	return c, namespace
}

func names() (all []string) {
	for _, key := range workflows.SearchAttributes {
		all = append(all, key.GetName())
	}
	return all
}

func searchAttributes() temporal.SearchAttributes {
	return temporal.NewSearchAttributes(workflows.OrderIDKey.ValueSet("ORD-1"), workflows.NeedsAttentionKey.ValueSet(true))
}

func TestSearchAttributesAreCreatedWhereTheyAreMissing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, namespace := freshNamespace(t)
	missing, err := starter.MissingSearchAttributes(ctx, c, namespace)
	require.NoError(t, err)
	require.Equal(t, names(), missing)
	searchable, err := starter.Unsearchable(ctx, c, namespace)
	require.NoError(t, err)
	require.Equal(t, names(), searchable, "found out by searching, where the list may not be read")

	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		TaskQueue: "nobody", TypedSearchAttributes: searchAttributes(),
	}, "FulfillLineItem")
	require.ErrorContains(t, err, "no mapping defined for search attribute", "without them no workflow starts")

	for range 2 {
		missing, err = starter.EnsureSearchAttributes(ctx, c, namespace)
		require.NoError(t, err)
		require.Empty(t, missing)
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			TaskQueue: "nobody", TypedSearchAttributes: searchAttributes(),
		}, "FulfillLineItem")
		require.NoError(t, err)
		_ = c.TerminateWorkflow(ctx, run.GetID(), "", "the test is over")
	}, time.Minute, 200*time.Millisecond)
	searchable, err = starter.Unsearchable(ctx, c, namespace)
	require.NoError(t, err)
	require.Empty(t, searchable)
}

// An attribute of the same name and another type is not ours: it is named and left alone, and the others are created.
func TestSearchAttributeOfAnotherTypeIsNamed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, namespace := freshNamespace(t)
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: map[string]enums.IndexedValueType{"OrderId": enums.INDEXED_VALUE_TYPE_TEXT},
	})
	require.NoError(t, err)
	missing, err := starter.EnsureSearchAttributes(ctx, c, namespace)
	require.NoError(t, err)
	require.Equal(t, []string{"OrderId (which is there as Text, not as Keyword)"}, missing)
}

// The development server starts with what workflows need.
func TestDevelopmentServerHasTheSearchAttributes(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, names(), slices.Collect(maps.Keys(devstack.SearchAttributes)))
	for _, key := range workflows.SearchAttributes {
		require.Equal(t, key.GetValueType(), devstack.SearchAttributes[key.GetName()], key.GetName())
	}
}
