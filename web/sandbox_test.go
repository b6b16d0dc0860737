package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/web"
)

// till is the sandbox with its page on a server of its own.
type till struct {
	*shop
	payment.Sandbox
}

func openTill(t *testing.T) *till {
	t.Helper()
	s := open(t)
	x := &till{shop: s, Sandbox: payment.Sandbox{Sessions: s.db, PublicURL: "https://shop.test", Secret: s.db.SandboxSecret()}}
	s.server = httptest.NewServer(web.NewSandbox(web.SandboxConfig{DB: s.db, Sessions: x.Sandbox, ShopName: "The Shop"}))
	t.Cleanup(s.server.Close)
	return x
}

// session opens a session and gives the path of its page.
func (x *till) session(change func(*payment.Opening)) (ref payment.Ref, path string) {
	x.t.Helper()
	o := payment.Opening{
		Key: "open-" + uuid.NewString(), PaymentID: uuid.NewString(), OrderID: "ORD-1", Currency: "EUR",
		Total: keyturn.Money{Minor: 2998, Currency: "EUR"},
		Lines: []payment.OpeningLine{
			{Name: "Orbit <Editor>", UnitPrice: keyturn.Money{Minor: 1499, Currency: "EUR"}, Quantity: 2},
		},
		AuthorizeFirst: true, ExpiresAt: time.Now().Add(2 * time.Hour), ReturnURL: "https://shop.test/c/secret/return",
		BackURL: "https://shop.test/c/secret",
	}
	if change != nil {
		change(&o)
	}
	state, err := x.Open(context.Background(), o)
	require.NoError(x.t, err)
	return payment.Ref{SessionReference: state.SessionReference}, strings.TrimPrefix(state.URL, "https://shop.test")
}

func (x *till) press(path string, a keyturn.SandboxAction) reply {
	x.t.Helper()
	return x.ask(http.MethodPost, path, url.Values{"action": {string(a)}}, "Sec-Fetch-Site", "same-origin")
}

func (x *till) status(ref payment.Ref) keyturn.ProcessorStatus {
	x.t.Helper()
	state, err := x.Retrieve(context.Background(), ref)
	require.NoError(x.t, err)
	return state.Status
}

func TestWhatTheSandboxPageDoes(t *testing.T) {
	x := openTill(t)
	atOnce := func(o *payment.Opening) { o.AuthorizeFirst = false }
	for _, c := range []struct {
		name   string
		open   func(*payment.Opening)
		action keyturn.SandboxAction
		leads  string // empty: nowhere
		status keyturn.ProcessorStatus
	}{
		{"pay", nil, keyturn.SandboxPay, "https://shop.test/c/secret/return", keyturn.AtProcessorAuthorized},
		{"pay at once", atOnce, keyturn.SandboxPay, "https://shop.test/c/secret/return", keyturn.AtProcessorCaptured},
		{"pay late", nil, keyturn.SandboxPayLate, "https://shop.test/c/secret/return", keyturn.AtProcessorProcessing},
		{"cancel", nil, keyturn.SandboxCancel, "https://shop.test/c/secret", keyturn.AtProcessorOpen},
		{"decline", nil, keyturn.SandboxDecline, "", keyturn.AtProcessorOpen},
	} {
		ref, path := x.session(c.open)
		page := x.ask(http.MethodGet, path, nil)
		require.Equal(t, 200, page.status)
		for _, text := range []string{"Pay The Shop", "29.98", "Orbit &lt;Editor&gt;", "2 × ", "14.99", "ORD-1"} {
			require.Contains(t, page.body, text, c.name)
		}
		require.Equal(t, keyturn.AtProcessorOpen, x.status(ref), "looking changes nothing")
		got := x.press(path, c.action)
		if c.leads == "" {
			require.Equal(t, 402, got.status)
			require.Contains(t, got.body, "the payment was declined")
			require.Contains(t, got.body, `value="pay"`, "it can be tried again")
		} else {
			require.Equal(t, 303, got.status, c.name)
			require.Equal(t, c.leads, got.header.Get("Location"), c.name)
		}
		require.Equal(t, c.status, x.status(ref), c.name)
		if c.status == keyturn.AtProcessorOpen {
			continue
		}
		again := x.press(path, keyturn.SandboxCancel)
		require.Equal(t, "https://shop.test/c/secret/return", again.header.Get("Location"), "it is paid already")
		page = x.ask(http.MethodGet, path, nil)
		require.NotContains(t, page.body, "<button")
		require.Contains(t, page.body, `href="https://shop.test/c/secret/return"`)
	}
	_, path := x.session(func(o *payment.Opening) { o.AuthorizeOnly = true })
	require.NotContains(t, x.ask(http.MethodGet, path, nil).body, "pay-late")
}

func TestTheSandboxPageIsGuarded(t *testing.T) {
	x := openTill(t)
	ref, path := x.session(nil)
	page := x.ask(http.MethodGet, path, nil)
	policy := page.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "form-action 'self' https://shop.test")
	require.NotContains(t, policy, "script-src")
	require.Equal(t, "no-store", page.header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", page.header.Get("Referrer-Policy"))

	form := url.Values{"action": {"pay"}}
	require.Equal(t, 403, x.ask(http.MethodPost, path, form, "Sec-Fetch-Site", "cross-site").status)
	require.Equal(t, 403, x.ask(http.MethodPost, path, form, "Origin", "https://evil.test").status)
	require.Equal(t, 405, x.ask(http.MethodPut, path, form).status)
	require.Equal(t, 400, x.press(path, "capture").status)
	require.Equal(t, 404, x.ask(http.MethodGet, "/sandbox/pay/guessed", nil).status)
	require.Equal(t, 404, x.press("/sandbox/pay/guessed", keyturn.SandboxPay).status)
	require.Equal(t, 404, x.ask(http.MethodGet, "/sandbox/", nil).status)
	require.Equal(t, keyturn.AtProcessorOpen, x.status(ref))
}
