package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// referrers are the Referer headers of requests.
type referrers struct {
	mu    sync.Mutex
	noted []string
}

func (r *referrers) note(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Referer() != "" {
		r.noted = append(r.noted, req.URL.Path+" from "+req.Referer())
	}
}

func (r *referrers) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noted
}

// choosing is a link whose customer has choices.
func choosing(l *keyturn.CheckoutLink) {
	l.Locale = "en"
	l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2}
	l.Offers.OnVisit = []keyturn.LinkOffer{{ID: "o1", Headline: "More", LineItem: keyturn.LinkLine{
		ProductID: "game", Name: "The Game Deluxe", UnitPrice: "15.00",
	}}}
}

func (c *checkoutShop) linkNow(id string) keyturn.LinkView {
	c.t.Helper()
	v, err := c.db.Link(c.t.Context(), id)
	require.NoError(c.t, err)
	return v
}

// A form that another site sends is refused, whatever it is about, and changes nothing.
func TestFormsOfOtherSitesChangeNothingAtACheckoutPage(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(choosing)
	_, body := c.do("GET", page, nil)
	version := c.version(body)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site", "Origin", c.origin},
		{"Sec-Fetch-Site", "Same-Origin"}, // as no browser writes it
		{"Origin", "https://evil.test"},
	} {
		for path, form := range map[string]url.Values{
			"/order":     ada(version),
			"/quantity":  {"version": {version}, "line": {"0"}, "quantity": {"2"}},
			"/offers/o1": {"version": {version}, "answer": {"accept"}},
			"/reopen":    {},
		} {
			resp, body := c.do("POST", page+path, form, headers...)
			require.Equal(t, 403, resp.StatusCode, "%s %v", path, headers)
			require.NotContains(t, body, "The Game")
		}
	}
	v := c.linkNow(id)
	require.Equal(t, keyturn.LinkOpen, v.Status)
	require.Empty(t, v.Payments)
	require.Equal(t, "10.00", v.Total)
	require.Equal(t, version, c.version(body))
}

// Whatever a form says, the link's prices, quantities and offers hold, and an older page buys nothing.
func TestTamperedFormsBuyWhatTheLinkSells(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(choosing)
	_, body := c.do("GET", page, nil)
	version := c.version(body)
	for _, form := range []url.Values{
		{"line": {"0"}, "quantity": {"0"}},
		{"line": {"0"}, "quantity": {"-1"}},
		{"line": {"0"}, "quantity": {"3"}},
		{"line": {"0"}, "quantity": {"99999999999999999999"}},
		{"line": {"0"}, "quantity": {"1.5"}},
		{"line": {"1"}, "quantity": {"1"}},
		{"line": {"-1"}, "quantity": {"1"}},
		{"quantity": {"1"}},
	} {
		form.Set("version", version)
		resp, _ := c.do("POST", page+"/quantity", form)
		require.Equal(t, 422, resp.StatusCode, form)
	}
	for _, path := range []string{"/offers/o2", "/offers/game", "/offers/o1"} {
		resp, _ := c.do("POST", page+path, url.Values{"version": {version}, "answer": {"free"}})
		require.Equal(t, 422, resp.StatusCode, path)
	}
	for _, old := range []string{"", "0", "-1", "999", "x"} {
		for path, form := range map[string]url.Values{
			"/order":     ada(old),
			"/quantity":  {"version": {old}, "line": {"0"}, "quantity": {"2"}},
			"/offers/o1": {"version": {old}, "answer": {"accept"}},
		} {
			resp, _ := c.do("POST", page+path, form)
			require.Equal(t, 409, resp.StatusCode, "%s of version %q", path, old)
		}
	}
	require.Empty(t, c.linkNow(id).Payments)
	require.Equal(t, "10.00", c.linkNow(id).Total)

	form := ada(version)
	for name, value := range map[string]string{
		"unitPrice": "0.01", "price": "0.01", "total": "0.01", "quantity": "2", "currency": "JPY", "offer": "o1",
		"productId": "free", "capture": "atOnce", "provider": "none", "id": "user-1", "customerId": "user-1",
		"street": "not asked for", "locale": "xx",
	} {
		form.Set(name, value)
	}
	resp, _ := c.do("POST", page+"/order", form)
	require.Equal(t, 303, resp.StatusCode)
	v := c.linkNow(id)
	require.Len(t, v.Payments, 1)
	require.Equal(t, "10.00", v.Payments[0].Total)
	require.Equal(t, "sandbox", v.Payments[0].Provider)
	_, _ = c.do("POST", resp.Header.Get("Location"), url.Values{"action": {"pay"}})
	_, _ = c.do("GET", page+"/return", nil)
	order, err := c.db.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "10.00", order.GrossPrice)
	require.Equal(t, 1, order.LineItems[0].Quantity)
	require.Equal(t, "The Game, 2026", order.LineItems[0].Name)
	payment, err := c.db.Payment(t.Context(), v.Payments[0].ID)
	require.NoError(t, err)
	require.Empty(t, payment.Snapshot.Customer.Street, "what the page does not ask for cannot be filled in")
	require.NotEqual(t, "user-1", payment.Snapshot.Customer.ID)
}

