package payment

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// SandboxSignature is the header that signs an event of the sandbox: t=<Unix time>,v1=<HMAC-SHA-256 of time.body>.
const SandboxSignature = "Keyturn-Sandbox-Signature"

// sandboxEventAge is how much the time of an event may differ from ours.
const sandboxEventAge = 5 * time.Minute

type sandboxEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Session string `json:"session"`
	Payment string `json:"payment,omitempty"`
}

// SignedEvent is an event as it is sent to a hook.
func (x Sandbox) SignedEvent(e Event, now time.Time) (body []byte, h http.Header) {
	body, err := json.Marshal(sandboxEvent{
		ID: e.ID, Type: e.Type, Session: e.SessionReference, Payment: e.PaymentReference,
	})
	if err != nil { // strings can always be marshaled
		panic(err)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	h = http.Header{"Content-Type": {"application/json"}}
	h.Set(SandboxSignature, "t="+at+",v1="+hex.EncodeToString(x.mac("event", at+"."+string(body))))
	return body, h
}

// Event is Processor.Event.
func (x Sandbox) Event(body []byte, h http.Header, now time.Time) (Event, error) {
	at, signature, ok := strings.Cut(h.Get(SandboxSignature), ",v1=")
	at, hasTime := strings.CutPrefix(at, "t=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	sum, hexErr := hex.DecodeString(signature)
	if !ok || !hasTime || err != nil || hexErr != nil || !hmac.Equal(sum, x.mac("event", at+"."+string(body))) {
		return Event{}, keyturn.Errorf(keyturn.KindInvalid, "the event is not signed by the sandbox")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > sandboxEventAge || age < -sandboxEventAge {
		return Event{}, keyturn.Errorf(keyturn.KindInvalid, "the event was signed at another time than now")
	}
	var e sandboxEvent
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || e.Session == "" {
		return Event{}, keyturn.Errorf(keyturn.KindInvalid, "the event has no ID or names no session")
	}
	return Event{
		ID: e.ID, Type: e.Type, SessionReference: e.Session, PaymentReference: e.Payment, Outcome: outcomeOf(e.Type),
	}, nil
}

// sandboxDeclined is the type of an event of a payment that was declined; those of sessions name their status.
const sandboxDeclined = "payment.declined"

func outcomeOf(eventType string) keyturn.PayOutcome {
	switch eventType {
	case sandboxDeclined:
		return keyturn.Refused
	case "session." + string(keyturn.AtProcessorAuthorized), "session." + string(keyturn.AtProcessorCaptured):
		return keyturn.Paid
	}
	return ""
}
