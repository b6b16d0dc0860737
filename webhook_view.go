package keyturn

import (
	"encoding/json"
	"time"
)

// EventStatus is where an event stands on its way to a receiver.
type EventStatus string

// The statuses of an event on its way.
const (
	EventPending   EventStatus = "PENDING"   // it is sent, or sent again, at its time
	EventDelivered EventStatus = "DELIVERED" // the receiver took it
	EventFailed    EventStatus = "FAILED"    // it is not sent any more
)

// EventStatuses are all of them. The database's constraint agrees.
var EventStatuses = []EventStatus{EventPending, EventDelivered, EventFailed}

// WebhookPut is what a PUT of a webhook answers: the webhook as it is stored, and a secret that Keyturn has made.
type WebhookPut struct {
	Webhook
	NewSecret string `json:"newSecret,omitempty" doc:"The secret that signs the requests, shown this once. Absent unless Keyturn has just made it."`
}

// WebhookList is all webhooks by ID, without their secrets.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

// WebhookView is a webhook without its secrets, and how its receiver does.
type WebhookView struct {
	Webhook
	State WebhookState `json:"state"`
}

// Values of WebhookState.SwitchedOff.
const (
	OffFailing = "failing" // it took nothing on five days of tries
	OffGone    = "gone"    // it answered 410
)

// WebhookState is how a receiver does, as all workers see it.
type WebhookState struct {
	SwitchedOff   string     `json:"switchedOff,omitempty" enum:"failing,gone" doc:"Why Keyturn sends nothing until a test succeeds."`
	SwitchedOffAt *time.Time `json:"switchedOffAt,omitempty"`
	Breaker       string     `json:"breaker" enum:"closed,open,probing"`
	Failing       int        `json:"failing" doc:"Distinct events whose tries have failed since the last success. Five open the breaker."`
	FailingSince  *time.Time `json:"failingSince,omitempty"`
	NextTryAt     *time.Time `json:"nextTryAt,omitempty" doc:"Nothing is sent before."`
	Due           int        `json:"due" doc:"Events that are due now; counted to 10,000."`
	OldestDueAt   *time.Time `json:"oldestDueAt,omitempty" doc:"Since when the oldest of them is."`
}

// WebhookSecret is a secret that has just been made.
type WebhookSecret struct {
	Secret    string    `json:"secret" doc:"Shown this once."`
	BothUntil time.Time `json:"bothUntil" doc:"Until then requests are signed with the secret before, too."`
}

// EventDelivery is an event on its way to a receiver.
type EventDelivery struct {
	ID         int64           `json:"id"`
	EventID    string          `json:"eventId" example:"evt_0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4" doc:"The header Webhook-Id."`
	Number     int64           `json:"number" doc:"Of the event: events are numbered in the order of commits."`
	Type       EventType       `json:"type"`
	Status     EventStatus     `json:"status" enum:"PENDING,DELIVERED,FAILED"`
	Replay     bool            `json:"replay,omitempty"`
	Attempts   int             `json:"attempts"`
	NextAt     *time.Time      `json:"nextAt,omitempty"`
	TriedAt    *time.Time      `json:"triedAt,omitempty"`
	DoneAt     *time.Time      `json:"doneAt,omitempty"`
	HTTPStatus int             `json:"httpStatus,omitempty" doc:"Of the last try. Absent: there was no answer."`
	Error      Kind            `json:"error,omitempty" doc:"Why the last try failed."`
	DurationMS int             `json:"durationMs,omitempty"`
	Answer     string          `json:"answer,omitempty" doc:"The receiver's answer to the last try, redacted and cut to 2 KiB; without one, why."`
	Request    json.RawMessage `json:"request" doc:"The body that is sent."`
}

// EventDeliveryPage is one page of deliveries, the newest first.
type EventDeliveryPage struct {
	Deliveries []EventDelivery `json:"deliveries"`
	NextBefore int64           `json:"nextBefore,omitempty" doc:"For the next page; absent: there is none."`
}

// PulledEvent is an event of a list to pull.
type PulledEvent struct {
	Number int64           `json:"number"`
	ID     string          `json:"id" example:"evt_0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4"`
	Event  json.RawMessage `json:"event" doc:"What a receiver would get as the body."`
}

// EventPage is one page of events to pull, the oldest first.
type EventPage struct {
	Events []PulledEvent `json:"events"`
	Next   int64         `json:"next" doc:"Give it as after, for what comes next; the same as before if nothing has come."`
}

// ReplayEvents says which events are sent once more.
type ReplayEvents struct {
	From       time.Time `json:"from"`
	To         time.Time `json:"to,omitzero" doc:"Absent: now."`
	Types      []string  `json:"types,omitempty" doc:"Patterns; absent: all that the webhook wants."`
	FailedOnly bool      `json:"failedOnly,omitempty" doc:"Only those that the receiver has not taken."`
}

// Check says what is wrong with the request.
func (r ReplayEvents) Check() error {
	var bad Problems
	bad.Check(!r.From.IsZero(), "from", "is required")
	bad.Check(r.To.IsZero() || r.From.Before(r.To), "to", "must be after from")
	bad.Merge("types", CheckEventPatterns(r.Types))
	return bad.Err("the replay is not valid")
}

// CheckEventPatterns refuses patterns that name no type.
func CheckEventPatterns(patterns []string) error {
	var bad Problems
	for i, pattern := range patterns {
		bad.Check(ValidEventPattern(pattern), "["+itoa(i)+"]",
			"must be a type of events such as order.completed, a family such as order.*, or *")
	}
	return bad.Err("the types are not valid")
}

// EventTypesOf are the types that any of the patterns names; without patterns, all.
func EventTypesOf(patterns []string) (types []EventType) {
	for _, info := range EventTypes {
		matches := len(patterns) == 0
		for _, pattern := range patterns {
			matches = matches || info.Type.Matches(pattern)
		}
		if matches {
			types = append(types, info.Type)
		}
	}
	return types
}

// ReplayedEvents says what a replay sends.
type ReplayedEvents struct {
	Events int        `json:"events"`
	Until  *time.Time `json:"until,omitempty" doc:"When the last of them is sent."`
	More   bool       `json:"more,omitempty" doc:"There are more than one replay takes: ask again, from the next of them."`
	Next   *time.Time `json:"next,omitempty"`
}
