package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

func TestWhoDoesNotKnowTheLinkLearnsNothing(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool, CustomerMayRefund: true}, canary+"-1", canary+"-2")
	mine, theirs := s.buy("en", "acme"), s.buy("en", "acme")
	theirs.deliver(0)
	unknown := "/o/AAAAAAAAAAAAAAAAAAAAAAAA"
	strip := func(r reply) string { return regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(r.body, "") }
	want := strip(s.ask(http.MethodGet, unknown, nil))
	require.Contains(t, want, "This page does not exist")
	for i, tc := range []struct{ method, path string }{
		{"GET", "/o/"},
		{"GET", "/o/x"},
		{"GET", "/o/" + strings.Repeat("a", 3000)},
		{"GET", "/o/%00"},
		{"GET", "/o/%ff%fe"},
		{"GET", "/o/a/b"},
		{"GET", mine.path + "/"},
		{"GET", mine.path + "?page=0"},
		{"GET", mine.path + "?page=-1"},
		{"GET", mine.path + "?page=2"},
		{"GET", mine.path + "?page=9223372036854775807"},
		{"GET", mine.path + "?page=99999999999999999999"},
		{"GET", mine.path + "?page=x"},
		{"POST", mine.path},
		{"POST", mine.path + "/lines/x/keys"},
		{"POST", mine.path + "/lines/%00/keys"},
		{"POST", mine.path + "/lines/" + mine.lines[0] + "/supply"},
		{"POST", unknown + "/lines/" + theirs.lines[0] + "/keys"},
		{"POST", mine.path + "/lines/" + theirs.lines[0] + "/keys"},
		{"POST", mine.path + "/lines/" + theirs.lines[0] + "/refund"},
		{"POST", mine.path + "/files/" + theirs.lines[0] + "/1"},
		{"GET", mine.path + "/lines/" + theirs.lines[0] + "/keys"},
		{"GET", mine.path + "/lines/x/keys"},
	} {
		// Each from an address of its own: many from one are asked to wait.
		got := s.ask(tc.method, tc.path, nil, "X-Forwarded-For", "192.0.2."+strconv.Itoa(i+1))
		require.Equal(t, 404, got.status, "%s %s", tc.method, tc.path)
		require.Equal(t, want, strip(got), "%s %s", tc.method, tc.path)
	}
	require.Zero(t, s.count(`SELECT count(*) FROM access_log`))
	require.Contains(t, s.ask(http.MethodGet, unknown, nil, "Accept-Language", "fr-CH,en;q=0.5").shown(),
		"Cette page n’existe pas")
}

func TestErasedCustomersHaveNoPage(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	s.exec(`UPDATE customers SET data_key = NULL`)
	require.Equal(t, 404, o.get().status)
	require.Equal(t, 404, o.post(0, "keys", nil).status)
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	nonces := map[string]bool{}
	for name, got := range map[string]reply{
		"page": o.get(), "keys": o.post(0, "keys", nil), "unknown": s.ask(http.MethodGet, "/o/x", nil),
		"method":  s.ask(http.MethodPut, o.path, nil),
		"refused": s.ask(http.MethodPost, o.path+"/lines/"+o.lines[0]+"/keys", nil, "Sec-Fetch-Site", "cross-site"),
	} {
		h := got.header
		found := regexp.MustCompile(
			`^default-src 'none'; style-src 'nonce-([\w-]{24})'; script-src 'nonce-([\w-]{24})'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$`).
			FindStringSubmatch(h.Get("Content-Security-Policy"))
		require.NotNil(t, found, "%s: %s", name, h.Get("Content-Security-Policy"))
		require.Equal(t, strings.Count(got.body, "nonce="), strings.Count(got.body, `nonce="`+found[1]+`"`), name)
		require.False(t, nonces[found[1]], "a nonce is used once")
		nonces[found[1]] = true
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), name)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), name)
		require.Equal(t, "no-store", h.Get("Cache-Control"), name)
		require.Contains(t, h.Get("X-Robots-Tag"), "noindex", name)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), name)
		require.Empty(t, h.Values("Set-Cookie"), name)
		require.NotRegexp(t, `(src|href)="(https?:)?//`, got.body, "nothing comes from elsewhere")
		require.NotRegexp(t, `\son\w+=|style="`, got.body, "nothing that the policy would block")
	}
}

