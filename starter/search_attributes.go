package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/workflows"
)

// EnsureSearchAttributes creates the search attributes that the namespace lacks: without them Temporal refuses to start
// any workflow. It returns those that are still missing, in the order of workflows.SearchAttributes: one whose name is
// taken by another type, or all that this process is not permitted to create, as on Temporal Cloud. It does nothing
// where nothing is missing, and any number of processes may call it at once.
func EnsureSearchAttributes(ctx context.Context, c client.Client, namespace string) (missing []string, err error) {
	missing, err = MissingSearchAttributes(ctx, c, namespace)
	if err != nil || len(missing) == 0 {
		return missing, err
	}
	for _, key := range workflows.SearchAttributes {
		// One by one: a server refuses all of a request for the sake of one.
		_, addErr := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace:        namespace,
			SearchAttributes: map[string]enums.IndexedValueType{key.GetName(): key.GetValueType()},
		})
		_, there := errors.AsType[*serviceerror.AlreadyExists](addErr)
		if addErr != nil && !there && !mayNot(addErr) {
			err = errors.Join(err, fmt.Errorf("create the search attribute %s: %w", key.GetName(), addErr))
		}
	}
	missing, missingErr := MissingSearchAttributes(ctx, c, namespace)
	if missingErr != nil || len(missing) == 0 {
		return missing, missingErr
	}
	return missing, err
}

// MissingSearchAttributes names the search attributes that the namespace lacks, in the order of
// workflows.SearchAttributes, with the type of one that is there as another.
func MissingSearchAttributes(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if mayNot(err) {
		return unsearchable(ctx, c, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("list the search attributes of the namespace %s: %w", namespace, err)
	}
	var missing []string
	for _, key := range workflows.SearchAttributes {
		switch kind, there := have.GetCustomAttributes()[key.GetName()]; {
		case !there:
			missing = append(missing, key.GetName())
		case kind != key.GetValueType():
			missing = append(missing, fmt.Sprintf("%s (which is there as %s, not as %s)", key.GetName(), kind,
				key.GetValueType()))
		}
	}
	return missing, nil
}

// unsearchable finds out the same where lists of search attributes are not for applications to read, as on Temporal
// Cloud: a search by one that is missing is refused.
func unsearchable(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	var missing []string
	for _, key := range workflows.SearchAttributes {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: namespace, Query: key.GetName() + " IS NULL AND WorkflowId = '-'",
		})
		if _, refused := errors.AsType[*serviceerror.InvalidArgument](err); refused {
			missing = append(missing, key.GetName())
		} else if err != nil {
			return nil, fmt.Errorf("search the namespace %s by %s: %w", namespace, key.GetName(), err)
		}
	}
	return missing, nil
}

// mayNot says that the server does not let this process do what it asked for, and will not later.
func mayNot(err error) bool {
	_, denied := errors.AsType[*serviceerror.PermissionDenied](err)
	_, unknown := errors.AsType[*serviceerror.Unimplemented](err)
	return denied || unknown
}

// HowToCreate says by which command a person creates the search attributes that EnsureSearchAttributes could not.
func HowToCreate(namespace string) string {
	var b strings.Builder
	b.WriteString("temporal operator search-attribute create --namespace " + namespace)
	for _, key := range workflows.SearchAttributes {
		b.WriteString(" --name " + key.GetName() + " --type " + key.GetValueType().String())
	}
	return b.String()
}
