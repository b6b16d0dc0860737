// Package endpoint implements the contract with partners: how Keyturn calls a partner's HTTP endpoint and how it
// interprets the answer. It follows Nexway's fulfillment contract: a fulfillment request is rendered through the
// integration's templates (Render), signed (Sign), sent through a guarded client (Caller.Send), and the reply is read
// with JSONPaths and classified (Judge). Check refuses an integration that cannot work when it is saved.
//
// Everything but Caller is pure: the same input gives the same bytes and the same verdict.
package endpoint

import (
	"net/http"
	"time"

	"keyturn.dev/keyturn"
)

// Request is one rendered call. It is stored once and sent again byte for byte on every retry, so it holds no
// credentials: Caller.Send adds them when it sends.
type Request struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"` // base64 in JSON
	// SecretHeaders are headers whose values the integration keeps apart, each with the path where: every attempt sends
	// the values of its day.
	SecretHeaders map[string]string `json:"secretHeaders,omitempty"`
}

// Reply is what came back, before anyone reads it.
type Reply struct {
	Status int `json:"status"`
	// only Content-Type, Retry-After and Date; Date is ours if the partner sent none
	Header    http.Header `json:"header,omitempty"`
	Body      []byte      `json:"body,omitempty"` // decompressed, at most the integration's maxReplyBytes
	Truncated bool        `json:"truncated,omitempty"`
	// from the first look-up of the address to the last byte, nanoseconds in JSON
	Duration time.Duration `json:"duration"`
}

// Outcome is what a reply means for the fulfillment.
type Outcome string

// The three outcomes of a call.
const (
	Success   Outcome = "Success"
	Retryable Outcome = "Retryable"
	Permanent Outcome = "Permanent" // the same request never succeeds: the next source is tried at once
)

// Verdict is what Judge makes of a reply.
type Verdict struct {
	Outcome    Outcome
	Kind       keyturn.Kind // "" for Success
	HTTPStatus int
	ErrorCode  string // the partner's, printable, at most 64 characters
	// the partner's words, cleaned, at most 500 characters: for the database only, never for Temporal, logs or metrics
	ErrorMessage string
	Reason       string              // our words, safe everywhere
	RetryAfter   time.Duration       // what the partner asked for, 0 if nothing, at most 24h
	Deliverable  Deliverable         // only for Success
	Additional   map[string][]string // what other response paths captured, for later operations; only for Success
}