// Whoever reads the log cannot open the page, and the processor learns nothing of it that it is not told.
func TestTheAddressOfACheckoutPageIsInNoLog(t *testing.T) {
	c := openCheckoutShop(t)
	_, page := c.link(choosing)
	token := strings.TrimPrefix(page, "/c/")
	_, body := c.do("GET", page, nil)
	c.processors["sandbox"] = faulty{Processor: c.sandbox, err: errUnavailable}
	resp, _ := c.do("POST", page+"/order", ada(c.version(body)))
	require.Equal(t, 503, resp.StatusCode)
	_, _ = c.do("GET", page+"/return", nil)
	_, _ = c.do("POST", page+"/reopen", nil)
	_, _ = c.do("GET", page+"/nothing", nil)
	_, _ = c.do("DELETE", page, nil)
	require.NotEmpty(t, c.logged.String(), "something went wrong, and the log says so")
	require.NotContains(t, c.logged.String(), token)
	for _, path := range []string{page, page + "/return", page + "/order"} {
		resp, _ := c.do("GET", path, nil)
		require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"), path)
	}
}

// faulty is a processor that opens no session and ends none.
type faulty struct {
	payment.Processor

	err error
}

var errUnavailable = keyturn.Errorf(keyturn.KindUnavailable, "the processor did not answer: %w", errors.New("time-out"))

func (f faulty) Open(context.Context, payment.Opening) (keyturn.ProcessorState, error) {
	return keyturn.ProcessorState{}, f.err
}

func (f faulty) Expire(context.Context, payment.Ref) (keyturn.ProcessorState, error) {
	return keyturn.ProcessorState{}, f.err
}

