package bounce

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// mailgun is Mailgun, which signs a time and a token with the key of the account's webhooks.
type mailgun struct {
	key []byte

	mu    sync.Mutex
	since time.Time
	seen  map[string]bool // tokens of these minutes, and of those before
	older map[string]bool
}

func newMailgun(key string) *mailgun { return &mailgun{key: []byte(key), seen: map[string]bool{}} }

type mailgunMessage struct {
	Signature struct{ Timestamp, Token, Signature string } `json:"signature"`
	Event     struct {
		Event     string `json:"event"`
		Severity  string `json:"severity"`
		Reason    string `json:"reason"`
		Recipient string `json:"recipient"`
		Status    struct {
			Message      string `json:"message"`
			Description  string `json:"description"`
			EnhancedCode string `json:"enhanced-code"`
		} `json:"delivery-status"`
		Message struct {
			Headers struct {
				MessageID string `json:"message-id"`
			} `json:"headers"`
		} `json:"message"`
		Envelope struct {
			Sender string `json:"sender"`
		} `json:"envelope"`
	} `json:"event-data"`
}

func (g *mailgun) verify(_ context.Context, _ *http.Request, body []byte) error {
	var m mailgunMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return notSigned()
	}
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(m.Signature.Timestamp + m.Signature.Token))
	given, err := hex.DecodeString(m.Signature.Signature)
	seconds, timeErr := strconv.ParseInt(m.Signature.Timestamp, 10, 64)
	if err != nil || timeErr != nil || !hmac.Equal(given, mac.Sum(nil)) || !recently(time.Unix(seconds, 0)) ||
		!g.first(m.Signature.Token) {
		return notSigned()
	}
	return nil
}

// tokenTime is for how long a token is remembered at least: longer than its time counts as near.
const tokenTime = 10 * time.Minute

// first says that a token, whose signature fits, was not seen before.
func (g *mailgun) first(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.since) > tokenTime {
		g.since, g.seen, g.older = time.Now(), map[string]bool{}, g.seen
	}
	known := g.seen[token] || g.older[token]
	g.seen[token] = true
	return !known
}

func (g *mailgun) forget(body []byte) {
	var m mailgunMessage
	if json.Unmarshal(body, &m) == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.seen, m.Signature.Token)
		delete(g.older, m.Signature.Token)
	}
}

func (g *mailgun) reports(_ context.Context, body []byte) ([]db.BounceReport, error) {
	var m mailgunMessage
	if err := json.Unmarshal(body, &m); err != nil || m.Event.Event == "" {
		return nil, notTheirs()
	}
	e := m.Event
	r := db.BounceReport{
		Status: submatch(statusCode, e.Status.EnhancedCode), Recipient: e.Recipient, Diagnostic: e.Status.Message,
		Refs: refsIn(e.Envelope.Sender), DeliveryID: mailID(e.Message.Headers.MessageID),
	}
	if r.Status == "" {
		r.Status = submatch(statusCode, e.Status.Message)
	}
	if r.Diagnostic == "" {
		r.Diagnostic = e.Status.Description
	}
	switch {
	case e.Event == "complained":
		r.Kind, r.Status = keyturn.BounceComplaint, ""
	case e.Event == "failed" && e.Severity == "temporary":
		r.Kind = keyturn.BounceDelayed
	case e.Event == "failed" && e.Reason == "suppress-bounce": // it came back before, and is not tried again
		r.Kind = keyturn.BounceBadAddress
	case e.Event == "failed":
		r.Kind = kindOf("failed", r.Status)
	default:
		return nil, nil
	}
	return []db.BounceReport{r}, nil
}
