package stripe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/stripe"
)

type emulator struct {
	*stripe.Server
	t *testing.T
}

func start(t *testing.T, cfg stripe.Config) emulator {
	t.Helper()
	s := stripe.New(cfg)
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return emulator{s, t}
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// at gives what is at a path of names, such as error.code.
func (r reply) at(path string) any {
	var v any = r.body
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (r reply) id() string { id, _ := r.at("id").(string); return id }

// do sends a request: the form is the body of a POST, and the query of all else.
func (e emulator) do(method, path, key, form string) (reply, error) {
	e.t.Helper()
	address := e.URL() + path
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form)
	} else if form != "" {
		address += "?" + form
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, address, body)
	require.NoError(e.t, err)
	req.Header.Set("Authorization", "Bearer "+stripe.Key)
	req.Header.Set("Stripe-Version", stripe.APIVersion)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := once.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	text, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	require.NoError(e.t, json.Unmarshal(text, &r.body))
	return r, nil
}

// once asks once: net/http asks again by itself under an idempotency key if a connection that it had kept ends.
var once = &http.Transport{DisableKeepAlives: true}

func (e emulator) get(path, query string) reply {
	e.t.Helper()
	r, err := e.do(http.MethodGet, path, "", query)
	require.NoError(e.t, err)
	return r
}

func (e emulator) post(path, key, form string) reply {
	e.t.Helper()
	r, err := e.do(http.MethodPost, path, key, form)
	require.NoError(e.t, err)
	return r
}

// sale is the form of a session of 49.90 EUR, with changes: name, value, …; an empty value takes a parameter away.
func sale(changes ...string) string {
	form := url.Values{
		"mode": {"payment"}, "success_url": {"https://shop.test/return?s={CHECKOUT_SESSION_ID}"},
		"cancel_url":                                    {"https://shop.test/back"},
		"line_items[0][quantity]":                       {"1"},
		"line_items[0][price_data][currency]":           {"eur"},
		"line_items[0][price_data][unit_amount]":        {"4990"},
		"line_items[0][price_data][product_data][name]": {"Orbit Editor"},
		"payment_method_options[card][capture_method]":  {"manual"},
		"metadata[keyturn]":                             {"main/p1"},
		"payment_intent_data[metadata][keyturn]":        {"main/p1"},
		"client_reference_id":                           {"p1"},
		"customer_email":                                {"jean@buyer.test"},
		"adaptive_pricing[enabled]":                     {"false"},
		"locale":                                        {"fr"},
		"submit_type":                                   {"pay"},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form.Encode()
}

// open makes a session.
func (e emulator) open(changes ...string) (sessionID string) {
	e.t.Helper()
	r := e.post("/v1/checkout/sessions", "", sale(changes...))
	require.Equal(e.t, 200, r.status, r.text)
	return r.id()
}

// sold makes a session that is paid by a means of payment, and gives its PaymentIntent.
func (e emulator) sold(m stripe.Method, changes ...string) (intentID string) {
	e.t.Helper()
	id := e.open(changes...)
	_, err := e.Pay(id, m)
	require.NoError(e.t, err)
	intentID, _ = e.get("/v1/checkout/sessions/"+id, "").at("payment_intent").(string)
	require.NotEmpty(e.t, intentID)
	return intentID
}

// hook is a webhook endpoint of a test.
type hook struct {
	*httptest.Server

	mu     sync.Mutex
	got    []delivered
	answer int
}

type delivered struct {
	body      []byte
	signature string
	event     struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		Livemode   bool   `json:"livemode"`
		APIVersion string `json:"api_version"`
		Data       struct {
			Object map[string]any `json:"object"`
		} `json:"data"`
	}
}

func startHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{answer: 200}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var d delivered
		d.body, _ = io.ReadAll(r.Body)
		d.signature = r.Header.Get("Stripe-Signature")
		_ = json.NewDecoder(bytes.NewReader(d.body)).Decode(&d.event)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, d)
		w.WriteHeader(h.answer)
	}))
	t.Cleanup(h.Close)
	return h
}

// types waits for a number of events, and gives their types.
func (h *hook) types(t *testing.T, n int) (types []string) {
	t.Helper()
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		types = nil
		for _, d := range h.got {
			types = append(types, d.event.Type)
		}
		return len(types) >= n
	}, 20*time.Second, 20*time.Millisecond)
	return types
}

func (h *hook) all() []delivered {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]delivered(nil), h.got...)
}
