package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
)

const (
	readTimeout  = 30 * time.Second // for a whole request; streamed bodies get it anew with every piece
	writeTimeout = 60 * time.Second
)

// call is one request on its way: what handlers and the log need of it.
type call struct {
	r      *http.Request
	w      *recorder
	id     string
	client db.Client // who calls, once it is known
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// by is who acts, for what is recorded.
func (c *call) by() string { return c.client.Name }

// readUntil limits how long the client may take to send what is left of the request; zero: for ever.
func (c *call) readUntil(t time.Time) { _ = http.NewResponseController(c.w).SetReadDeadline(t) }

func (c *call) writeUntil(t time.Time) { _ = http.NewResponseController(c.w).SetWriteDeadline(t) }

// Handler serves the API, its description and the pages.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: &recorder{ResponseWriter: w}, id: uuid.NewString()}
		c.r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		start := time.Now()
		c.readUntil(start.Add(readTimeout))
		c.writeUntil(start.Add(writeTimeout))
		h := w.Header()
		h.Set("X-Request-Id", c.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer") // a page's own address is its secret
		h.Set("Cache-Control", "no-store")
		if a.Production {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer a.finish(c, start)
		if prefix := pagePrefix(r.URL.Path); a.Pages != nil && prefix != "" {
			c.r.Pattern = prefix // what the log shows: the rest is the page's secret
			a.Pages.ServeHTTP(c.w, c.r)
			return
		}
		a.route(c.w, c.r)
	})
}

// pagePrefix says with what the address of a page for people begins, or of what processors tell; empty for the API's
// own.
func pagePrefix(address string) string {
	if address == "/library" {
		return address
	}
	for _, prefix := range []string{"/o/", "/c/", "/library/", "/images/", "/sandbox/", "/hooks/"} {
		if strings.HasPrefix(address, prefix) {
			return prefix
		}
	}
	return ""
}

// route gives the request to its operation, or says in the API's own way that there is none.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if err := readable(r.URL); err != nil {
		writeProblem(w, problemOf(err, ""))
		return
	}
	if escaped := r.URL.EscapedPath(); path.Clean(escaped) != escaped { // no redirects to what a path may have meant
		writeProblem(w, problemOf(keyturn.Errorf(keyturn.KindNotFound, "no resource has this address"), ""))
		return
	}
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	probe := &probe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		p := problemOf(withStatus(http.StatusMethodNotAllowed,
			keyturn.Errorf(keyturn.KindInvalid, "method not allowed: use %s", allow)), "")
		p.header.Set("Allow", allow)
		writeProblem(w, p)
		return
	}
	writeProblem(w, problemOf(keyturn.Errorf(keyturn.KindNotFound, "no resource has this address"), ""))
}

// readable refuses an address that no text can be read from: PostgreSQL, Temporal and a log cannot hold it.
func readable(u *url.URL) error {
	if !keyturn.CleanText(u.Path, 0, len(u.Path)) {
		return badRequest("path", "must be UTF-8 without control characters")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return badRequest("query", "must be percent-encoded names and values")
	}
	for name, values := range query {
		for _, text := range append(values, name) {
			if !keyturn.CleanText(text, 0, len(text)) {
				return badRequest("query", "must be UTF-8 without control characters")
			}
		}
	}
	return nil
}

// probe asks the mux's own answer for its headers.
type probe struct{ header http.Header }

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(int)             {}

// finish ends a request: a panic becomes a problem with a reference, and the log gets a line without personal data,
// with the route's pattern instead of its address.
func (a *API) finish(c *call, start time.Time) {
	level := slog.LevelInfo
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
			panic(p)
		}
		a.Logger.Error("a request broke down", "requestId", c.id, "panic", p, "stack", string(debug.Stack()))
		if c.w.status != 0 {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		writeProblem(c.w, problemOf(keyturn.Errorf(keyturn.KindInternal, "panic"), c.id))
	}
	switch {
	case c.w.status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case c.r.Pattern == "GET /livez", c.r.Pattern == "GET /readyz":
		level = slog.LevelDebug
	}
	metrics.Request(c.r.Pattern, c.w.status, time.Since(start))
	a.Logger.Log(c.r.Context(), level, "request", "requestId", c.id, "method", c.r.Method, "route", c.r.Pattern, "status",
		c.w.status,
		"bytes", c.w.bytes, "ms", time.Since(start).Milliseconds(), "by", c.client.Name)
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}