// What the page says when it refuses is told in docs/use/checkout-links.md, row by row.
func TestWhatTheCheckoutPageSaysWhenItRefuses(t *testing.T) {
	docs, err := os.ReadFile("../docs/use/checkout-links.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(docs), "## What the page says when it refuses")
	require.True(t, found)
	table, _, _ := strings.Cut(after, "\n## ")
	rows := map[string][]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 5 && strings.Trim(cells[2], " 0123456789") == "" {
			rows[strings.TrimSpace(cells[1])] = cells[2:4]
		}
	}
	c := openCheckoutShop(t)
	_, _, err = c.db.PutShop(t.Context(), keyturn.Shop{Legal: keyturn.Legal{Contact: "help@shop.test"}})
	require.NoError(t, err)
	try := func(what string, change func(*keyturn.CheckoutLink), do func(page, version string) (*http.Response, string)) {
		t.Helper()
		row := rows[what]
		require.NotNil(t, row, "docs/use/checkout-links.md does not tell of: %s", what)
		delete(rows, what)
		_, page := c.link(func(l *keyturn.CheckoutLink) {
			choosing(l)
			if change != nil {
				change(l)
			}
		})
		_, body := c.do("GET", page, nil)
		resp, body := do(page, c.version(body))
		require.Equal(t, strings.TrimSpace(row[0]), resp.Status[:3], what)
		require.Contains(t, body, strings.TrimSpace(row[1]), what)
	}
	order := func(page, version string, change func(url.Values)) (*http.Response, string) {
		form := ada(version)
		if change != nil {
			change(form)
		}
		return c.do("POST", page+"/order", form)
	}
	try("a detail that is missing or wrong", nil, func(page, version string) (*http.Response, string) {
		return order(page, version, func(f url.Values) { f.Set("email", "ada") })
	})
	try("no agreement to immediate delivery", nil, func(page, version string) (*http.Response, string) {
		return order(page, version, func(f url.Values) { f.Del("consent") })
	})
	try("a quantity out of its range", nil, func(page, version string) (*http.Response, string) {
		return c.do("POST", page+"/quantity", url.Values{"version": {version}, "line": {"0"}, "quantity": {"3"}})
	})
	try("a line or an offer that the link does not have", nil, func(page, version string) (*http.Response, string) {
		return c.do("POST", page+"/quantity", url.Values{"version": {version}, "line": {"7"}, "quantity": {"1"}})
	})
	try("a page that is older than the last change", nil, func(page, _ string) (*http.Response, string) {
		return order(page, "0", nil)
	})
	_, _, err = c.db.PutPool(t.Context(), keyturn.Pool{ID: "empty"})
	require.NoError(t, err)
	_, _, err = c.db.PutProduct(t.Context(), keyturn.Product{
		ID: "rare", Name: "Rare", Sources: []keyturn.Source{keyturn.FromPool("empty")},
		Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	require.NoError(t, err)
	try("a product that is not sold while nothing can deliver it (`sell` in the catalog)",
		func(l *keyturn.CheckoutLink) { l.LineItems[0].ProductID = "rare" },
		func(page, version string) (*http.Response, string) { return order(page, version, nil) })
	try("a sixth payment", nil, func(page, version string) (*http.Response, string) {
		for range keyturn.MaxLinkPayments {
			resp, body := order(page, version, nil)
			require.Equal(t, 303, resp.StatusCode, body)
			_, _ = c.do("POST", page+"/reopen", nil)
			if _, body = c.do("GET", page, nil); strings.Contains(body, `id="order"`) {
				version = c.version(body)
			}
		}
		_, body := c.do("GET", page, nil)
		require.NotContains(t, body, "<form", "there is nothing to fill in")
		require.Contains(t, body, "The Game, 2026")
		require.Equal(t, 2, strings.Count(body, "mailto:help@shop.test"), "whom to ask, above what was bought and below")
		return order(page, version, nil)
	})
	try("a payment that the provider refuses", nil, func(page, version string) (*http.Response, string) {
		c.processors["sandbox"] = faulty{c.sandbox, keyturn.Errorf(keyturn.KindRejected, "no such account")}
		defer func() { c.processors["sandbox"] = c.sandbox }()
		return order(page, version, nil)
	})
	try("a provider that does not answer", nil, func(page, version string) (*http.Response, string) {
		c.processors["sandbox"] = faulty{c.sandbox, errUnavailable}
		defer func() { c.processors["sandbox"] = c.sandbox }()
		return order(page, version, nil)
	})
	try("an address that is no page's", nil, func(string, string) (*http.Response, string) {
		return c.do("GET", "/c/unknown", nil)
	})
	try("a form of another site", nil, func(page, version string) (*http.Response, string) {
		return c.do("POST", page+"/order", ada(version), "Sec-Fetch-Site", "cross-site")
	})
	require.Empty(t, rows, "these are told, and nothing shows that they are so")
}
