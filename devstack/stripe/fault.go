package stripe

import (
	"maps"
	"math/rand/v2"
	"net/http"
)

// Fault is how a call goes wrong.
type Fault string

const (
	// Lost: it is carried out, and the connection ends without an answer.
	Lost Fault = "lost"
	// Cut: it is carried out, and the connection ends in the middle of the answer.
	Cut Fault = "cut"
	// Late: nothing is answered until whoever asked leaves; then it is carried out. Until then its idempotency key is in
	// use.
	Late Fault = "late"
	// Never: nothing is answered, and nothing is carried out.
	Never Fault = "never"
	// Failed: nothing is carried out; 500, which the idempotency key answers from now on.
	Failed Fault = "failed"
	// FailedAfter: it is carried out; 500, which the idempotency key answers from now on.
	FailedAfter Fault = "failed-after"
	// InUse: 409, as if the idempotency key were in use.
	InUse Fault = "in-use"
	// Locked: 429, as if another request had the object.
	Locked Fault = "locked"
	// Limited: 429, as if there were too many requests.
	Limited Fault = "limited"
	// Down: 503, and nothing is carried out or saved.
	Down Fault = "down"
	// Refused: a capture is refused for good, because the authorization has ended; other calls are carried out.
	Refused Fault = "refused"
)

// Faults are all of them.
func Faults() []Fault {
	return []Fault{Lost, Cut, Late, Never, Failed, FailedAfter, InUse, Locked, Limited, Down, Refused}
}

// Call is what is asked for.
type Call struct {
	Operation string // see Operations
	Path      string
	Key       string // of idempotency
	Form      string
}

// SetFaults has a function decide how each call goes wrong; "": not at all. nil: none does. It must not call the
// server.
func (s *Server) SetFaults(decide func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = decide
}

// Shaky is a function for SetFaults by which percent of the calls go wrong, each in one of these ways.
func Shaky(percent int, ways ...Fault) func(Call) Fault {
	return func(Call) Fault {
		if rand.IntN(100) >= percent { //nolint:gosec // no secret
			return ""
		}
		return ways[rand.IntN(len(ways))] //nolint:gosec // no secret
	}
}

// Calls is how many calls there were, by operation, and of those that went wrong by operation and fault, such as
// "refund.create/lost".
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

func (s *Server) faultOf(x *Exchange) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[x.Operation]++
	if s.faults == nil {
		return ""
	}
	x.Fault = s.faults(Call{Operation: x.Operation, Path: x.Path, Key: x.Key, Form: x.Form})
	if x.Fault == Refused && x.Operation != "payment_intent.capture" {
		x.Fault = ""
	}
	if x.Fault != "" {
		s.calls[x.Operation+"/"+string(x.Fault)]++
	}
	return x.Fault
}

// instead is the error of a fault by which nothing is carried out or saved.
func (f Fault) instead() *apiError {
	switch f {
	case InUse:
		return keyInUse()
	case Locked:
		return &apiError{
			status: http.StatusTooManyRequests, unsaved: true, Type: invalidRequest, Code: "lock_timeout",
			Message: "This object cannot be accessed right now because another API request or Stripe process is currently " +
				"accessing it. If you see this error intermittently, retry the request.",
		}
	case Limited:
		return &apiError{
			status: http.StatusTooManyRequests, unsaved: true, Type: invalidRequest, Code: "rate_limit",
			Message: "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
		}
	case Down:
		return &apiError{
			status: http.StatusServiceUnavailable, unsaved: true, Type: apiFault, Message: "Stripe is unavailable. Try again.",
		}
	default:
		return nil
	}
}

// after is the error of a fault that the idempotency key answers from now on.
func (Fault) after() *apiError {
	return &apiError{
		status: http.StatusInternalServerError, Type: apiFault, Message: "An unknown error occurred. Try again.",
	}
}
