package endpoint_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, keyturn.Integration) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, keyturn.Integration{ID: "acme", BaseURL: s.URL}
}

func newCaller(t *testing.T, production bool) *endpoint.Caller {
	t.Helper()
	c := endpoint.NewCaller(endpoint.Options{Production: production})
	t.Cleanup(c.Close)
	return c
}

func send(t *testing.T, c *endpoint.Caller, in keyturn.Integration) (endpoint.Reply, error) {
	t.Helper()
	return c.Send(t.Context(), in, 1, request(t, in))
}

func request(t *testing.T, in keyturn.Integration) endpoint.Request {
	t.Helper()
	req, err := endpoint.Render(in, "create", order())
	require.NoError(t, err)
	return req
}

func TestSend(t *testing.T) {
	t.Parallel()
	s, in := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Join([]string{
			r.Method, r.URL.Path, user, password, r.Header.Get("Content-Type"),
			r.UserAgent(), string(body),
		}, "|"))
	})
	in.Auth = keyturn.Auth{Type: "basic", Username: "shop", Password: secretOf("p:w")}
	req := request(t, in)
	reply, err := newCaller(t, false).Send(t.Context(), in, 1, req)
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, reply.Status)
	require.Equal(t, "POST|/licenses/new|shop|p:w|application/json|Keyturn|"+string(req.Body), string(reply.Body))
	require.Equal(t, "7", reply.Header.Get("Retry-After"))
	require.Empty(t, reply.Header.Get("Set-Cookie"))
	require.NotEmpty(t, reply.Header.Get("Date"))
	require.Positive(t, reply.Duration)
	require.Empty(t, req.Header.Get("Authorization")) // what is stored holds no credentials

	in.Auth = keyturn.Auth{Type: "bearer", Token: secretOf("tok")}
	in.HTTPHeaders = map[string][]keyturn.HeaderValue{"X-A": keyturn.Texts("1")}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+r.Header.Get("X-A"))
	})
	reply, err = send(t, newCaller(t, false), in)
	require.NoError(t, err)
	require.Equal(t, "Bearer tok1", string(reply.Body))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	trap, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, in := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, status) })
		in.Auth = keyturn.Auth{Type: "basic", Username: "shop", Password: secretOf("pw")}
		reply, err := send(t, newCaller(t, false), in)
		require.NoError(t, err)
		require.Equal(t, status, reply.Status)
		require.Equal(t, keyturn.KindBadReply, endpoint.Judge(in, "create", 1, reply).Kind)
	}
}

func TestBrokenReplies(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"no reply in time": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the caller left
			<-r.Context().Done()
		},
		"cut before reply":  func(w http.ResponseWriter, _ *http.Request) { cut(w, "") },
		"cut in the header": func(w http.ResponseWriter, _ *http.Request) { cut(w, "HTTP/1.1 200 OK\r\nContent-Le") },
		"cut in the body": func(w http.ResponseWriter, _ *http.Request) {
			cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"key\":\"K")
		},
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) { cut(w, "SSH-2.0-OpenSSH\r\n\r\n") },
		"huge header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Huge", strings.Repeat("a", 100<<10))
		},
		"endless 1xx": func(w http.ResponseWriter, _ *http.Request) {
			cut(w, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10))
		},
		"dripping body": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		},
		"broken gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "not gzip at all")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, in := serve(t, h)
			in.Limits.Timeout = keyturn.Duration(300 * time.Millisecond)
			start := time.Now()
			_, err := send(t, newCaller(t, false), in)
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
			require.False(t, endpoint.NotSent(err))
			require.NotContains(t, err.Error(), "127.0.0.1")
			require.NotContains(t, err.Error(), "SSH")
			require.Less(t, time.Since(start), 2*time.Second)
		})
	}
}

func TestReplyCap(t *testing.T) {
	t.Parallel()
	_, in := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		block := make([]byte, 1<<20)
		for range 64 { // 64 MiB in about 64 KiB
			_, _ = z.Write(block)
		}
		_ = z.Close()
	})
	in.Limits.MaxReplyBytes = 4 << 10
	reply, err := send(t, newCaller(t, false), in)
	require.NoError(t, err)
	require.True(t, reply.Truncated)
	require.Len(t, reply.Body, 4<<10)
	require.Equal(t, keyturn.KindBadReply, endpoint.Judge(in, "create", 1, reply).Kind)

	_, in = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("a", 4<<10)) })
	in.Limits.MaxReplyBytes = 4 << 10
	reply, err = send(t, newCaller(t, false), in)
	require.NoError(t, err)
	require.False(t, reply.Truncated) // exactly the cap is not too much
}

