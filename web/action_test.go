package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/stock"
)

func TestKeysAreShownOnRequestAndRecorded(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+`-<b>&"1"</b>`, canary+"-2", canary+"-3")
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en"},
		keyturn.LineItem{ProductID: "acme", Quantity: 2, GrossPrice: "59.98"},
		keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: "29.99"})
	require.Equal(t, 409, o.post(0, "keys", nil).status, "nothing to show yet")
	o.deliver(0)
	o.deliver(1)
	require.Contains(t, o.get().body, "Show my keys")
	require.Zero(t, s.count(`SELECT count(*) FROM access_log`), "looking at the page is not looking at the keys")

	got := o.post(0, "keys", nil)
	require.Equal(t, 200, got.status)
	require.Contains(t, got.body, "<code>"+canary+"-&lt;b&gt;&amp;&#34;1&#34;&lt;/b&gt;</code>", "a key is text")
	require.Contains(t, got.body, canary+"-2")
	require.NotContains(t, got.body, canary+"-3", "of that line only")
	require.NotContains(t, got.body, "data-refresh=", "a page with keys stays as it is")
	require.NotContains(t, got.body, "http-equiv")
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Empty(t, got.header.Get("ETag"))
	require.Equal(
		t, 1, s.count(
			`SELECT count(*) FROM access_log a JOIN line_items l ON l.id = a.line_id WHERE a.by = 'customer' AND a.what = 'keys' AND l.fulfillment_id = $1`, o.lines[0]))

	back := s.ask(http.MethodGet, o.path+"/lines/"+o.lines[0]+"/keys", nil)
	require.Equal(t, 303, back.status, "a reload by address leads back to the page")
	require.Equal(t, o.path+"#line-"+o.lines[0], back.header.Get("Location"))
	require.NotContains(t, s.logged.String(), canary)
}

func TestKeysOfACancelledLineAreNotShown(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1", canary+"-2")
	o := s.buy("en", "acme")
	o.deliver(0)
	require.NoError(t, s.db.CancelOrder(t.Context(), o.id, "fraud"))
	got := o.post(0, "keys", nil)
	require.Equal(t, 409, got.status)
	require.Contains(t, got.body, "There is nothing to show for this item now.")
	require.NotContains(t, got.body, canary)
}

func TestLinksAndFiles(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromEndpoint})
	good, bad := s.buy("en", "acme"), s.buy("en", "acme")
	good.call(0, db.CallResult{
		Links: []string{"https://partner.test/activate?" + canary},
		Files: []db.File{{Name: "../..\\évil\r\n\"name.lic", ContentType: "text/html", Data: []byte("<script>" + canary)}},
	})
	good.send(0, nil, true)
	bad.call(0, db.CallResult{Links: []string{"javascript:alert('" + canary + "')"}})
	bad.send(0, nil, true)

	got := good.post(0, "keys", nil)
	require.Contains(t, got.body, `<a href="https://partner.test/activate?`+canary+`" rel="noopener noreferrer">`)
	link := good.path[len("/o/"):]
	link = "/o/" + link + "/files/" + good.lines[0] + "/1"
	require.Contains(t, got.body, `action="`+link+`"`)
	require.NotContains(t, bad.post(0, "keys", nil).body, "href=\"javascript", "what is no https link is text")

	file := s.ask(http.MethodPost, link, nil)
	require.Equal(t, 200, file.status)
	require.Equal(t, "<script>"+canary, file.body)
	require.Equal(t, "application/octet-stream", file.header.Get("Content-Type"), "whatever the partner calls it")
	require.Equal(t, "nosniff", file.header.Get("X-Content-Type-Options"))
	require.Equal(t, "attachment; filename*=utf-8''%C3%A9vilname.lic",
		strings.ReplaceAll(file.header.Get("Content-Disposition"), "%0D%0A", "?"))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE what = 'file'`))

	require.Equal(t, 303, s.ask(http.MethodGet, link, nil).status, "no GET gives a file")
	for _, n := range []string{"0", "2", "-1", "x", "99999999999999999999"} {
		require.Equal(t, 404, s.ask(http.MethodPost, strings.TrimSuffix(link, "1")+n, nil).status, n)
	}
}

var decisionField = regexp.MustCompile(`name="decision" value="([^"]+)"`)

// late is an order whose one line is late, of a product that the customer may stop waiting for.
func late(s *shop) order {
	s.t.Helper()
	s.sold(keyturn.Product{ID: "acme", Name: "Acme Pro", Sources: fromEndpoint, CustomerMayRefund: true})
	o := s.buy("en", "acme")
	o.call(0, db.CallResult{Failed: &partnerDown})
	return o
}

func (o order) question() url.Values {
	o.shop.t.Helper()
	got := o.post(0, "refund", nil)
	require.Equal(o.shop.t, 200, got.status)
	found := decisionField.FindStringSubmatch(got.body)
	require.NotNil(o.shop.t, found, got.body)
	return url.Values{"decision": {found[1]}}
}

func TestRefundMeNow(t *testing.T) {
	s := open(t)
	o := late(s)
	asked := o.post(0, "refund", nil)
	require.Contains(t, asked.shown(), "Stop waiting for Acme Pro and get 29.99\u00a0EUR back?")
	require.Contains(t, asked.body, "Yes, refund me")
	require.Zero(t, s.count(`SELECT count(*) FROM resolutions`), "asking decides nothing")

	form := o.question()
	got := o.post(0, "refund", form)
	require.Equal(t, 303, got.status)
	require.Equal(t, o.path+"#line-"+o.lines[0], got.header.Get("Location"))
	require.Contains(t, o.get().shown(), "We are sending 29.99\u00a0EUR back")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM resolutions WHERE by = 'customer' AND action = 'refund'`))

	require.Equal(t, 303, o.post(0, "refund", form).status, "pressing twice is one decision")
	require.Equal(t, 303, o.post(0, "refund", nil).status, "the button of an old page leads to the truth")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM resolutions`))
}

