package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
)

// mock is Stripe's own stripe-mock, in this process and on loopback alone, with its check of the version on.
type mock struct {
	url    string
	server *http.Server
}

func startMock() (*mock, error) {
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		return nil, fmt.Errorf("stripe-mock: %w", err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		return nil, fmt.Errorf("stripe-mock: %w", err)
	}
	stub, err := server.NewStubServer(fixtures, spec, true, false)
	if err != nil {
		return nil, fmt.Errorf("stripe-mock: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", stub.HandleRequest)
	m := &mock{url: "http://" + l.Addr().String(), server: &http.Server{Handler: mux, ReadTimeout: time.Minute}}
	go func() { _ = m.server.Serve(l) }()
	return m, nil
}

func (m *mock) close() error { return m.server.Close() }

// ask sends a request to stripe-mock, and says what it refuses.
func (m *mock) ask(method, path, query, version, key, form string) error {
	address := m.url + path
	if query != "" {
		address += "?" + query
	}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer sk_test_check")
	req.Header.Set("Stripe-Version", version)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stripe-mock answers %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return nil
}

// quiet has stripe-mock, which prints every request, print nowhere, and gives where this program prints.
func quiet() (out *os.File, err error) {
	out = os.Stdout
	os.Stdout, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	return out, err
}