// A server that switches protocols keeps the connection, which no deadline of a reply's body ends: it is not read.
func TestSwitchedProtocolsAreNotRead(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	_, in := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
		<-done
	})
	in.Limits.Timeout = keyturn.Duration(time.Second)
	reply, err := send(t, newCaller(t, false), in)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, reply.Status)
	require.Equal(t, keyturn.KindBadReply, endpoint.Judge(in, "create", 1, reply).Kind)
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	s, in := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	closed := in
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.BaseURL = "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	disabled := in
	disabled.Status = "Disable"
	for _, c := range []struct {
		name       string
		in         keyturn.Integration
		req        endpoint.Request
		production bool
		kind       keyturn.Kind
	}{
		{"nobody listens", closed, request(t, closed), false, keyturn.KindUnavailable},
		{"switched off", disabled, request(t, in), false, keyturn.KindUnavailable},
		{"plain http in production", in, request(t, in), true, keyturn.KindConfiguration},
		{"another port", closed, request(t, in), false, keyturn.KindConfiguration},
		{"no URL", in, endpoint.Request{}, false, keyturn.KindConfiguration},
		{
			"user name in URL", in,
			endpoint.Request{URL: strings.Replace(s.URL, "http://", "http://u:p@", 1)},
			false,
			keyturn.KindConfiguration,
		},
		{
			"loopback in production",
			keyturn.Integration{ID: "x", BaseURL: "https://127.0.0.1:9"},
			endpoint.Request{URL: "https://127.0.0.1:9/x"},
			true, keyturn.KindConfiguration,
		},
		{
			"a name for loopback in production",
			keyturn.Integration{ID: "x", BaseURL: "https://localhost:9"},
			endpoint.Request{URL: "https://localhost:9/x"},
			true, keyturn.KindConfiguration,
		},
		{
			"metadata in development",
			keyturn.Integration{ID: "x", BaseURL: "http://169.254.169.254"},
			endpoint.Request{URL: "http://169.254.169.254/x"},
			false, keyturn.KindConfiguration,
		},
		{
			"mapped private address",
			keyturn.Integration{ID: "x", BaseURL: "http://[::ffff:10.0.0.1]"},
			endpoint.Request{URL: "http://[::ffff:10.0.0.1]/x"},
			false, keyturn.KindConfiguration,
		},
		{
			"plain server",
			keyturn.Integration{ID: "x", BaseURL: strings.Replace(s.URL, "http:", "https:", 1)},
			endpoint.Request{URL: strings.Replace(s.URL, "http:", "https:", 1)},
			false, keyturn.KindUnavailable,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := newCaller(t, c.production).Send(t.Context(), c.in, 1, c.req)
			require.Equal(t, c.kind, keyturn.KindOf(err), "%v", err)
			require.True(t, endpoint.NotSent(err), "%v", err)
		})
	}
	require.False(t, endpoint.NotSent(nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newCaller(t, false).Send(ctx, in, 1, request(t, in))
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, endpoint.NotSent(err))
}

// The library would repeat a request with an Idempotency-Key by itself when a kept connection breaks. Each send must be
// an attempt that somebody recorded.
func TestNoHiddenSecondSend(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	_, in := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if seen.Add(1) > 1 {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		}
	})
	in.HTTPHeaders = map[string][]keyturn.HeaderValue{"Idempotency-Key": keyturn.Texts("x")}
	c := newCaller(t, false)
	_, err := send(t, c, in)
	require.NoError(t, err)
	_, err = send(t, c, in)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.False(t, endpoint.NotSent(err))
	require.EqualValues(t, 2, seen.Load())
}

