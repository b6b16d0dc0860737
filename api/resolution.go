package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// resolveTimeout is how long a person waits for the workflow to take a decision.
const resolveTimeout = 10 * time.Second

func (a *API) resolve(ctx context.Context, c *call, in *idInput) (*lineOutput, error) {
	var body keyturn.ResolutionRequest
	if _, err := decodeBody(c, maxOrderBody, false, &body); err != nil {
		return nil, err
	}
	if body.ID == "" {
		body.ID = uuid.Must(uuid.NewV7()).String()
	}
	r := keyturn.Resolution{ID: body.ID, Action: body.Action, Until: body.Until, Reason: body.Reason, By: c.by()}
	if err := checkResolution(body, r); err != nil {
		return nil, err
	}
	line, err := a.DB.Fulfillment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	known, now, err := a.DB.Resolved(ctx, line.FulfillmentID, r.ID)
	if err != nil {
		return nil, err
	}
	if known { // the answer to the first request was lost
		return &lineOutput{Body: line}, nil
	}
	if err := r.CheckUntil(now); err != nil {
		return nil, err
	}
	if !r.Action.Allows(line.Status) {
		return nil, keyturn.Errorf(keyturn.KindConflict, "a line in status %s does not allow %s", line.Status, r.Action)
	}
	if r.Action == keyturn.ActionSupply { // the keys go to the database, so that the decision travels without them
		if err := a.DB.StageSupply(ctx, line.FulfillmentID, r.ID, body.Keys); err != nil {
			return nil, err
		}
	}
	if err := a.decide(ctx, line.FulfillmentID, r); err != nil {
		// An earlier request with this ID may have come through in the meantime: then it is decided all the same.
		if known, _, knownErr := a.DB.Resolved(ctx, line.FulfillmentID, r.ID); knownErr != nil || !known {
			return nil, a.refused(ctx, line.FulfillmentID, r, err)
		}
	}
	line, err = a.DB.Fulfillment(ctx, line.FulfillmentID)
	return &lineOutput{Body: line}, err
}

// refused removes the keys of a supply that was refused for good, and returns why it was.
func (a *API) refused(ctx context.Context, fulfillmentID string, r keyturn.Resolution, err error) error {
	if r.Action != keyturn.ActionSupply || keyturn.KindOf(err) == keyturn.KindUnavailable {
		return err
	}
	if dropErr := a.DB.DropSupply(context.WithoutCancel(ctx), fulfillmentID, r.ID); dropErr != nil {
		return dropErr
	}
	return err
}

func checkResolution(body keyturn.ResolutionRequest, r keyturn.Resolution) error {
	var bad keyturn.Problems
	bad.Merge("", r.Check())
	bad.Check(len(body.Keys) > 0 || r.Action != keyturn.ActionSupply, "keys",
		"is required for supply: give one key per unit")
	bad.Check(len(body.Keys) == 0 || r.Action == keyturn.ActionSupply, "keys", "is allowed for supply only")
	return bad.Err("the resolution is not valid")
}

// decide has the line's workflow carry out the decision and waits until it has. If the line has none, because somebody
// terminated it or Temporal lost it, one is started. Each attempt is an Update of its own, because Temporal would
// answer a repeated one that failed with its failure for ever; the database knows decisions by their ID.
func (a *API) decide(ctx context.Context, fulfillmentID string, r keyturn.Resolution) error {
	if a.Temporal == nil {
		return keyturn.Errorf(keyturn.KindUnavailable,
			"this process is not connected to Temporal, so the decision was not applied")
	}
	updateCtx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for started := false; ; {
		err := a.update(updateCtx, fulfillmentID, r)
		if err == nil {
			return nil
		}
		if _, gone := errors.AsType[*serviceerror.NotFound](err); !gone {
			return decisionError(err, r.ID)
		}
		start, err := a.DB.StartOfOpen(updateCtx, fulfillmentID)
		if err != nil {
			return err
		}
		if !started {
			a.Starter.Enqueue([]db.Start{start})
			started = true
		}
		select {
		case <-updateCtx.Done():
			return keyturn.Errorf(keyturn.KindUnavailable,
				"the line's workflow is not running, so the decision was not applied: retry in a few seconds")
		case <-time.After(resolvePause):
		}
	}
}

// resolvePause is between two looks for a workflow that was just started.
const resolvePause = 100 * time.Millisecond

func (a *API) update(ctx context.Context, fulfillmentID string, r keyturn.Resolution) error {
	handle, err := a.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.LineWorkflowID(fulfillmentID), UpdateName: workflows.ResolveName, Args: []any{r},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	var next keyturn.Next
	return handle.Get(ctx, &next)
}

// decisionError turns what came back instead of an answer into an error for the person who decided.
func decisionError(err error, id string) error {
	if refused, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		switch kind := keyturn.Kind(refused.Type()); kind {
		case keyturn.KindInvalid, keyturn.KindNotFound, keyturn.KindConflict:
			return keyturn.Errorf(kind, "%s", refused.Message())
		default: // the database or the worker's code failed; the log says how
			return keyturn.Errorf(keyturn.KindUnavailable,
				"the decision could not be applied: retry with the id %s, and it is applied once: %w", id, err)
		}
	}
	return keyturn.Errorf(keyturn.KindUnavailable,
		"Temporal or its worker timed out, so it is unknown whether the decision was applied: retry with the id %s, and it "+
			"is applied once: %w", id, err)
}
