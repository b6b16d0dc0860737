package keyturn

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Kind says what went wrong in one word. It is the only part of an error that travels through Temporal, search
// attributes and metrics: it never carries a partner's or a customer's text.
type Kind string

const (
	// KindInvalid: the caller's input breaks a rule; the same input never succeeds.
	KindInvalid Kind = "Invalid"
	// KindNotFound: the thing named does not exist.
	KindNotFound Kind = "NotFound"
	// KindConflict: the state of the thing forbids the action.
	KindConflict Kind = "Conflict"
	// KindUnauthorized: no valid token.
	KindUnauthorized Kind = "Unauthorized"
	// KindForbidden: a valid token that lacks the scope of the route.
	KindForbidden Kind = "Forbidden"
	// KindDuplicateKey: the partner gave a code that another line has or a pool sells.
	KindDuplicateKey Kind = "DuplicateKey"
	// KindOutOfStock: a pool has fewer keys than the line needs.
	KindOutOfStock Kind = "OutOfStock"
	// KindRejected: the partner answered and said no (errorCode, successFlag, 4xx); it may say yes later.
	KindRejected Kind = "Rejected"
	// KindBadReply: the partner answered something that cannot be used (not JSON, too large, no key in it, a redirect).
	KindBadReply Kind = "BadReply"
	// KindRateLimited: we or the partner asked for fewer calls.
	KindRateLimited Kind = "RateLimited"
	// KindUnavailable: the other side did not answer or answered 5xx; the outcome of the call is unknown.
	KindUnavailable Kind = "Unavailable"
	// KindConfiguration: the catalog entry cannot work as it stands (unknown integration, template, missing secret).
	KindConfiguration Kind = "Configuration"
	// KindErased: it was about a person whose data was erased.
	KindErased Kind = "Erased"
	// KindInternal: a fault of ours or of the database.
	KindInternal Kind = "Internal"
)

// kinds is the one table from a kind to what the HTTP surface makes of it.
var kinds = map[Kind]struct {
	status int
	title  string
}{
	KindInvalid:       {http.StatusUnprocessableEntity, "Invalid request"},
	KindNotFound:      {http.StatusNotFound, "Not found"},
	KindConflict:      {http.StatusConflict, "Conflict"},
	KindUnauthorized:  {http.StatusUnauthorized, "Unauthorized"},
	KindForbidden:     {http.StatusForbidden, "Forbidden"},
	KindDuplicateKey:  {http.StatusBadGateway, "Duplicate key from the partner"},
	KindOutOfStock:    {http.StatusConflict, "Out of stock"},
	KindRejected:      {http.StatusBadGateway, "Rejected by the partner"},
	KindBadReply:      {http.StatusBadGateway, "Unusable reply from the partner"},
	KindRateLimited:   {http.StatusTooManyRequests, "Too many requests"},
	KindUnavailable:   {http.StatusServiceUnavailable, "Service unavailable"},
	KindConfiguration: {http.StatusConflict, "Configuration error"},
	KindErased:        {http.StatusGone, "Personal data erased"},
	KindInternal:      {http.StatusInternalServerError, "Internal error"},
}

// Kinds are all kinds of errors, in alphabetical order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// HTTPStatus is the status with which the API answers an error of this kind.
func (k Kind) HTTPStatus() int {
	if of, ok := kinds[k]; ok {
		return of.status
	}
	return http.StatusInternalServerError
}

// Title is the kind in words, as problem documents have it.
func (k Kind) Title() string { return kinds[k].title }

// Error is an error of a known kind. Message is ours, safe to show to operators and callers: it holds no secret, no
// personal datum and no text of a partner. Cause may hold any of these and is for local logs only.
type Error struct {
	Kind    Kind
	Message string
	Fields  []FieldError // what is wrong with the input, for KindInvalid
	// Permanent: of a failed attempt, that trying again is of no use until a person has changed something.
	Permanent bool
	// Answered: of a call whose outcome is unknown, that the other side has answered that it has failed. Asked again
	// under the same key, it may answer the same without doing anything.
	Answered bool
	Cause    error
}

// FieldError names one wrong field and the rule it breaks. Location is a path such as `lineItems[0].quantity`.
type FieldError struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func (e *Error) Error() string {
	text := e.Message
	for i, f := range e.Fields {
		text += map[bool]string{true: ": ", false: "; "}[i == 0] + f.Location + " " + f.Message
	}
	return text
}

// Unwrap gives the cause, so that errors.Is finds context and driver errors.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error of a kind. A trailing %w in format becomes the Cause and is kept out of the Message.
// There is no other %w.
func Errorf(kind Kind, format string, args ...any) *Error {
	whole := fmt.Errorf(format, args...) // by this call go vet knows Errorf, and checks its callers' formats
	short, ok := strings.CutSuffix(format, ": %w")
	if !ok {
		return &Error{Kind: kind, Message: whole.Error()}
	}
	cause, _ := args[len(args)-1].(error)
	return &Error{Kind: kind, Message: fmt.Sprintf(short, args[:len(args)-1]...), Cause: cause}
}

// KindOf gives the kind of the first Error in the chain, KindInternal for any other error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// IsPermanent says that the first Error in the chain is of an attempt that would fail again.
func IsPermanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Permanent
}

// WasAnswered says that the first Error in the chain is of a call that the other side has answered.
func WasAnswered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Answered
}

// Problems collects field errors while a value is checked.
type Problems struct{ fields []FieldError }

// Addf notes that the field at location breaks the rule.
func (p *Problems) Addf(location, format string, args ...any) {
	p.fields = append(p.fields, FieldError{Location: location, Message: fmt.Sprintf(format, args...)})
}

// Check notes the problem unless ok.
func (p *Problems) Check(ok bool, location, format string, args ...any) {
	if !ok {
		p.Addf(location, format, args...)
	}
}

// Merge takes over the field errors of err under a prefix; an err without field errors is noted as a whole.
func (p *Problems) Merge(prefix string, err error) {
	if err == nil {
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Fields) == 0 {
		p.Addf(prefix, "%s", err.Error())
		return
	}
	for _, f := range e.Fields {
		p.Addf(joinPath(prefix, f.Location), "%s", f.Message)
	}
}

// Err is nil if nothing was noted, else an Error of KindInvalid with every field.
func (p *Problems) Err(message string) error {
	if len(p.fields) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Message: message, Fields: p.fields}
}

func joinPath(prefix, location string) string {
	switch {
	case prefix == "":
		return location
	case location == "", strings.HasPrefix(location, "["):
		return prefix + location
	}
	return prefix + "." + location
}