func serveTLS(t *testing.T, config *tls.Config) keyturn.Integration {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{}`)
	}))
	s.TLS, s.Config.ErrorLog = config, discardLog
	s.StartTLS()
	t.Cleanup(s.Close)
	return keyturn.Integration{ID: "acme", BaseURL: s.URL, AllowedNetworks: []string{"127.0.0.0/8"}}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	c := newCaller(t, false)
	good := serveTLS(t, ours.serverConfig(t, nil))
	trusting := good
	trusting.TLS.CA = ours.pem
	_, err := send(t, c, trusting)
	require.NoError(t, err)

	refused := func(name string, in keyturn.Integration) {
		in.ID = name
		_, err := send(t, c, in)
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), name)
		require.True(t, endpoint.NotSent(err), name)
	}
	refused("another partner's CA is not trusted here", good)
	other := good
	other.TLS.CA = theirs.pem
	refused("wrong CA", other)
	withCA := func(in keyturn.Integration) keyturn.Integration { in.TLS.CA = ours.pem; return in }
	refused("expired", withCA(serveTLS(t, ours.serverConfig(t, func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(-time.Minute)
	}))))
	refused("another host", withCA(serveTLS(t, ours.serverConfig(t, func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)}
	}))))
	oldTLS := ours.serverConfig(t, nil)
	oldTLS.MaxVersion = tls.VersionTLS11
	refused("TLS 1.1", withCA(serveTLS(t, oldTLS)))
	broken := good
	broken.TLS.CA, broken.ID = "junk", "broken"
	_, err = send(t, c, broken)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := ca.serverConfig(t, nil)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	config.ClientCAs.AddCert(ca.cert)
	in := serveTLS(t, config)
	in.TLS.CA = ca.pem
	c := newCaller(t, false)
	_, err := send(t, c, in)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	cert, key := ca.issue(t, nil)
	in.TLS.ClientCert, in.TLS.ClientKey = cert, secretOf(key)
	_, err = c.Send(t.Context(), in, 2, request(t, in)) // a new version: rotated while lines are retrying
	require.NoError(t, err)
	in.TLS.ClientKey = &keyturn.SecretRef{Set: true}
	_, err = c.Send(t.Context(), in, 3, request(t, in))
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
}

func TestConnectionsAreKeptPerVersion(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	addresses := map[string]bool{}
	_, in := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		addresses[r.RemoteAddr] = true
		mu.Unlock()
	})
	c := newCaller(t, false)
	for _, version := range []int64{1, 1, 1, 2, 2, 3} {
		_, err := c.Send(t.Context(), in, version, request(t, in))
		require.NoError(t, err)
	}
	require.Len(t, addresses, 3)
	req, errs := request(t, in), make(chan error, 20)
	for i := range cap(errs) {
		go func() { _, err := c.Send(t.Context(), in, int64(i%2), req); errs <- err }()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

// authServer is an authorisation server that gives tokens t1, t2, … and counts what it was asked.
func authServer(t *testing.T, basicOnly bool, lifetime int) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, isBasic := r.BasicAuth()
		if !isBasic {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if isBasic != basicOnly || id != "id" || secret != "TOPSECRET" ||
			r.PostFormValue("grant_type") != "client_credentials" ||
			r.PostFormValue("scope") != "a b" || r.PostFormValue("audience") != "x" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(
			w, `{"access_token":"t`+strconv.Itoa(
				int(asked.Add(1)))+`","token_type":"Bearer","expires_in":`+strconv.Itoa(lifetime)+`}`)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/token", asked
}

func TestOAuth2(t *testing.T) {
	t.Parallel()
	for _, basicOnly := range []bool{true, false} {
		tokenURL, asked := authServer(t, basicOnly, 3600)
		var revoked atomic.Value
		revoked.Store("")
		_, in := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == revoked.Load() {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		})
		in.Auth = keyturn.Auth{
			Type: "oauth2ClientCredentials", ClientID: "id", ClientSecret: secretOf("TOPSECRET"), TokenURL: tokenURL,
			Scopes: []string{"a", "b"}, Values: map[string][]string{"audience": {"x"}},
		}
		require.NoError(t, endpoint.Check(in, false))
		c := newCaller(t, false)
		req, replies := request(t, in), make(chan string, 8)
		for range cap(replies) {
			go func() { reply, err := c.Send(t.Context(), in, 1, req); replies <- fmt.Sprint(string(reply.Body), err) }()
		}
		for range cap(replies) {
			require.Equal(t, "Bearer t1<nil>", <-replies)
		}
		require.EqualValues(t, 1, asked.Load()) // one fetch for all
		revoked.Store("Bearer t1")
		reply, err := send(t, c, in)
		require.NoError(t, err)
		require.Equal(t, "Bearer t2", string(reply.Body))
		revoked.Store("Bearer t2")
		in.Auth.ClientSecret = secretOf("wrong") // and the server refuses: the partner's 401 is the answer
		reply, err = send(t, c, in)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, reply.Status)
		_, err = c.Send(t.Context(), in, 2, request(t, in))
		require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
		require.True(t, endpoint.NotSent(err))
		require.NotContains(t, err.Error(), "invalid_client")
	}
}

