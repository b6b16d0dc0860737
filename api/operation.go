package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/strictjson"
)

// The largest bodies. Ten thousand lines of an order fit into four megabytes.
const (
	maxOrderBody   = 4 << 20
	maxCatalogBody = 1 << 20
	maxSmallBody   = 64 << 10
)

// operation is a route: huma's description of it, and what its body is made of.
type operation struct {
	huma.Operation
	of       subject // what its path names; only a route for everybody has none
	body     any     // a value of the type of its JSON body; nil: it has none
	optional bool    // the body may be left out
}

// register adds an operation. Its handler gets the request's own context and answers with what huma writes; every error
// becomes a problem document. Bodies are read by the handler with decodeBody, strictly, and are only described to huma.
func register[I, O any](a *API, o operation, handle func(ctx context.Context, c *call, in *I) (*O, error)) {
	if len(o.Security) > 0 && o.of == "" {
		panic("operation " + o.OperationID + " does not say whose it is") // the first test finds it
	}
	o.Metadata = map[string]any{metaSubject: o.of}
	huma.Register(a.huma, o.Operation, func(ctx context.Context, in *I) (*O, error) {
		c := callOf(ctx)
		out, err := handle(ctx, c, in)
		if err != nil {
			return nil, a.problem(c, err)
		}
		return out, nil
	})
	item := a.huma.OpenAPI().Paths[o.Path]
	for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
		if op == nil || op.OperationID != o.OperationID {
			continue
		}
		op.Responses["default"] = &huma.Response{
			Description: "An error, as a problem document",
			Content: map[string]*huma.MediaType{
				"application/problem+json": {Schema: a.schema(problem{})},
			},
		}
		if o.body != nil {
			op.RequestBody = &huma.RequestBody{Required: !o.optional, Content: map[string]*huma.MediaType{
				"application/json": {Schema: a.schema(o.body)},
			}}
		}
	}
}

// schema describes a value's type.
func (a *API) schema(v any) *huma.Schema {
	t := reflect.TypeOf(v)
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// answers describes a response whose body the handler writes as bytes.
func (a *API) answers(status, description string, v any) map[string]*huma.Response {
	return map[string]*huma.Response{status: {
		Description: description,
		Content:     map[string]*huma.MediaType{"application/json": {Schema: a.schema(v)}},
	}}
}

// statusClientClosed is the log's and the metrics' status of a request whose client did not wait for the answer, as
// nginx has it.
const statusClientClosed = 499

// problem turns an error into its document and logs what must not be shown.
func (a *API) problem(c *call, err error) *problem {
	p := problemOf(err, c.id)
	// The client is gone, and what broke off because of that is no fault of ours. Nobody reads this but the log.
	if c.r.Context().Err() != nil && p.Status >= http.StatusInternalServerError {
		p = problemOf(withStatus(statusClientClosed,
			keyturn.Errorf(keyturn.KindInvalid, "the client closed the request")), c.id)
	}
	if p.Status >= http.StatusInternalServerError {
		a.Logger.Error("a request failed", "requestId", c.id, "kind", string(keyturn.KindOf(err)), "error", err, "cause",
			errors.Unwrap(err))
	}
	return p
}

// refuse answers before the operation is reached.
func (a *API) refuse(c *call, err error) { writeProblem(c.w, a.problem(c, err)) }

// decodeBody reads the request's JSON body into a value, strictly, and gives its bytes. Fields that the value does not
// have are refused, unless the token was made to pass them over. An optional body that is not
// there leaves the value as it is.
func decodeBody(c *call, limit int64, optional bool, into any) ([]byte, error) {
	if optional && c.r.ContentLength == 0 && len(c.r.TransferEncoding) == 0 {
		return nil, nil
	}
	raw, err := readBody(c, limit, "application/json")
	if err != nil {
		return nil, err
	}
	decode := strictjson.Decode
	if c.client.IgnoreUnknownFields {
		decode = strictjson.DecodeKnown
	}
	err = decode(raw, into)
	if _, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
		err = withStatus(http.StatusBadRequest, err)
	}
	return raw, err
}

// readBody reads a body of one of the media types, whole.
func readBody(c *call, limit int64, types ...string) ([]byte, error) {
	if err := checkMedia(c.r, types...); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, withStatus(http.StatusRequestEntityTooLarge,
			keyturn.Errorf(keyturn.KindInvalid, "the body must be at most %s", keyturn.Bytes(limit)))
	}
	if err != nil {
		return nil, badRequest("body", "was cut off")
	}
	c.readUntil(time.Time{}) // what watches for the client to leave must not take the limit for that
	return raw, nil
}

// checkMedia refuses other media types, other character sets than UTF-8, and compressed bodies.
func checkMedia(r *http.Request, types ...string) error {
	unsupported := func(format string, args ...any) error {
		return withStatus(http.StatusUnsupportedMediaType, keyturn.Errorf(keyturn.KindInvalid, format, args...))
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return unsupported("the body must not be compressed")
	}
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return unsupported("the body must be in UTF-8")
	}
	for _, t := range types {
		if err == nil && got == t && len(r.Header.Values("Content-Type")) == 1 {
			return nil
		}
	}
	return unsupported("Content-Type must be %s", strings.Join(types, " or "))
}