func TestOnlyOurOwnPagePosts(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	path := o.path + "/lines/" + o.lines[0] + "/keys"
	for _, tc := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"a browser of today", []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, 200},
		{"an older one, under our referrer policy", []string{"Origin", "null"}, 200},
		{"an older one that names us", []string{"Origin", s.server.URL}, 200},
		{"no browser", nil, 200},
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
		{"a neighbour", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another site of long ago", []string{"Origin", "https://evil.test"}, 403},
		{"nonsense", []string{"Origin", "://"}, 403},
	} {
		got := s.ask(http.MethodPost, path, nil, tc.headers...)
		require.Equal(t, tc.status, got.status, tc.name)
		require.Equal(t, tc.status == 200, strings.Contains(got.body, canary), tc.name)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		got := s.ask(method, path, nil)
		require.Equal(t, 405, got.status, method)
		require.Equal(t, "GET, HEAD, POST", got.header.Get("Allow"))
	}
	require.Equal(t, 400, s.ask(http.MethodPost, path, url.Values{"x": {strings.Repeat("x", 17<<10)}}).status,
		"our forms are small")
	require.Equal(t, 200, s.ask(http.MethodHead, o.path, nil).status)
}

func TestThePageLooksForNewsCheaply(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	first := o.get()
	require.Contains(t, first.body, `<noscript><meta http-equiv="refresh" content="5"></noscript>`)
	tag := first.header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Contains(t, first.body, `data-state="`+strings.Trim(tag, `"`)+`"`)
	same := s.ask(http.MethodGet, o.path, nil, "If-None-Match", tag)
	require.Equal(t, 304, same.status)
	require.Empty(t, same.body)
	o.deliver(0)
	require.Equal(t, 200, s.ask(http.MethodGet, o.path, nil, "If-None-Match", tag).status)

	old := s.buy("en", "acme")
	s.exec(`UPDATE orders SET created_at = now() - interval '1 hour' WHERE id = $1`, old.id)
	require.Contains(t, old.get().body, `data-refresh="30"`)
}

func TestLargeOrdersHavePages(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool, CustomerMayRefund: true}, canary+"-1", canary+"-2")
	s.sold(keyturn.Product{ID: "endless", Sources: fromEndpoint})
	lines := make([]keyturn.LineItem, 5000)
	for i := range lines {
		lines[i] = keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: fmt.Sprintf("%d.00", i+1)}
	}
	lines[1] = keyturn.LineItem{ProductID: "endless", Quantity: 1, GrossPrice: "2.00"}
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en"}, lines...)
	o.deliver(0)
	o.deliver(4999)
	o.call(1, db.CallResult{Failed: &partnerDown})

	first := o.get()
	require.Equal(t, 200, strings.Count(first.body, `<li class="card line `))
	seen := tidy(first.shown())
	require.Contains(t, seen, "2 delivered 4997 being prepared 1 late")
	require.Contains(t, seen, "Page 1 of 25 Next page")
	require.Contains(t, first.body, `href="`+o.path+`?page=2"`)
	last := s.ask(http.MethodGet, o.path+"?page=25", nil)
	require.Contains(t, last.shown(), "5,000.00\u00a0EUR")
	require.NotContains(t, last.body, `rel="next"`)
	require.Equal(t, 404, s.ask(http.MethodGet, o.path+"?page=26", nil).status)

	keys := o.post(4999, "keys", nil)
	require.Contains(t, keys.body, canary, "the answer is the page on which the line stands")
	require.Contains(t, keys.body, "Page 25 of 25")
	require.Contains(t, keys.body, `href="`+o.path+`?page=25#line-`+o.lines[4999]+`"`)
}

func TestHostileTextStaysText(t *testing.T) {
	s := open(t)
	hostile := `</script><script>alert(1)</script>"><img src=x onerror=alert(1)>{{.}}`
	s.sold(keyturn.Product{ID: "acme", Name: hostile, Sources: fromEndpoint, CustomerMayRefund: true})
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en", FirstName: hostile},
		keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: "1.00"})
	o.call(0, db.CallResult{Failed: &partnerDown})
	for name, got := range map[string]reply{"page": o.get(), "question": o.post(0, "refund", nil)} {
		require.Equal(t, 200, got.status)
		require.NotContains(t, got.body, "<img", name)
		require.Equal(t, 1, strings.Count(got.body, "<script"), name)
		require.Contains(t, got.body, "&lt;/script&gt;&lt;script&gt;alert(1)", name)
	}
}