func TestOAuth2ShortLivedAndBroken(t *testing.T) {
	t.Parallel()
	tokenURL, asked := authServer(t, true, 20) // shorter than the slack: never kept
	_, in := serve(t, func(http.ResponseWriter, *http.Request) {})
	in.Auth = keyturn.Auth{
		Type: "oauth2ClientCredentials", ClientID: "id", ClientSecret: secretOf("TOPSECRET"), TokenURL: tokenURL,
		Scopes: []string{"a", "b"}, Values: map[string][]string{"audience": {"x"}},
	}
	c := newCaller(t, false)
	for range 3 {
		_, err := send(t, c, in)
		require.NoError(t, err)
	}
	require.EqualValues(t, 3, asked.Load())
	for body, kind := range map[string]keyturn.Kind{
		`<html>`: keyturn.KindBadReply, `{"access_token":"a\nb"}`: keyturn.KindBadReply,
		`{}`: keyturn.KindBadReply, `{"access_token":"a","token_type":"mac"}`: keyturn.KindBadReply,
	} {
		s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		in.Auth.TokenURL = s.URL
		_, err := send(t, newCaller(t, false), in)
		require.Equal(t, kind, keyturn.KindOf(err), body)
		require.True(t, endpoint.NotSent(err))
	}
	in.Auth.TokenURL = "http://169.254.169.254/token" // the same guard
	_, err := send(t, newCaller(t, false), in)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
}

// A header's secret is not in the request that is stored: every attempt sends the one of its day.
func TestSecretHeadersAreAddedWhenSending(t *testing.T) {
	t.Parallel()
	var seen http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	t.Cleanup(s.Close)
	secretHeader := func(text string) []keyturn.HeaderValue {
		return []keyturn.HeaderValue{{SecretRef: keyturn.SecretRef{Value: text}}}
	}
	in := keyturn.Integration{
		ID: "acme", BaseURL: s.URL, HTTPHeaders: map[string][]keyturn.HeaderValue{
			"X-Api-Key": secretHeader("first"),
			"X-Shop":    secretHeader("a"),
		},
		Operations: map[string]keyturn.Operation{"create": {
			HTTPHeaders: map[string][]keyturn.HeaderValue{"x-shop": keyturn.Texts("{{.Operation}}")},
		}},
	}
	req, err := endpoint.Render(in, "create", order())
	require.NoError(t, err)
	stored, err := json.Marshal(req)
	require.NoError(t, err)
	require.NotContains(t, string(stored), "first")
	require.Equal(t, map[string]string{"X-Api-Key": "httpHeaders.X-Api-Key"}, req.SecretHeaders)
	c := newCaller(t, false)
	for version, key := range []string{"first", "rotated"} {
		in.HTTPHeaders["X-Api-Key"] = secretHeader(key)
		_, err = c.Send(t.Context(), in, int64(version), req)
		require.NoError(t, err)
		require.Equal(t, []string{key}, seen["X-Api-Key"])
		require.Equal(t, []string{"create"}, seen["X-Shop"], "the operation's wins")
	}
	require.NotContains(t, req.Header, "X-Api-Key")
	in.HTTPHeaders["X-Api-Key"] = []keyturn.HeaderValue{{SecretRef: keyturn.SecretRef{Set: true}}}
	_, err = c.Send(t.Context(), in, 9, req)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.True(t, endpoint.NotSent(err))
	delete(in.HTTPHeaders, "X-Api-Key")
	_, err = c.Send(t.Context(), in, 10, req)
	require.NoError(t, err)
	require.NotContains(t, seen, "X-Api-Key", "gone from the catalog")
}
