package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"keyturn.dev/keyturn"
)

// ImportOptions say how a file of keys is read; see stock.ImportInput.
type ImportOptions struct {
	CSV                  bool
	Column, ExpiryColumn string
	Header               keyturn.HeaderRow
	SkipBad, DryRun      bool
}

// ImportKeys streams a file of keys into a pool: text with one key per line, or CSV. Wrap the reader to show progress.
// A file with bad rows is refused with KindInvalid and their lines, unless they are to be skipped.
func (c *Client) ImportKeys(ctx context.Context, pool string, file io.Reader, o ImportOptions) (keyturn.ImportResult,
	error,
) {
	var out keyturn.ImportResult
	client := c.patient()
	media := "text/plain; charset=utf-8"
	if o.CSV {
		media = "text/csv; charset=utf-8"
	}
	query := url.Values{}
	for name, on := range map[string]bool{"dryRun": o.DryRun, "skipBad": o.SkipBad} {
		if on {
			query.Set(name, strconv.FormatBool(on))
		}
	}
	for name, text := range map[string]string{
		"column": o.Column, "expiryColumn": o.ExpiryColumn,
		"header": string(o.Header),
	} {
		if text != "" {
			query.Set(name, text)
		}
	}
	_, err := client.do(ctx, request{
		method: http.MethodPost, path: at("v1", "pools", pool, "batches"), query: query, body: io.NopCloser(file),
		contentType: media,
	}, &out)
	return out, err
}

// patient is a client for what takes as long as it takes, such as storing millions of keys.
func (c *Client) patient() *Client {
	if c.HTTP != nil {
		return c
	}
	return &Client{BaseURL: c.BaseURL, Token: c.Token, HTTP: &http.Client{}}
}

func dryRunQuery(dryRun bool) url.Values {
	if !dryRun {
		return nil
	}
	return url.Values{"dryRun": {strconv.FormatBool(dryRun)}}
}

// Batch shows an import and how far its recall is.
func (c *Client) Batch(ctx context.Context, pool, batch string) (v keyturn.BatchDetail, err error) {
	return v, c.get(ctx, at("v1", "pools", pool, "batches", batch), nil, &v)
}

// UndoBatch takes an import back of which nothing was sold.
func (c *Client) UndoBatch(ctx context.Context, pool, batch string) (v keyturn.BatchDetail, err error) {
	_, err = c.patient().do(ctx, request{method: http.MethodDelete, path: at("v1", "pools", pool, "batches", batch)}, &v)
	return v, err
}

// Recall takes an import back of which keys were sold.
func (c *Client) Recall(ctx context.Context, pool, batch string, r keyturn.RecallRequest) (v keyturn.BatchDetail,
	err error,
) {
	_, err = c.post(ctx, at("v1", "pools", pool, "batches", batch, "recall"), nil, r, &v)
	return v, err
}

// Key does one of lookup, quarantine and replacement with a key, and tells its life.
func (c *Client) Key(ctx context.Context, pool, action string, k keyturn.KeyRequest) (v keyturn.KeyView, err error) {
	_, err = c.post(ctx, at("v1", "pools", pool, "keys", action), nil, k, &v)
	return v, err
}

// ReplaceKeys has a line's customer get other keys.
func (c *Client) ReplaceKeys(ctx context.Context, fulfillmentID string,
	r keyturn.ReplacementRequest,
) ([]keyturn.RecalledKey, error) {
	var out keyturn.Replacements
	_, err := c.post(ctx, at("v1", "fulfillments", fulfillmentID, "replacement"), nil, r, &out)
	return out.Replacements, err
}
