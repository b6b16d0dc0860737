package keyturn

import "strings"

// Problem is the body of every error that the API answers (RFC 9457).
type Problem struct {
	Type   string       `json:"type" example:"https://keyturn.dev/problems/invalid" doc:"Identifies the kind of problem. Not necessarily a page."`
	Title  string       `json:"title" example:"Invalid request" doc:"The kind of problem, in words."`
	Status int          `json:"status" example:"422" doc:"The HTTP status code."`
	Detail string       `json:"detail" example:"the order is not valid" doc:"What happened, and what to do about it."`
	Errors []FieldError `json:"errors,omitempty" doc:"Every invalid field and the rule that it breaks."`
}

const problemTypes = "https://keyturn.dev/problems/"

// ProblemType is the type of the problem documents of this kind.
func (k Kind) ProblemType() string { return problemTypes + strings.ToLower(string(k)) }

// Err turns the document back into the error that it was made of; ok is false if it is not a document of Keyturn's. A
// kind that this version does not know becomes KindInternal.
func (p Problem) Err() (err *Error, ok bool) {
	if !strings.HasPrefix(p.Type, problemTypes) {
		return nil, false
	}
	err = &Error{Kind: KindInternal, Message: p.Detail, Fields: p.Errors}
	for kind := range kinds {
		if kind.ProblemType() == p.Type {
			err.Kind = kind
		}
	}
	return err, true
}
