package starter

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	importInput struct {
		ID     string `path:"id" maxLength:"200"`
		DryRun bool   `query:"dryRun" doc:"Say what would happen and store nothing."`
	}
	importOutput struct{ Body keyturn.ImportResult }
)

func (a *API) poolRoutes() {
	const tag = "Pools"
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "One key per line, in UTF-8."}}
	register(a, operation{Operation: huma.Operation{
		OperationID: "importKeys", Method: http.MethodPost, Path: "/v1/pools/{id}/batches", Tags: []string{tag}, Summary: "Add keys to a pool",
		Description: "One key per line, streamed, any size; all good lines or, if the stream breaks, none. White space around a key and empty lines are passed over. The same keys again add nothing. Lines that wait for the pool are served at once.",
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
	body := &patientReader{call: c}
	c.writeUntil(time.Time{})
	var keys io.Reader = body
	var csv *csvKeys
	if media, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); media == "text/csv" { // checked above
		csv = newCSVKeys(body)
		keys = csv
	}
	result, err := a.DB.Import(ctx, in.ID, keys, c.by(), in.DryRun)
	c.writeUntil(time.Now().Add(writeTimeout))
	switch {
	case err != nil && csv != nil && keyturn.KindOf(csv.err) == keyturn.KindInvalid:
		err = csv.err
	case keyturn.KindOf(err) == keyturn.KindInvalid && body.broken:
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	if result.Served > 0 {
		a.Starter.Poke()
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
