package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/web"
)

// countingProcessor is the sandbox, and counts how often it is asked.
type countingProcessor struct {
	payment.Sandbox

	retrieved, expired atomic.Int64
}

func (p *countingProcessor) Retrieve(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	p.retrieved.Add(1)
	return p.Sandbox.Retrieve(ctx, ref)
}

func (p *countingProcessor) Expire(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	p.expired.Add(1)
	return p.Sandbox.Expire(ctx, ref)
}

// limited is the shop behind a proxy, with limits as small as a test needs.
func limited(t *testing.T) (*checkoutShop, *countingProcessor) {
	t.Helper()
	c := openCheckoutShop(t)
	p := &countingProcessor{Sandbox: c.sandbox}
	proxy := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	c.server.Config.Handler = web.New(web.Config{
		DB: c.db, ShopName: "Kiosk", Logger: slog.New(slog.DiscardHandler), Desk: &checkout.Desk{
			DB: c.db, Processors: payment.Processors{"sandbox": p}, Providers: payment.Providers{"sandbox": p},
			PublicURL: c.origin, Logger: slog.New(slog.DiscardHandler),
		},
		UnknownLinks: &throttle.Throttle{Trusted: proxy, Most: 3, Every: time.Hour},
		OrderPosts:   &throttle.Throttle{Trusted: proxy, Most: 2, Every: time.Hour},
	})
	return c, p
}

// from does a request for a client that the proxy names, in a language.
func (c *checkoutShop) from(client, language, method, path string, form url.Values) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, c.origin+path, strings.NewReader(form.Encode()))
	require.NoError(c.t, err)
	req.Header.Set("X-Forwarded-For", client)
	req.Header.Set("Accept-Language", language)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.client.Do(req)
	require.NoError(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(body), resp.Header
}

func TestWhoOrdersTooOftenIsAskedToWait(t *testing.T) {
	c, _ := limited(t)
	_, page := c.link(nil)
	for range 2 {
		status, _, _ := c.from("203.0.113.1", "en", "POST", page+"/order", url.Values{"email": {"ada"}})
		require.Equal(t, 422, status)
	}
	for language, says := range map[string]string{
		"en": "Please try again in 60 min.", "fr": "Veuillez réessayer dans 60 min.", "de": "in 60 min noch einmal",
	} {
		status, body, header := c.from("203.0.113.1", language, "POST", page+"/order", ada("1"))
		require.Equal(t, 429, status)
		require.Contains(t, body, says)
		require.NotEmpty(t, header.Get("Retry-After"))
	}
	status, _, _ := c.from("203.0.113.1", "en", "GET", page, nil)
	require.Equal(t, 200, status, "looking is allowed")
	status, _, _ = c.from("203.0.113.2", "en", "POST", page+"/order", ada("1"))
	require.Equal(t, 303, status, "others may order")
}

func TestWhoGuessesCheckoutLinksIsAskedToWait(t *testing.T) {
	c, _ := limited(t)
	_, page := c.link(nil)
	for range 3 {
		status, _, _ := c.from("2001:db8::1", "en", "GET", "/c/guess", nil)
		require.Equal(t, 404, status)
	}
	status, body, header := c.from("2001:db8::2", "en", "POST", "/c/guess/order", url.Values{})
	require.Equal(t, 429, status, "one holder of IPv6 has a /64")
	require.Contains(t, body, "Please try again in 60 min.")
	require.NotEmpty(t, header.Get("Retry-After"))
	status, _, _ = c.from("2001:db8::1", "en", "GET", page, nil)
	require.Equal(t, 200, status, "a right address is shown all the same")
	status, _, _ = c.from("2001:db8:0:1::1", "en", "GET", "/c/guess", nil)
	require.Equal(t, 404, status)
}

// Addresses that are no link's do not count as orders: who guesses takes nobody's turn.
func TestGuessesAreNoOrders(t *testing.T) {
	c, _ := limited(t)
	_, page := c.link(nil)
	for range 3 {
		status, _, _ := c.from("203.0.113.1", "en", "POST", "/c/guess/order", ada("1"))
		require.Equal(t, 404, status)
	}
	status, _, _ := c.from("203.0.113.1", "en", "POST", page+"/order", ada("1"))
	require.Equal(t, 303, status)
}

// However often somebody comes back from the processor, it is asked once in five seconds.
func TestAProcessorIsAskedOnceHoweverOftenSomebodyPresses(t *testing.T) {
	c, p := limited(t)
	_, page := c.link(nil)
	status, _, _ := c.from("203.0.113.1", "en", "POST", page+"/order", ada("1"))
	require.Equal(t, 303, status)
	for range 5 {
		status, _, _ = c.from("203.0.113.1", "en", "GET", page+"/return", nil)
		require.Equal(t, 303, status)
	}
	require.EqualValues(t, 1, p.retrieved.Load())
	status, body, header := c.from("203.0.113.2", "en", "POST", page+"/reopen", url.Values{})
	require.Equal(t, 429, status)
	require.Contains(t, body, "Please try again in 5 s.")
	require.Equal(t, "5", header.Get("Retry-After"))
	require.Zero(t, p.expired.Load())
}

// A link is begun to be paid five times; then the page says whom to ask, and the shop can allow five more.
func TestALinkIsPaidFiveTimesAtMost(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(nil)
	version := ""
	for range keyturn.MaxLinkPayments {
		_, body := c.do("GET", page, nil)
		require.NotContains(t, body, "too often")
		version = c.version(body)
		resp, _ := c.do("POST", page+"/order", ada(version))
		require.Equal(t, 303, resp.StatusCode)
		resp, _ = c.do("POST", page+"/reopen", nil)
		require.Equal(t, 303, resp.StatusCode)
	}
	_, body := c.do("GET", page, nil)
	require.Contains(t, body, "Please ask the shop for a new link")
	require.NotContains(t, body, `name="version"`, "there is no form that would be refused")
	resp, body := c.do("POST", page+"/order", ada(version))
	require.Equal(t, 429, resp.StatusCode)
	require.Contains(t, body, "Please ask the shop for a new link")

	for range 2 { // a repetition changes nothing
		require.NoError(t, c.db.ReopenLink(t.Context(), id, "ops", "the bank was asked"))
	}
	v, err := c.db.Link(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, keyturn.MaxLinkPayments, v.PaymentsLeft)
	_, body = c.do("GET", page, nil)
	resp, _ = c.do("POST", page+"/order", ada(c.version(body)))
	require.Equal(t, 303, resp.StatusCode)

	ended, _ := c.link(nil)
	require.NoError(t, c.db.CancelLink(t.Context(), ended, "test", "over"))
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(c.db.ReopenLink(t.Context(), ended, "ops", "why not")))
}
