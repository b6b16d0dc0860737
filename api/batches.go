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
		return operation{body: body, Operation: huma.Operation{
			OperationID: id, Method: method, Path: "/v1/pools/{id}" + path, Tags: []string{tag}, Summary: summary, Description: description, Security: anyOf(scopes...),
		}}
	}
	register(a, batch("getBatch", http.MethodGet, "/batches/{batchId}", "Show an import and how far its recall is", "", nil, ScopeKeysWrite, ScopeOps),
		func(ctx context.Context, _ *call, in *batchInput) (*batchOutput, error) {
			return a.batch(ctx, in)
		})
	register(a, batch("undoBatch", http.MethodDelete, "/batches/{batchId}", "Undo an import",
		"Only while none of its keys was sold or put aside (409). The same file can be imported again.", nil, ScopeKeysWrite),
		func(ctx context.Context, c *call, in *batchInput) (*batchOutput, error) {
			c.readUntil(time.Time{}) // it withdraws a million keys in one transaction, or none
			c.writeUntil(time.Time{})
			err := a.DB.UndoBatch(ctx, in.ID, in.BatchID, c.by())
			c.writeUntil(time.Now().Add(writeTimeout))
			if err != nil {
				return nil, err
			}
			return a.batch(ctx, in)
		})
	register(a, batch("recallBatch", http.MethodPost, "/batches/{batchId}/recall", "Recall an import",
		"Unsold keys go into quarantine, sold ones are listed; of a batch of millions the answer comes before all are (complete, percent), and the rest follows. With replace, their customers get other keys of the pool by e-mail, as far as there are any; the rest waits for stock. Ask GET for the progress. Repeating it is no mistake.",
		keyturn.RecallRequest{}, ScopeOps), a.recall)
	register(a, batch("showKey", http.MethodPost, "/keys/lookup", "Tell the life of one key", "Who imported it, who has it, and every step with who made it and why. The answer does not repeat the key.",
		keyturn.KeyRequest{}, ScopeOps), func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
		return a.oneKey(ctx, c, in, func(keyturn.KeyRequest) error { return nil })
	})
	register(a, batch("quarantineKey", http.MethodPost, "/keys/quarantine", "Put an unsold key aside for ever", "409 when it was sold: replace it then.", keyturn.KeyRequest{}, ScopeOps),
		func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
			return a.oneKey(ctx, c, in, func(k keyturn.KeyRequest) error { return a.DB.QuarantineKey(ctx, in.ID, k.Key, k.Reason, c.by()) })
		})
	register(a, batch("replaceKey", http.MethodPost, "/keys/replacement", "Give whoever has this key another one", "For a key that leaked. The customer gets the new key by e-mail.", keyturn.KeyRequest{}, ScopeOps),
		func(ctx context.Context, c *call, in *idInput) (*keyOutput, error) {
			return a.oneKey(ctx, c, in, func(k keyturn.KeyRequest) error {
				_, err := a.DB.OweReplacementOf(ctx, in.ID, k.Key, k.Reason, c.by())
				return err
			})
		})
	register(a, operation{body: keyturn.ReplacementRequest{}, Operation: huma.Operation{
		OperationID: "replaceKeys", Method: http.MethodPost, Path: "/v1/fulfillments/{id}/replacement", Tags: []string{"Fulfillments"}, DefaultStatus: http.StatusAccepted,
		Summary: "Give a line other keys for leaked ones", Description: "The customer gets the new keys by e-mail; the old ones are recalled. Where the pool has none, it waits for stock.", Security: anyOf(ScopeOps),
	}}, a.replaceKeys)
}

func (a *API) batch(ctx context.Context, in *batchInput) (*batchOutput, error) {
	v, err := a.DB.Batch(ctx, in.ID, in.BatchID)
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
	if err := a.DB.Recall(ctx, in.ID, in.BatchID, body.Reason, body.Replace, c.by()); err != nil {
		return nil, err
	}
	return a.batch(ctx, in)
}

// checkReason requires one: what is done to keys is for ever.
func checkReason(reason string) error {
	var bad keyturn.Problems
	bad.Check(keyturn.CleanText(reason, 1, 500), "reason", "must say why, in 1 to 500 printable characters")
	return bad.Err("the request is not valid")
}

// oneKey does something with a key that the body names, and shows its life.
func (a *API) oneKey(ctx context.Context, c *call, in *idInput, do func(keyturn.KeyRequest) error) (*keyOutput, error) {
	var body keyturn.KeyRequest
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	var bad keyturn.Problems
	bad.Check(keyturn.CleanText(body.Key, 1, 4096), "key", "must be one key of the pool")
	bad.Check(keyturn.CleanText(body.Reason, 0, 500), "reason", "must be at most 500 printable characters")
	if err := bad.Err("the request is not valid"); err != nil {
		return nil, err
	}
	if err := do(body); err != nil {
		return nil, err
	}
	v, err := a.DB.Key(ctx, in.ID, body.Key)
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