func TestRefundTellsTheTruthAboutWhatCameOfIt(t *testing.T) {
	conflict := keyturn.Errorf(keyturn.KindConflict, "INTERNAL words")
	for _, tc := range []struct {
		name    string
		resolve func(o order) (keyturn.Next, error)
		status  int
		says    string
	}{
		{"somebody delivers at this moment", func(order) (keyturn.Next, error) {
			return keyturn.Next{}, conflict
		}, 409, "This was not possible at this moment"},
		{"it was delivered meanwhile", func(o order) (keyturn.Next, error) {
			o.call(0, db.CallResult{Codes: []keyturn.Secret{canary}})
			o.send(0, nil, true)
			return keyturn.Next{}, conflict
		}, 409, "This item cannot be refunded here now."},
		{"nobody knows", func(order) (keyturn.Next, error) {
			return keyturn.Next{}, errors.New("INTERNAL words")
		}, 503, "We could not find out in time"},
		{"it worked, the answer was lost", func(o order) (keyturn.Next, error) {
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
			return keyturn.Next{}, errors.New("INTERNAL words")
		}, 303, ""},
		{"it begins later", func(order) (keyturn.Next, error) {
			return keyturn.Next{Status: keyturn.LineRetrying}, nil
		}, 200, "We have your decision."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			o := late(s)
			s.resolve = func(_ context.Context, id string, r keyturn.Resolution) (keyturn.Next, error) {
				require.Equal(t, o.lines[0], id)
				require.Equal(t, keyturn.ActionRefund, r.Action)
				require.Equal(t, "customer", r.By)
				require.NoError(t, r.Check())
				return tc.resolve(o)
			}
			got := o.post(0, "refund", o.question())
			require.Equal(t, tc.status, got.status)
			require.Contains(t, got.shown(), tc.says)
			require.NotContains(t, got.body, "INTERNAL")
			require.NotContains(t, got.body, canary)
		})
	}
}

func TestRefundIsNotOfferedWhereItWouldGiveKeyAndMoney(t *testing.T) {
	s := open(t)
	never := func(context.Context, string, keyturn.Resolution) (keyturn.Next, error) {
		t.Error("nothing may be decided")
		return keyturn.Next{}, nil
	}
	form := url.Values{"decision": {"0b0e3c5e-6d0c-4c39-9d6f-0f6a5f0f8d11"}}
	s.sold(keyturn.Product{ID: "no-policy", Sources: fromEndpoint})
	s.sold(keyturn.Product{ID: "allowed", Sources: fromPool, CustomerMayRefund: true}, canary+"-1", canary+"-2")
	s.sold(keyturn.Product{ID: "bundle", Sources: fromEndpoint, CustomerMayRefund: true, OnGiveUp: keyturn.CancelOrder})

	notAllowed := s.buy("en", "no-policy")
	notAllowed.call(0, db.CallResult{Failed: &partnerDown})
	inTime := s.buy("en", "allowed")
	delivered := s.buy("en", "allowed")
	delivered.deliver(0)
	mixed := s.buy("en", "bundle", "allowed")
	mixed.call(0, db.CallResult{Failed: &partnerDown})
	require.Contains(t, mixed.post(0, "refund", nil).body, "This cancels your whole order")
	mixed.deliver(1)

	s.resolve = never
	for name, o := range map[string]order{
		"the merchant does not allow it": notAllowed, "in time": inTime,
		"delivered": delivered, "it would take back a delivered line": mixed,
	} {
		got := o.post(0, "refund", form)
		require.Equal(t, 409, got.status, name)
		require.Contains(t, got.shown(), "This item cannot be refunded here now.", name)
		require.NotContains(t, o.get().body, "Refund me now", name)
	}
	bad := late(s)
	require.Equal(t, 400, bad.post(0, "refund", url.Values{"decision": {"made up"}}).status)
}

// A license block is shown as it is, and a key that is a link can be followed, if it leads to the web.
func TestKeysOfSeveralLinesAndLinksAreShown(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool})
	_, err := s.db.ImportFile(t.Context(), stock.ImportInput{
		Pool: fromPool[0].Pool, By: "test", CSV: true, Header: keyturn.HeaderNo,
		File: strings.NewReader("\"-----BEGIN <X>-----\r\n\r\nQUFB\r\n-----END <X>-----\"\n" +
			"https://acme.test/redeem?k=1&x=2\njavascript:alert(1)\n"),
	})
	require.NoError(t, err)
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en"},
		keyturn.LineItem{ProductID: "acme", Quantity: 3, GrossPrice: "59.97"})
	o.deliver(0)
	got := o.post(0, "keys", nil)
	require.Equal(t, 200, got.status)
	require.Contains(t, got.body,
		"<pre><code>-----BEGIN &lt;X&gt;-----\n\nQUFB\n-----END &lt;X&gt;-----</code></pre><button")
	require.Contains(t, got.body, `<code><a href="https://acme.test/redeem?k=1&amp;x=2" rel="noopener noreferrer">`+
		"https://acme.test/redeem?k=1&amp;x=2</a></code><button")
	require.Contains(t, got.body, "<code>javascript:alert(1)</code><button")
}
