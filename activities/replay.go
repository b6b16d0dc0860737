package activities

import (
	"bytes"
	"time"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
)

// Replayed says what today's catalog makes of a stored attempt: nobody is called and nothing is changed.
type Replayed struct {
	FulfillmentID string          `json:"fulfillmentId"`
	Attempt       ReplayedAttempt `json:"attempt"`
	Request       ReplayedRequest `json:"request"`
	// Reply is what the stored reply means today; absent where none was kept. Codes, links, files and personal data in it
	// were masked when it was stored, and read as what they are.
	Reply *endpoint.ReplyExplained `json:"reply,omitempty"`
	// Meaning is that in a sentence.
	Meaning string `json:"meaning"`
}

// ReplayedAttempt is the attempt as it was.
type ReplayedAttempt struct {
	No         int       `json:"no"`
	StartedAt  time.Time `json:"startedAt"`
	Source     string    `json:"source"`
	Operation  string    `json:"operation"`
	Outcome    string    `json:"outcome" enum:"running,success,failed,unknown,late"`
	HTTPStatus int       `json:"httpStatus,omitempty"`
	ErrorKind  string    `json:"errorKind,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// ReplayedRequest compares what was sent with what a new line would send today.
type ReplayedRequest struct {
	Stored  string `json:"stored,omitempty"`
	Today   string `json:"today,omitempty"`
	Same    bool   `json:"same"` // byte for byte
	Problem string `json:"problem,omitempty"`
}

// Replay runs today's templates and response paths against a stored attempt.
func Replay(r db.Replay) Replayed {
	in := integrationOf(r.CallFacts)
	out := Replayed{
		FulfillmentID: r.FulfillmentID,
		Attempt: ReplayedAttempt{
			No: r.No, StartedAt: r.StartedAt, Source: r.Source.Name(), Operation: string(r.Operation), Outcome: r.Outcome,
			HTTPStatus: r.HTTPStatus, ErrorKind: r.ErrorKind, Message: r.Message,
		},
		Meaning: "there is no reply to read: none came, or it was not kept",
	}
	if r.Request != nil {
		out.Request.Stored = r.HideRequest(r.Request)
	}
	if today, err := renderRequest(r.CallFacts); err != nil {
		out.Request.Problem = err.Error()
	} else {
		out.Request.Today, out.Request.Same = r.HideRequest(today), bytes.Equal(today, r.Request)
	}
	if r.Reply != nil {
		reply := endpoint.ExplainReply(in, string(r.Operation), units(r.CallFacts), endpoint.Reply{Status: r.HTTPStatus, Body: r.HideReply(r.Reply)})
		out.Reply, out.Meaning = &reply, reply.Meaning()
	}
	return out
}
