package stripe

import (
	"fmt"
	"net/http"
)

// apiError is an error as Stripe answers it.
type apiError struct {
	status  int
	unsaved bool // the request did not begin to execute: its idempotency key stays free

	Type        string
	Code        string
	DeclineCode string
	Param       string
	Message     string
	Charge      string
	Intent      *intent
}

const (
	invalidRequest   = "invalid_request_error"
	apiFault         = "api_error"
	cardError        = "card_error"
	idempotencyError = "idempotency_error"
)

func (e *apiError) render(s *Server) object {
	inner := object{"type": e.Type}
	for name, value := range map[string]string{
		"code": e.Code, "decline_code": e.DeclineCode, "param": e.Param, "message": e.Message, "charge": e.Charge,
	} {
		if value != "" {
			inner[name] = value
		}
	}
	if e.Code != "" {
		inner["doc_url"] = "https://stripe.com/docs/error-codes/" + e.Code
	}
	if e.Intent != nil && s != nil {
		inner["payment_intent"] = e.Intent.render(s)
	}
	return inner
}

// refuse is a refusal of a request that did not begin to execute: its parameters are wrong.
func refuse(code, param, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, unsaved: true, Type: invalidRequest, Code: code, Param: param,
		Message: fmt.Sprintf(format, args...),
	}
}

// impossible is a refusal because of the state that something is in. It is saved under the idempotency key.
func impossible(code, format string, args ...any) *apiError {
	e := refuse(code, "", format, args...)
	e.unsaved = false
	return e
}

func missing(what, id string) *apiError {
	return &apiError{
		status: http.StatusNotFound, Type: invalidRequest, Code: "resource_missing", Param: what,
		Message: fmt.Sprintf("No such %s: '%s'", what, id),
	}
}
