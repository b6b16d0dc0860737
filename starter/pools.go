package starter

import (
	"context"
	"errors"
	"io"
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
	importOutput struct {
		Status int
		Body   keyturn.ImportResult
	}
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
	result, err := a.DB.Import(ctx, in.ID, body, c.by(), in.DryRun)
	c.writeUntil(time.Now().Add(writeTimeout))
	if keyturn.KindOf(err) == keyturn.KindInvalid && body.broken {
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	if result.Served > 0 {
		a.Starter.Poke()
	}
	out := &importOutput{Status: http.StatusOK, Body: result}
	if result.BatchID != "" {
		out.Status = http.StatusCreated
	}
	return out, nil
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
