package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

// problem is a problem document with the headers that go with it, as huma takes errors.
type problem struct {
	keyturn.Problem

	header http.Header
}

// Error is the detail.
func (p *problem) Error() string { return p.Detail }

// GetStatus gives the status to the code that writes the answer.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders gives the headers that go with the problem.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType is problem+json whatever was asked for.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// statusError gives an error another status than its kind has.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

func withStatus(status int, err error) error { return statusError{err, status} }

// badRequest says what is wrong with a part of a request that is not its document.
func badRequest(location, format string, args ...any) error {
	var bad keyturn.Problems
	bad.Addf(location, format, args...)
	return withStatus(http.StatusBadRequest, bad.Err("the request cannot be read"))
}

// maxErrors is how many wrong fields one answer names: more help nobody, and an order may have ten thousand lines.
const maxErrors = 50

// problemOf turns an error into its problem document. What an error without a kind, or of KindInternal, says is for the
// log alone; reference leads there.
func problemOf(err error, reference string) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	kind := keyturn.KindOf(err)
	p := &problem{
		Problem: keyturn.Problem{Type: kind.ProblemType(), Title: kind.Title(), Status: kind.HTTPStatus()},
		header:  http.Header{},
	}
	if e, ok := errors.AsType[*keyturn.Error](err); ok {
		p.Detail, p.Errors = e.Message, e.Fields
	}
	if more := len(p.Errors) - maxErrors; more > 0 {
		p.Errors = p.Errors[:maxErrors]
		p.Detail += "; these are the first " + strconv.Itoa(maxErrors) + " errors, and " + strconv.Itoa(more) + " more"
	}
	if s, ok := errors.AsType[statusError](err); ok {
		p.Status = s.status
	}
	switch kind {
	case keyturn.KindInternal:
		p.Detail, p.Errors = "internal error; quote reference "+reference+" to find it in the log", nil
	case keyturn.KindUnavailable, keyturn.KindRateLimited:
		p.header.Set("Retry-After", "1")
	case keyturn.KindUnauthorized:
		p.header.Set("WWW-Authenticate", `Bearer realm="keyturn"`)
	default:
	}
	return p
}

// writeProblem answers a request that no operation answers.
func writeProblem(w http.ResponseWriter, p *problem) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// huma reports wrong parameters by itself; this gives its reports the same shape.
func init() { //nolint:gochecknoinits // the variable is the package's documented way to replace its error model
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		var bad keyturn.Problems
		for _, err := range errs {
			at := ""
			if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
				_, at, _ = strings.Cut(d.Location, ".")
				err = errors.New(d.Message)
			}
			bad.Addf(at, "%s", err.Error())
		}
		if status == http.StatusUnprocessableEntity { // bodies are not huma's business here: these are parameters
			status = http.StatusBadRequest
		}
		kind := keyturn.KindInternal
		if status < http.StatusInternalServerError {
			kind = keyturn.KindInvalid
		}
		e, _ := errors.AsType[*keyturn.Error](bad.Err(message))
		if e == nil {
			e = keyturn.Errorf(kind, "%s", message)
		}
		e.Kind = kind
		return problemOf(withStatus(status, e), "")
	}
}
