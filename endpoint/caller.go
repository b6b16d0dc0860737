package endpoint

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn"
)

// Options configure a Caller.
type Options struct {
	// Production refuses loopback addresses and plain HTTP; development allows both.
	Production bool
	// Logger gets one line per call at debug level, without any text of the partner's; nil: no log.
	Logger *slog.Logger
}

// Caller sends requests to partners. It keeps one pool of connections and one OAuth2 token per integration and is safe
// for concurrent use.
type Caller struct {
	production bool
	log        *slog.Logger

	mu       sync.Mutex
	partners map[string]*partner // by integration ID
}

// partner is the cached state of one version of an integration.
type partner struct {
	version   int64
	transport *http.Transport
	tokens    tokenCache
}

// NewCaller makes a Caller; Close it.
func NewCaller(o Options) *Caller {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Caller{production: o.Production, log: o.Logger, partners: map[string]*partner{}}
}

// Close closes the connections that are idle.
func (c *Caller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.partners {
		p.transport.CloseIdleConnections()
		delete(c.partners, id)
	}
}

// partner returns the state of an integration, rebuilt when its version changes: rotated credentials and authorities
// take effect with the next call.
func (c *Caller) partner(in keyturn.Integration, version int64) (*partner, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.partners[in.ID]
	if old != nil && old.version == version {
		return old, nil
	}
	transport, err := newTransport(in, c.production)
	if err != nil {
		return nil, err
	}
	if old != nil {
		old.transport.CloseIdleConnections()
	}
	p := &partner{version: version, transport: transport, tokens: tokenCache{busy: make(chan struct{}, 1)}}
	c.partners[in.ID] = p
	return p, nil
}

// Send sends a rendered request with the integration's credentials and returns the reply, whatever its status: a
// redirect is a reply too and is not followed. version is the integration's version in the catalog.
//
// An error is of KindConfiguration if the request may not be sent as things stand (reserved address, another server
// than the integration's, broken certificate), of KindRejected if the authorisation server said no, and of
// KindUnavailable if there was no complete reply: the partner may have acted on it unless NotSent says otherwise. Its
// message is ours and quotes nothing from the partner.
func (c *Caller) Send(ctx context.Context, in keyturn.Integration, version int64, req Request) (Reply, error) {
	in = WithDefaults(in)
	if in.Status == statusDisable {
		return Reply{}, notSent(keyturn.Errorf(keyturn.KindUnavailable, "the integration is switched off"))
	}
	if c.production && !(isHTTPS(req.URL) && (in.Auth.Type != authOAuth2 || isHTTPS(in.Auth.TokenURL))) {
		return Reply{}, notSent(keyturn.Errorf(keyturn.KindConfiguration, "the address is not https"))
	}
	if !req.Fits(in) {
		return Reply{}, notSent(keyturn.Errorf(keyturn.KindConfiguration,
			"the request was rendered for another server than the integration's base URL"))
	}
	p, err := c.partner(in, version)
	if err != nil {
		return Reply{}, notSent(err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(in))
	defer cancel()
	start := time.Now()
	reply, err := c.authorised(ctx, p, in, req)
	reply.Duration = time.Since(start)
	c.log.DebugContext(ctx, "called a partner", "integration", in.ID, "status", reply.Status, "duration", reply.Duration,
		"kind", keyturn.KindOf(err), "notSent", NotSent(err))
	return reply, err
}

func isHTTPS(address string) bool { return strings.HasPrefix(origin(address), "https:") }

// authorised sends with credentials, and once more with a fresh token if the partner refuses the cached one.
func (c *Caller) authorised(ctx context.Context, p *partner, in keyturn.Integration, req Request) (Reply, error) {
	header := req.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("User-Agent", "Keyturn")
	if err := req.addSecretHeaders(in, header); err != nil {
		return Reply{}, notSent(err)
	}
	secret := func(ref *keyturn.SecretRef) string {
		if ref == nil {
			return ""
		}
		return ref.Value
	}
	switch in.Auth.Type {
	case authBasic:
		header.Set("Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(in.Auth.Username+":"+secret(in.Auth.Password))))
	case authBearer:
		header.Set("Authorization", "Bearer "+secret(in.Auth.Token))
	case authOAuth2:
		token, err := p.tokens.get(ctx, p.transport, in, "")
		if err != nil {
			return Reply{}, notSent(err)
		}
		header.Set("Authorization", "Bearer "+token)
		reply, err := send(ctx, p.transport, req.Method, req.URL, header, req.Body, int64(in.Limits.MaxReplyBytes))
		if err != nil || reply.Status != http.StatusUnauthorized {
			return reply, err
		}
		fresh, refused := p.tokens.get(ctx, p.transport, in, token)
		if refused != nil { // then the partner's 401 is the answer
			return reply, err
		}
		header.Set("Authorization", "Bearer "+fresh)
	}
	return send(ctx, p.transport, req.Method, req.URL, header, req.Body, int64(in.Limits.MaxReplyBytes))
}

// keptHeaders are what a Reply holds of the partner's headers.
var keptHeaders = []string{"Content-Type", "Retry-After", "Date"}

// send sends once. It uses the transport itself: no redirects, no cookies, no second attempt by the library.
func send(ctx context.Context, transport *http.Transport, method, address string, header http.Header, body []byte,
	limit int64,
) (Reply, error) {
	var at progress
	ctx = httptrace.WithClientTrace(ctx, at.trace())
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Reply{}, notSent(keyturn.Errorf(keyturn.KindConfiguration, "the request's address is not valid"))
	}
	// Without GetBody the transport cannot repeat the request by itself, which it would for one with an Idempotency-Key.
	req.Header, req.GetBody = header, nil
	if method == http.MethodGet {
		req.Body = nil
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		// Until there is a connection nothing was written; with one, some of it may have been.
		if failure := failed(err, &at); at.connected.Load() {
			return Reply{}, failure
		} else {
			return Reply{}, notSent(failure)
		}
	}
	defer func() { _ = resp.Body.Close() }()
	reply := Reply{Status: resp.StatusCode, Header: http.Header{}}
	for _, name := range keptHeaders {
		if value := resp.Header.Get(name); value != "" && len(value) <= 256 {
			reply.Header.Set(name, value)
		}
	}
	if _, err := http.ParseTime(reply.Header.Get("Date")); err != nil {
		reply.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // RFC 9110 §6.6.1
	}
	if resp.StatusCode == http.StatusSwitchingProtocols { // its body is the connection itself, which no deadline ends
		return reply, nil
	}
	reply.Body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)) // decompressed bytes
	if err != nil {
		return Reply{}, failed(err, &at)
	}
	if int64(len(reply.Body)) > limit {
		reply.Body, reply.Truncated = reply.Body[:limit], true
	}
	return reply, nil
}

// notSentError marks an error after which the partner cannot have seen the request.
type notSentError struct{ err error }

func (e *notSentError) Error() string { return e.err.Error() }
func (e *notSentError) Unwrap() error { return e.err }

func notSent(err error) error { return &notSentError{err} }

// NotSent reports whether the request failed before there was a connection, so that no byte of it reached the partner.
// If it is false after an error of Send, the partner may have acted.
func NotSent(err error) bool {
	var e *notSentError
	return errors.As(err, &e)
}
