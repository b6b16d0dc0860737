package stripe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Notice is an event that an endpoint is to be told of.
type Notice struct {
	ID       string
	Type     string
	Object   json.RawMessage // of the event
	Endpoint string
}

// Delivery is how an event is sent to an endpoint. The zero value is sent at once, as Stripe does.
type Delivery struct {
	After      time.Duration // by the emulator's clock
	Secret     string        // that signs it instead of the endpoint's
	Age        time.Duration // by which the time in its signature is before now
	APIVersion string        // in place of the emulator's
	OtherMode  bool          // livemode is the other one
	Metadata   map[string]string
	Unsigned   bool
	Altered    bool // the body is another one than was signed
	Once       bool // it is not sent again if it is not accepted
}

// SetWebhooks has a function decide how each event is sent to each endpoint: not at all, once, or several times. nil:
// each is sent once, and again until it is accepted. It must not call the server.
func (s *Server) SetWebhooks(decide func(Notice) []Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks = decide
}

// resends is after how long an event is sent again that was not accepted.
var resends = []time.Duration{ //nolint:gochecknoglobals // a table
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour,
}

// deliver sends an event. The lock is not held while it is under way.
func (s *Server) deliver(e *event, d due) {
	to, ok := s.state.byID[d.Endpoint].(*endpoint)
	if !ok || to.Disabled || s.ctx.Err() != nil {
		return
	}
	body, header := s.signed(e, to, *d.Delivery)
	s.keep(Exchange{Event: body})
	url := to.URL
	s.work.Go(func() {
		accepted := s.post(url, body, header)
		s.mu.Lock()
		defer s.mu.Unlock()
		if accepted {
			e.Pending = max(e.Pending-1, 0)
			return
		}
		if !d.Delivery.Once && d.Try < len(resends) && s.ctx.Err() == nil {
			after := resends[d.Try]
			d.Try++
			s.later(after, d)
		}
	})
}

// signed is the body of a webhook and its signature.
func (s *Server) signed(e *event, to *endpoint, d Delivery) (body []byte, signature string) {
	o := e.render(s)
	if to.APIVersion != "" {
		o["api_version"] = to.APIVersion
	}
	if d.APIVersion != "" {
		o["api_version"] = d.APIVersion
	}
	if d.OtherMode {
		o["livemode"] = !e.Live
	}
	if d.Metadata != nil {
		var about object
		if err := json.Unmarshal(e.Object, &about); err != nil {
			panic(err)
		}
		about["metadata"] = d.Metadata
		o["data"] = object{"object": about}
	}
	body = marshal(o)
	if d.Unsigned {
		return body, ""
	}
	secrets := to.secrets(s.now())
	if d.Secret != "" {
		secrets = []string{d.Secret}
	}
	signature = Signature(body, time.Now().Add(-d.Age), secrets...) // the receiver's clock is not the emulator's
	if d.Altered {
		body = bytes.Replace(body, []byte(`"object": "event"`), []byte(`"object":  "event"`), 1)
	}
	return body, signature
}

// Signature is the header Stripe-Signature of a body: the time, and a signature by each secret.
func Signature(body []byte, at time.Time, secrets ...string) string {
	unix := strconv.FormatInt(at.Unix(), 10)
	parts := []string{"t=" + unix}
	for _, secret := range secrets {
		h := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(h, "%s.%s", unix, body)
		parts = append(parts, "v1="+hex.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(append(parts, "v0="+strings.Repeat("0", 64)), ",")
}

func (s *Server) post(url string, body []byte, signature string) (accepted bool) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	resp, err := hookClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode/100 == 2
}

var hookClient = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
