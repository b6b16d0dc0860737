package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

type (
	importInput struct {
		ID           string `path:"id" maxLength:"200"`
		DryRun       bool   `query:"dryRun" doc:"Report what the import would do and how the file was read (see preview), without storing anything."`
		SkipBad      bool   `query:"skipBad" doc:"Import the valid rows of a file that also has invalid ones. By default such a file is refused as a whole."`
		Column       string `query:"column" maxLength:"200" doc:"CSV: the column of the key, by its name in the header, which then must have it, or its number from 1. Required unless there is one column only."`
		ExpiryColumn string `query:"expiryColumn" maxLength:"200" doc:"CSV: the column of the key's expiry: a date (2027-01-31, UTC), a time (RFC 3339), or empty. By name or number, as the key's."`
		Header       string `query:"header" enum:"yes,no,true,false" doc:"Whether the first row is a header, which is not imported. Not needed where a column is given by its name. By default a file whose first row looks like a header is refused."`
	}
	importOutput struct{ Body keyturn.ImportResult }
)

func (a *API) poolRoutes() {
	const tag = "Pools"
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "One key per line, in UTF-8."}}
	register(a, operation{of: ofPool, Operation: huma.Operation{
		OperationID: "importKeys", Method: http.MethodPost, Path: "/v1/pools/{id}/batches", Tags: []string{tag},
		Summary:     "Import keys",
		Description: "One key per line (text/plain), or CSV with the key in one column (text/csv), in UTF-8, with or without a byte-order mark. The separator of CSV is found, or named by a first line such as `sep=;`; a key of several lines stands in quotes. The file is streamed, may have any size, and is imported as a whole or not at all. An invalid row (malformed, too_long, malformed_expiry, expired) refuses the file with 422 and the row's line number, unless `skipBad` is set. Known keys (duplicate_in_file, duplicate_in_pool, duplicate_in_other_pool, already_sold) are counted and skipped, so importing a file twice is harmless. White space and invisible characters around keys and empty rows are ignored. A first row that looks like a header refuses the file, unless `header` or a column's name says what it is. `preview` says how the file was read. Lines waiting for the pool are served at the pool's pace; `served` counts those served at once.",
		Security:    anyOf(ScopeKeysWrite),
	}}, a.importKeys)
	a.huma.OpenAPI().Paths["/v1/pools/{id}/batches"].Post.RequestBody = &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{"text/plain": text, "text/csv": text},
	}
}

func (a *API) importKeys(ctx context.Context, c *call, in *importInput) (*importOutput, error) {
	if err := checkMedia(c.r, "text/plain", "text/csv"); err != nil {
		return nil, err
	}
	if !keyturn.ValidID(in.ID) {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no such pool")
	}
	header, err := keyturn.ParseHeaderRow(in.Header)
	if err != nil {
		return nil, err
	}
	body := &patientReader{call: c}
	c.writeUntil(time.Time{})
	media, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")) // checked above
	result, err := a.DB.ImportFile(ctx, stock.ImportInput{
		Pool: in.ID, File: body, By: c.by(), CSV: media == "text/csv", Column: in.Column, ExpiryColumn: in.ExpiryColumn,
		Header: header, SkipBad: in.SkipBad, DryRun: in.DryRun,
	})
	c.writeUntil(time.Now().Add(writeTimeout))
	if keyturn.KindOf(err) == keyturn.KindInvalid && body.broken {
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	if result.Served > 0 {
		a.Starter.Wake()
	}
	return &importOutput{Body: result}, nil
}

// patientReader reads a request's body of any size, as long as pieces of it keep coming.
type patientReader struct {
	call   *call
	broken bool
}

func (p *patientReader) Read(b []byte) (int, error) {
	p.call.readUntil(time.Now().Add(readTimeout))
	n, err := p.call.r.Body.Read(b)
	if err != nil {
		p.call.readUntil(time.Time{})
		p.broken = !errors.Is(err, io.EOF)
	}
	return n, err
}
