package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	batchInput struct {
		ID      string `path:"id" maxLength:"200"`
		BatchID string `path:"batchId" maxLength:"200"`
	}
	batchOutput        struct{ Body keyturn.BatchDetail }
	keyOutput          struct{ Body keyturn.KeyView }
	replacementsOutput struct{ Body keyturn.Replacements }
)

func (a *API) batchRoutes() {
	const tag = "Pools"
	batch := func(id, method, path, summary, description string, body any, scopes ...string) operation {
		return operation{of: ofPool, body: body, Operation: huma.Operation{
			OperationID: id, Method: method, Path: "/v1/pools/{id}" + path, Tags: []string{tag}, Summary: summary,
			Description: description, Security: anyOf(scopes...),
		}}
	}
	register(a, batch("getBatch", http.MethodGet, "/batches/{batchId}", "Show an import and the progress of its recall",
		"", nil, ScopeKeysWrite, ScopeOps),
		func(ctx context.Context, _ *call, in *batchInput) (*batchOutput, error) {
			return a.batch(ctx, in)
		})
	register(a, batch("undoBatch", http.MethodDelete, "/batches/{batchId}", "Undo an import",
		"409 once any of its keys has been sold or quarantined. The same file can be imported again.", nil, ScopeKeysWrite),
		func(ctx context.Context, c *call, in *batchInput) (*batchOutput, error) {
			c.readUntil(time.Time{}) // it withdraws a million keys in one transaction, or none
			c.writeUntil(time.Time{})
			err := a.DB.Stock().UndoBatch(ctx, in.ID, in.BatchID, c.by())
			c.writeUntil(time.Now().Add(writeTimeout))
			if err != nil {
				return nil, err
			}
			return a.batch(ctx, in)
		})
	register(a, batch("recallBatch", http.MethodPost, "/batches/{batchId}/recall", "Recall an import",
		"Quarantines unsold keys and lists sold ones. A large batch continues in the background after the response: see "+
			"`complete` and `percent`, and poll with GET. With `replace`, customers receive other keys of the pool by e-mail, "+
			"as stock allows. Idempotent.",
		keyturn.RecallRequest{}, ScopeOps), a.recall)
	register(a, batch("showKey", http.MethodPost, "/keys/lookup", "Show the history of a key",
		"Who imported it, who has it, and every state change with its author and reason. The response does not repeat the key.",
		keyturn.KeyRequest{}, ScopeOps), func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
		return a.oneKey(ctx, c, in, func(keyturn.KeyRequest) error { return nil })
	})
	register(a, batch("quarantineKey", http.MethodPost, "/keys/quarantine", "Quarantine an unsold key",
		"Permanent. 409 if the key has been sold: replace it instead.", keyturn.KeyRequest{}, ScopeOps),
		func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
			return a.oneKey(ctx, c, in, func(k keyturn.KeyRequest) error {
				return a.DB.Stock().QuarantineKey(ctx, in.ID, k.Key, k.Reason, c.by())
			})
		})
	register(a, batch("replaceKey", http.MethodPost, "/keys/replacement", "Replace a sold key",
		"For a leaked key. The customer receives the new key by e-mail.", keyturn.KeyRequest{}, ScopeOps),
		func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
			return a.oneKey(ctx, c, in, func(k keyturn.KeyRequest) error {
				_, err := a.DB.OweReplacementOf(ctx, in.ID, k.Key, k.Reason, c.by())
				return err
			})
		})
	register(a, operation{of: ofFulfillment, body: keyturn.ReplacementRequest{}, Operation: huma.Operation{
		OperationID: "replaceKeys", Method: http.MethodPost, Path: "/v1/fulfillments/{id}/replacement",
		Tags: []string{"Fulfillments"}, DefaultStatus: http.StatusAccepted,
		Summary: "Replace the keys of a line",
		Description: "The old keys are recalled, and the customer receives the new ones by e-mail. If the pool is empty, " +
			"the replacement waits for stock.", Security: anyOf(ScopeOps),
	}}, a.replaceKeys)
}

func (a *API) batch(ctx context.Context, in *batchInput) (*batchOutput, error) {
	v, err := a.DB.Stock().Batch(ctx, in.ID, in.BatchID)
	return &batchOutput{Body: v}, err
}

func (a *API) recall(ctx context.Context, c *call, in *batchInput) (*batchOutput, error) {
	var body keyturn.RecallRequest
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	if err := checkReason(body.Reason); err != nil {
		return nil, err
	}
	if err := a.DB.Stock().Recall(ctx, in.ID, in.BatchID, body.Reason, body.Replace, c.by()); err != nil {
		return nil, err
	}
	return a.batch(ctx, in)
}

// checkReason requires one: what is done to keys is for ever.
func checkReason(reason string) error {
	var bad keyturn.Problems
	bad.Check(keyturn.CleanText(reason, 1, 500), "reason", "must be 1 to 500 printable characters")
	return bad.Err("the request is not valid")
}

// oneKey does something with a key that the body names, and shows its life.
func (a *API) oneKey(ctx context.Context, c *call, in *idInput, do func(keyturn.KeyRequest) error) (*keyOutput, error) {
	var body keyturn.KeyRequest
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	var bad keyturn.Problems
	key, err := keyturn.CleanKey(body.Key)
	if err != nil {
		bad.Addf("key", "%s", err.Error())
	}
	bad.Check(err != nil || key != "", "key", "must be one key of the pool")
	bad.Check(keyturn.CleanText(body.Reason, 0, 500), "reason", "must be at most 500 printable characters")
	if err := bad.Err("the request is not valid"); err != nil {
		return nil, err
	}
	body.Key = key
	if err := do(body); err != nil {
		return nil, err
	}
	v, err := a.DB.Stock().Key(ctx, in.ID, body.Key)
	return &keyOutput{Body: v}, err
}

func (a *API) replaceKeys(ctx context.Context, c *call, in *idInput) (*replacementsOutput, error) {
	var body keyturn.ReplacementRequest
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	if err := checkReason(body.Reason); err != nil {
		return nil, err
	}
	line, err := a.DB.Fulfillment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.DB.OweReplacements(ctx, line.FulfillmentID, body.Units, body.Reason, c.by()); err != nil {
		return nil, err
	}
	all, err := a.DB.Replacements(ctx, line.FulfillmentID)
	return &replacementsOutput{Body: keyturn.Replacements{Replacements: all}}, err
}
