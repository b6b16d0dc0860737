package notify

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/metrics"
)

const (
	sendTimeout = 15 * time.Second
	// maxReply is what is read of an answer, and maxKept what is kept.
	maxReply = 16 << 10
	maxKept  = 2 << 10
)

// Send sends one event and says what became of it. A redirect is a failure and is not followed.
func (s *Sender) Send(ctx context.Context, sending db.Sending, e db.SendingEvent) db.SendResult {
	r := db.SendResult{Webhook: sending.Webhook.ID, Event: e}
	if !e.Same {
		r.Failed = keyturn.KindInternal
		s.Logger.Error("an event has other bytes than it was sent with", "webhook", r.Webhook, "event", e.Event)
		return r
	}
	in := sending.Webhook.Endpoint()
	in.ID = "webhook/" + in.ID // no integration's
	in.Limits = keyturn.Limits{
		Timeout: keyturn.Duration(sendTimeout), MaxReplyBytes: maxReply, MaxConcurrent: sending.Webhook.Rate.MaxConcurrent,
	}
	reply, err := s.Caller.Send(ctx, in, sending.Version, endpoint.Request{
		Method: http.MethodPost, URL: sending.Webhook.URL,
		Header: Header("evt_"+e.PublicID, time.Now(), e.Body, sending.Keys), Body: []byte(e.Body),
	})
	r.Duration = reply.Duration
	if err != nil {
		r.Failed = keyturn.KindOf(err)
		r.Reply = kept([]byte(strings.ReplaceAll(err.Error(), "the partner", "the receiver"))) // no cause, no address
		return r
	}
	r.Status, r.RetryAfter = reply.Status, endpoint.RetryAfter(reply)
	r.Failed, r.Gone = failureOf(reply.Status), reply.Status == http.StatusGone
	r.Reply = kept(endpoint.Redact(in, "", reply.Body, secretsOf(sending)))
	return r
}

// failureOf is the kind of failure that a status is; empty for a success.
func failureOf(status int) keyturn.Kind {
	switch {
	case status >= 200 && status <= 299:
		return ""
	case status == http.StatusTooManyRequests:
		return keyturn.KindRateLimited
	case status >= 500:
		return keyturn.KindUnavailable
	case status >= 400:
		return keyturn.KindRejected
	}
	return keyturn.KindBadReply
}

// secretsOf are what a receiver's answer is cleaned of, besides the credentials that endpoint knows.
func secretsOf(sending db.Sending) []keyturn.Secret {
	out := make([]keyturn.Secret, len(sending.Keys))
	for i, key := range sending.Keys {
		out[i] = keyturn.Secret(key)
	}
	return out
}

// kept cuts an answer to what is kept of it, as text that PostgreSQL can store.
func kept(body []byte) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(string(body), "\x00", ""), "\uFFFD")
	if len(text) <= maxKept {
		return text
	}
	end := maxKept
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func count(r db.SendResult) {
	outcome := "delivered"
	if r.Failed != "" {
		outcome = string(r.Failed)
	}
	metrics.EventSent(r.Webhook, outcome)
}
