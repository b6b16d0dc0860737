package stripe

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// savedAnswer is what an idempotency key answers from now on.
type savedAnswer struct {
	Status int
	Body   json.RawMessage

	Request string // that it was the answer to
	At      time.Time
}

// keysLast is how long an answer is saved.
const keysLast = 24 * time.Hour

// keyed says whether a request's idempotency key counts: those of GET and DELETE have no effect.
func (x *Exchange) keyed() bool { return x.Method == http.MethodPost && x.Key != "" }

// request is what has to be the same under one key.
func (x *Exchange) request() string {
	form := x.Form
	if values, err := url.ParseQuery(form); err == nil {
		form = values.Encode()
	}
	return x.Method + " " + x.Path + "\n" + form
}

// begin takes the idempotency key until release. It is refused while another request has it.
func (s *Server) begin(x *Exchange) (release func(), refused *apiError) {
	if !x.keyed() {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[x.Key] {
		return nil, keyInUse()
	}
	s.running[x.Key] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, x.Key)
	}, nil
}

func keyInUse() *apiError {
	return &apiError{
		status: http.StatusConflict, unsaved: true, Type: idempotencyError, Code: "idempotency_key_in_use",
		Message: "There is currently another in-progress request using this Stripe-Idempotency-Key (that probably means " +
			"you " +
			"submitted twice, and the other request is still going through). Please try again later.",
	}
}

// saved is the answer that the request's key got before; nil: there is none.
func (s *Server) saved(x *Exchange) (*savedAnswer, *apiError) {
	if !x.keyed() {
		return nil, nil
	}
	before := s.state.Keys[x.Key]
	if before == nil || !s.now().Before(before.At.Add(keysLast)) {
		return nil, nil
	}
	if before.Request != x.request() {
		return nil, &apiError{
			status: http.StatusBadRequest, unsaved: true, Type: idempotencyError,
			Message: "Keys for idempotent requests can only be used with the same parameters they were first used with. Try " +
				"using a key other than '" + x.Key + "' if you meant to execute a different request.",
		}
	}
	return before, nil
}

func (s *Server) remember(x *Exchange, a savedAnswer) {
	if x.keyed() {
		a.Request, a.At = x.request(), s.now()
		s.state.Keys[x.Key] = &a
	}
}
