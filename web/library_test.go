package web_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/web"
)

// libraryMails are the links that are due to be sent, by the address that they go to.
func (s *shop) libraryMails() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	due, err := s.db.DueLibraryMails(s.t.Context(), 100)
	require.NoError(s.t, err)
	for _, id := range due {
		mail, err := s.db.BeginLibraryMail(s.t.Context(), id, func(f db.LibraryMailFacts) ([]byte, error) {
			out[f.Customer.Email] = "/library/" + f.Token
			return []byte("a letter"), nil
		})
		require.NoError(s.t, err)
		if mail != nil {
			require.NoError(s.t, s.db.FinishLibraryMail(s.t.Context(), mail, nil))
		}
	}
	return out
}

// libraryLink asks for the library of an address on the page, and gives the link that is sent there.
func (s *shop) libraryLink(address string) string {
	s.t.Helper()
	got := s.ask(http.MethodPost, "/library", url.Values{"email": {address}})
	require.Equal(s.t, 200, got.status, got.body)
	link := s.libraryMails()[address]
	require.NotEmpty(s.t, link)
	return link
}

// cookieOf is what a browser sends back of an answer's cookie.
func cookieOf(r reply) string {
	cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	return cookie
}

// inLibrary opens the library of an address, and gives the browser's cookie.
func (s *shop) inLibrary(address string) string {
	s.t.Helper()
	got := s.ask(http.MethodPost, s.libraryLink(address), nil)
	require.Equal(s.t, 303, got.status, got.body)
	require.Equal(s.t, "/library/orders", got.header.Get("Location"))
	return cookieOf(got)
}

