package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// start runs an emulator on free ports for the length of a test.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s := New(cfg)
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// client follows no redirect and opens a connection for each request, so that no test depends on another's.
func client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back, as far as it came.
type answer struct {
	status int
	header http.Header
	text   string
	json   map[string]any
	err    error
}

func (a answer) key() string { key, _ := a.json["activationCode"].(string); return key }

type option func(*http.Request)

func header(name, value string) option { return func(r *http.Request) { r.Header.Set(name, value) } }

func basic(user, password string) option {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func send(t *testing.T, c *http.Client, method, url, body string, options ...option) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for _, o := range options {
		o(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text), err: err}
	_ = json.Unmarshal(bytes.TrimSpace(text), &a.json) // tests look at json only where it must be
	return a
}

func post(t *testing.T, url, body string, options ...option) answer {
	t.Helper()
	return send(t, client(5*time.Second), http.MethodPost, url, body, options...)
}

// body is a request of Nexway's default template, cut down to what partners dedupe by.
func body(fulfillmentID, orderID, product string) string {
	return fmt.Sprintf(`{"fulfillmentId":%q,"checkout":{"orderId":%q,"lineItemId":"line-1","price":{"grossPrice":19.50,"currency":"EUR"}},
		"user":{"id":"u","email":"ana@buyer.test"},"product":{"id":"p-1","name":"Orbit","publisherProductId":%q}}`,
		fulfillmentID, orderID, product)
}

func last(t *testing.T, s *Server) Entry {
	t.Helper()
	log := s.Log()
	require.NotEmpty(t, log)
	return log[len(log)-1]
}
