package activities

import (
	"bytes"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
)

// Replay runs today's templates and response paths against a stored attempt.
func Replay(r db.Replay) keyturn.Replayed {
	in := integrationOf(r.CallFacts)
	out := keyturn.Replayed{
		FulfillmentID: r.FulfillmentID,
		Attempt: keyturn.ReplayedAttempt{
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
		reply := endpoint.ExplainReply(in, string(r.Operation), units(r.CallFacts),
			endpoint.Reply{Status: r.HTTPStatus, Body: r.HideReply(r.Reply)})
		out.Reply, out.Meaning = &reply, endpoint.Meaning(reply)
	}
	return out
}