func TestALibraryShowsWhatWasBoughtAndPaid(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{
		ID: "acme", Name: "Acme Pro", Sources: fromPool, URLToInstructions: "https://acme.test/how",
		URLToDownload: "https://acme.test/get",
	}, canary+"-1")
	s.sold(keyturn.Product{ID: "filed", Name: "Acme Files", Sources: fromEndpoint})
	s.sold(keyturn.Product{ID: "late", Name: "Acme Late", Sources: byHand})
	first := s.buy("en", "acme", "filed", "late")
	first.deliver(0)
	first.call(1, db.CallResult{
		Files: []db.File{{Name: "a.lic", Data: []byte(canary)}}, Additional: map[string][]string{
			"expirationTimestamp": {time.Now().AddDate(1, 0, 0).Format(time.RFC3339)},
		},
	})
	first.send(1, nil, true)
	first.claim(2)
	first.decide(2, keyturn.Resolution{ID: "d1", Action: keyturn.ActionRefund})
	first.refunded(2)
	second := s.accept(
		keyturn.Customer{Email: "Jean@buyer.test", Locale: "fr", FirstName: "Jean", CompanyName: "Dupont SARL"},
		keyturn.LineItem{ProductID: "late", Quantity: 1, GrossPrice: "12.00"})
	other := s.accept(keyturn.Customer{Email: "eve@buyer.test", Locale: "en"},
		keyturn.LineItem{ProductID: "late", Quantity: 1, GrossPrice: "13.00"})

	require.Contains(t, s.ask("GET", "/library", nil).shown(), "Your purchases")
	require.Contains(t, s.ask("POST", "/library", url.Values{"email": {"jean"}}).shown(), "Please enter an e-mail address")
	link := s.libraryLink("Jean@buyer.test")
	require.Contains(t, s.ask("GET", link, nil, "Accept-Language", "de").shown(), "Meine Einkäufe zeigen")
	require.Contains(t, s.ask("GET", link, nil).shown(), "Show my purchases", "a scanner of mailboxes uses nothing up")
	got := s.ask("POST", link, nil)
	require.Equal(t, 303, got.status)
	cookie := got.header.Get("Set-Cookie")
	for _, part := range []string{"keyturn-library=", "HttpOnly", "SameSite=Strict", "Max-Age=1800", "Path=/;"} {
		require.Contains(t, cookie, part)
	}
	session := cookieOf(got)
	again := s.ask("GET", "/library", nil, "Cookie", session)
	require.Equal(t, "/library/orders", again.header.Get("Location"), "whoever has opened it needs no other link")
	list := s.ask("GET", "/library/orders", nil, "Cookie", session)
	require.Equal(t, 200, list.status)
	shown := list.shown()
	for _, part := range []string{
		first.id, second.id, "Acme Pro", "Acme Files", "Acme Late", "Delivered", "Refunded", "Total 89.97\u00a0EUR",
		"Paid 89.97\u00a0EUR", "Refunded 29.99\u00a0EUR", "Paid 12.00\u00a0EUR", "Licence " + first.lines[0],
		"running", "runs until ",
		"Download file 1",
		"How to activate it", "Download the product",
	} {
		require.Contains(t, shown, part)
	}
	require.NotContains(t, shown, other.id)
	require.Contains(t, list.body, `href="`+first.path+`#line-`+first.lines[0]+`"`)
	require.Less(t, strings.Index(shown, second.id), strings.Index(shown, first.id), "the newest comes first")
	file := s.fetch("POST", first.path+"/files/"+first.lines[1]+"/1", nil)
	require.Equal(t, canary, file.body)

	receipt := s.ask("GET", "/library/receipts/"+first.id, nil, "Cookie", session, "Accept-Language", "de").shown()
	for _, part := range []string{
		"Beleg " + first.id, "Acme Late", "Erstattet am ", "29,99\u00a0EUR", "Bezahlt 89,97\u00a0EUR",
		"keine Rechnung", "Jean",
	} {
		require.Contains(t, receipt, part)
	}
	require.Contains(t, s.ask("GET", "/library/receipts/"+second.id, nil, "Cookie", session).shown(), "Dupont SARL, Jean")
	require.Equal(t, 404, s.ask("GET", "/library/receipts/"+other.id, nil, "Cookie", session).status)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE subject LIKE 'library/%'`))

	closed := s.ask("POST", "/library/close", nil, "Cookie", session)
	require.Contains(t, closed.header.Get("Set-Cookie"), "Max-Age=0")
	over := s.ask("GET", "/library/orders", nil, "Cookie", session)
	require.Equal(t, 403, over.status)
	require.Contains(t, over.shown(), "ask for another link")
	require.NotContains(t, over.body, first.id)
	require.Contains(t, s.ask("POST", link, nil).shown(), "used already")
}

func TestTheLibrarysPagesSayTheSameToEverybody(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "late", Sources: byHand})
	o := s.buy("en", "late")
	strip := func(r reply) string { return regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(r.body, "") }
	ask := func(address string) string { return strip(s.ask("POST", "/library", url.Values{"email": {address}})) }
	want := ask("nobody@buyer.test")
	require.Contains(t, want, "within 15 minutes")
	for range 7 { // also when no more links are sent
		require.Equal(t, want, ask("jean@buyer.test"))
	}
	require.Len(t, s.libraryMails(), 1)

	unknown := strip(s.ask("GET", "/library/AAAAAAAAAAAAAAAAAAAAAAAA", nil))
	require.Contains(t, unknown, "This page does not exist")
	session := s.inLibraryOf(o)
	for i, tc := range []struct{ method, path string }{
		{"GET", "/library/"},
		{"GET", "/library/%00"},
		{"GET", "/library/" + strings.Repeat("a", 3000)},
		{"POST", "/library/guess"},
		{"GET", "/library/receipts/"},
		{"GET", "/library/receipts/" + o.id + "/x"},
		{"GET", "/library/receipts/none"},
		{"GET", "/library/receipts/%00"},
		{"GET", "/library/orders?after=guess"},
	} {
		got := s.ask(tc.method, tc.path, nil, "Cookie", session, "X-Forwarded-For", "192.0.2."+string(rune('1'+i)))
		require.Equal(t, 404, got.status, tc.path)
		require.Equal(t, unknown, strip(got), tc.path)
	}
}

// inLibraryOf opens the library of the order's address.
func (s *shop) inLibraryOf(o order) string {
	s.t.Helper()
	s.exec(`DELETE FROM library_links`)
	return s.inLibrary("jean@buyer.test")
}

func TestNoOtherSiteOpensALibraryAndNobodyGuessesOne(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "late", Sources: byHand})
	s.buy("en", "late")
	link := s.libraryLink("jean@buyer.test")
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.test"}} {
		require.Equal(t, 403, s.ask("POST", link, nil, header...).status)
		require.Equal(t, 403, s.ask("POST", "/library", url.Values{"email": {"jean@buyer.test"}}, header...).status)
	}
	session := cookieOf(s.ask("POST", link, nil))
	list := s.ask("GET", "/library/orders", nil, "Cookie", session)
	require.Equal(t, "no-store", list.header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", list.header.Get("Referrer-Policy"))
	require.Contains(t, list.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotContains(t, list.body, strings.TrimPrefix(session, "keyturn-library="))
	for range throttle.PerMinute {
		require.Equal(t, 403, s.ask("GET", "/library/orders", nil, "Cookie", "keyturn-library=guess").status)
	}
	require.Equal(t, 429, s.ask("GET", "/library/orders", nil, "Cookie", "keyturn-library=guess").status)
	require.Equal(t, 200, s.ask("GET", "/library/orders", nil, "Cookie", session).status, "nobody else waits")
}

// By https the cookie is one that no other host can set, and one client address asks for so many links.
func TestTheLibrarysCookieAndItsLimit(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "late", Sources: byHand})
	s.buy("en", "late")
	s.server.Config.Handler = web.New(web.Config{
		DB: s.db, Secure: true,
		LibraryPosts: &throttle.Throttle{
			Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Most: 2, Every: time.Hour,
		},
	})
	cookie := s.ask("POST", s.libraryLink("jean@buyer.test"), nil).header.Get("Set-Cookie")
	require.Contains(t, cookie, "__Host-keyturn-library=")
	require.Contains(t, cookie, "; Secure")
	ask := func(client string) int {
		return s.ask("POST", "/library", url.Values{"email": {"x@buyer.test"}}, "X-Forwarded-For", client).status
	}
	require.Equal(t, []int{200, 200, 429, 200}, []int{
		ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2"),
	})
}
