package testkit

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// Receiver is a shop's server that takes events. It verifies each request with the library of Standard Webhooks.
type Receiver struct {
	URL    string
	Secret string // whsec_…

	mu     sync.Mutex
	got    []Received
	answer http.HandlerFunc // nil: 204
}

// Received is a request that the receiver verified.
type Received struct {
	ID, Body string
	Header   http.Header
	Status   int // what it was answered; 0: nothing
}

// NewReceiver starts a receiver that ends with the test, by TLS if there is a configuration.
func NewReceiver(t testing.TB, config ...*tls.Config) *Receiver {
	t.Helper()
	r := &Receiver{Secret: keyturn.NewWebhookSecret()}
	hook, err := standardwebhooks.NewWebhook(r.Secret)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil { // the sender was killed
			return
		}
		assert.NoError(t, hook.Verify(body, req.Header))
		assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		rec := &statusWriter{ResponseWriter: w}
		defer func() {
			r.mu.Lock()
			r.got = append(r.got, Received{
				ID: req.Header.Get("Webhook-Id"), Body: string(body), Header: req.Header, Status: rec.status,
			})
			r.mu.Unlock()
		}()
		if answer == nil {
			rec.WriteHeader(http.StatusNoContent)
			return
		}
		answer(rec, req)
	}))
	if len(config) > 0 {
		s.TLS = config[0]
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	r.URL = s.URL + "/hooks?shop=1"
	return r
}

// Answer says how the receiver answers from now on; nil: with 204.
func (r *Receiver) Answer(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// Got are the requests so far, in the order in which they were answered.
func (r *Receiver) Got() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Received(nil), r.got...)
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
