package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn/devstack/stripe"
)

// recorder is a proxy on loopback that hands requests on to Stripe and keeps what is said. Keys are not kept.
type recorder struct {
	url    string
	server *http.Server

	mu        sync.Mutex
	exchanges []stripe.Exchange
}

// startRecorder hands on to the address of an API.
func startRecorder(to string) (*recorder, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{url: "http://" + l.Addr().String()}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Header.Set("Accept-Encoding", "identity")
		},
		ModifyResponse: r.keep,
	}
	r.server = &http.Server{ReadTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, req *http.Request) {
			form, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			req.Body = io.NopCloser(bytes.NewReader(form))
			req.Header.Set("X-Form", url.QueryEscape(string(form))) // for keep; it goes no further
			proxy.ServeHTTP(w, req)
		})}
	transport := http.DefaultTransport
	proxy.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		out := req.Clone(req.Context())
		out.Header.Del("X-Form")
		resp, err := transport.RoundTrip(out)
		if resp != nil {
			resp.Request = req
		}
		return resp, err
	})
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// keep keeps an exchange.
func (r *recorder) keep(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	req := resp.Request
	form, err := url.QueryUnescape(req.Header.Get("X-Form"))
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchanges = append(r.exchanges, stripe.Exchange{
		Time: time.Now().UTC(), Operation: operationOf(req.Method, req.URL.Path), Method: req.Method, Path: req.URL.Path,
		Query: req.URL.RawQuery, Version: req.Header.Get("Stripe-Version"), Key: req.Header.Get("Idempotency-Key"), Form: form,
		Status: resp.StatusCode, Response: body,
	})
	return nil
}

// operationOf is a request without its IDs.
func operationOf(method, path string) string {
	steps := strings.Split(path, "/")
	for i, step := range steps {
		if strings.Contains(step, "_") && strings.ContainsAny(step, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			steps[i] = "{id}"
		}
	}
	return method + " " + strings.Join(steps, "/")
}

func (r *recorder) all() []stripe.Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]stripe.Exchange(nil), r.exchanges...)
}

func (r *recorder) close() error { return r.server.Close() }
