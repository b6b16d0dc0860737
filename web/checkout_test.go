package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/web"
)

// checkoutShop is a shop that sells by checkout links, in the sandbox.
type checkoutShop struct {
	*shop

	sandbox    payment.Sandbox
	processors payment.Processors
	desk       *checkout.Desk
	client     *http.Client // the customer's browser, without script; it follows no redirect
	origin     string
	referrers  referrers // what requests said of where they came from
}

func openCheckoutShop(t *testing.T) *checkoutShop {
	t.Helper()
	c := sells(t, open(t))
	_, _, err := c.db.PutPool(t.Context(), keyturn.Pool{ID: "p"})
	require.NoError(t, err)
	_, _, err = c.db.PutProduct(t.Context(), keyturn.Product{ID: "game", Name: "The Game", Sources: []keyturn.Source{
		keyturn.FromPool("p"),
	}})
	require.NoError(t, err)
	_, err = c.db.Import(t.Context(), "p", strings.NewReader(canary+"-1\n"+canary+"-2\n"), "test", false)
	require.NoError(t, err)
	return c
}

// sells has a shop sell by checkout links.
func sells(t *testing.T, s *shop) *checkoutShop {
	t.Helper()
	c := &checkoutShop{shop: s}
	c.origin = c.server.URL
	logger := slog.New(slog.NewTextHandler(c.logged, nil))
	c.sandbox = payment.Sandbox{Ledger: c.db, Sessions: c.db, PublicURL: "http://localhost:" + port(c.origin), Secret: []byte("of the test's own")}
	c.processors = payment.Processors{"sandbox": c.sandbox}
	c.desk = &checkout.Desk{
		DB: c.db, Processors: c.processors, Providers: payment.Providers{"sandbox": c.sandbox},
		PublicURL: c.origin, Logger: logger,
	}
	pages := http.NewServeMux()
	pages.Handle("/sandbox/", web.NewSandbox(web.SandboxConfig{
		Sessions: c.sandbox, DB: c.db, ShopName: "Kiosk", Logger: logger,
	}))
	pages.Handle("/", web.New(web.Config{
		DB: c.db, ShopName: "Kiosk", Logger: logger, Desk: c.desk, Resolve: c.db.Resolve, RenderKeys: c.render,
		Throttle: &throttle.Throttle{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	}))
	c.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.referrers.note(r)
		pages.ServeHTTP(w, r)
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c.client = &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// port is that of an address. The processor is at another origin than the page, on the same server.
func port(origin string) string { return origin[strings.LastIndex(origin, ":")+1:] }

// link makes a checkout link that sells the game for 10.00 EUR, changed by change, and gives the address of its page.
func (c *checkoutShop) link(change func(*keyturn.CheckoutLink)) (id, page string) {
	c.t.Helper()
	c.orders++
	key := "link-" + string(rune('a'+c.orders))
	hash := sha256.Sum256([]byte(key))
	link := keyturn.CheckoutLink{
		Currency: "EUR", LineItems: []keyturn.LinkLine{{ProductID: "game", Name: "The Game, 2026", UnitPrice: "10.00"}},
	}
	if change != nil {
		change(&link)
	}
	v, _, err := c.db.CreateLink(context.Background(), db.LinkInput{
		Link: link, Client: "shop", IdempotencyKey: key, RequestHash: hash[:],
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			l = l.WithDefaults(now, "sandbox")
			return l, l.Check(now, mail.CheckAddress, nil)
		},
	})
	require.NoError(c.t, err)
	return v.ID, "/c/" + c.db.LinkToken(v.ID)
}

func (c *checkoutShop) do(method, path string, form url.Values, headers ...string) (*http.Response, string) {
	c.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = c.origin + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, path, strings.NewReader(form.Encode()))
	require.NoError(c.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	require.NoError(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp, string(body)
}

// version is the page's, as its forms send it.
func (c *checkoutShop) version(body string) string {
	c.t.Helper()
	m := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(body)
	require.NotNil(c.t, m, body)
	return m[1]
}

// consentVersion is that of our own words in English.
var consentVersion = func() string {
	sum := sha256.Sum256([]byte("I want my order to be carried out at once, before the withdrawal period ends, and I " +
		"know that I lose my right of withdrawal when it is delivered."))
	return hex.EncodeToString(sum[:8])
}()

// ada is what a consumer fills in.
func ada(version string) url.Values {
	return url.Values{
		"version": {version}, "email": {"ada@buyer.test"}, "country": {"FR"}, "firstName": {"Ada"}, "consent": {consentVersion},
	}
}

// Whoever opens a link buys, without script: the page, the processor's page, and back.
func TestAPurchaseWithoutScript(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(nil)
	resp, body := c.do("GET", page, nil)
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, body, "The Game, 2026")
	require.Contains(t, body, "Order and pay")
	require.Contains(t, body, "You are charged only when your key is ready")
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "form-action 'self' "+c.sandbox.Origin())

	resp, body = c.do("POST", page+"/order", url.Values{"version": {c.version(body)}, "email": {"ada"}})
	require.Equal(t, 422, resp.StatusCode)
	require.Contains(t, body, "Please enter an e-mail address")
	require.Contains(t, body, "Please choose your country")
	without := ada(c.version(body))
	without.Del("consent")
	resp, body = c.do("POST", page+"/order", without)
	require.Equal(t, 422, resp.StatusCode)
	require.Contains(t, body, "Please agree to immediate delivery")
	require.Contains(t, body, "ada@buyer.test", "what was typed is kept")

	resp, _ = c.do("POST", page+"/order", ada(c.version(body)))
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	pay := resp.Header.Get("Location")
	require.Contains(t, pay, "/sandbox/pay/")
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "Go on to payment")
	own := c.client.Jar
	c.client.Jar = nil
	again, _ := c.do("POST", page+"/order", ada("1"))
	require.Equal(t, pay, again.Header.Get("Location"), "pressed twice, it is the same payment")
	require.Empty(t, again.Cookies(), "who comes second is not known as the one that ordered")
	c.client.Jar = own

	_, body = c.do("GET", pay, nil)
	require.Contains(t, body, "10.00")
	resp, _ = c.do("POST", pay, url.Values{"action": {"pay"}})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	resp, _ = c.do("GET", resp.Header.Get("Location"), nil)
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "Thank you for your order")
	require.Contains(t, body, "/o/"+c.db.PageToken(id))

	order, err := c.db.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "10.00", order.GrossPrice)
	link, err := c.db.LinkWithCustomer(t.Context(), id, "test")
	require.NoError(t, err)
	require.Equal(t, keyturn.LinkUsed, link.Status)
	require.Equal(t, keyturn.PaymentAuthorized, link.Payments[0].Status)

	require.Contains(t, body, "Your key comes by e-mail")
	require.NoError(t, c.db.Withdraw(t.Context(), c.db.PageToken(id)))
	_, body = c.do("GET", page, nil)
	require.NotContains(t, body, "Your key comes by e-mail", "no key comes any more")
	require.Contains(t, body, "On the page of your order you see where it stands.")
	require.Contains(t, body, "/o/"+c.db.PageToken(id))

	c.client.Jar = nil // somebody else, who was sent the link
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "This link has been used")
	require.NotContains(t, body, "/o/")
	require.NotContains(t, body, "ada@")
}

// Quantities and offers change what is bought; an older page changes nothing.
func TestChoosingOnTheCheckoutPage(t *testing.T) {
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "de-DE"
		l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2}
		l.Offers.OnVisit = []keyturn.LinkOffer{{ID: "o1", Headline: "Mehr Spiel", LineItem: keyturn.LinkLine{
			ProductID: "game", Name: "The Game Deluxe", UnitPrice: "15.00",
		}}}
		l.Customer = keyturn.Customer{Email: "jean@buyer.test", FirstName: "Jean"}
	})
	_, body := c.do("GET", page, nil)
	require.Contains(t, body, "Zahlungspflichtig bestellen")
	require.Contains(t, body, "Mehr Spiel")
	require.Contains(t, body, "j…@buyer.test")
	require.NotContains(t, body, "jean@buyer.test")
	require.NotContains(t, body, "Jean")
	old := c.version(body)
	resp, _ := c.do("POST", page+"/quantity", url.Values{"version": {old}, "line": {"0"}, "quantity": {"2"}})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "20,00")
	resp, body = c.do("POST", page+"/quantity", url.Values{"version": {old}, "line": {"0"}, "quantity": {"1"}})
	require.Equal(t, 409, resp.StatusCode)
	require.Contains(t, body, "20,00")
	resp, _ = c.do("POST", page+"/quantity", url.Values{"version": {c.version(body)}, "line": {"0"}, "quantity": {"3"}})
	require.Equal(t, 422, resp.StatusCode)
	resp, _ = c.do("POST", page+"/offers/o1", url.Values{"version": {c.version(body)}, "answer": {"accept"}})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "The Game Deluxe")
	require.Contains(t, body, "Rückgängig")
	resp, _ = c.do("POST", page+"/offers/o1", url.Values{"version": {c.version(body)}, "answer": {"undo"}})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "The Game, 2026")
	require.Contains(t, body, "20,00", "the quantity that was chosen before")
	resp, _ = c.do("POST", page+"/order", url.Values{
		"version": {c.version(body)}, "country": {"US"}, // no consumer of the European Union, and the rest is on file
	})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
}

// Who turns back on the way can change the order; who has paid after all has bought.
func TestTurningBack(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(nil)
	_, body := c.do("GET", page, nil)
	resp, _ := c.do("POST", page+"/order", ada(c.version(body)))
	pay := resp.Header.Get("Location")
	resp, _ = c.do("POST", page+"/reopen", nil)
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "Order and pay")
	_, _ = c.do("POST", pay, url.Values{"action": {"pay"}})
	link, err := c.db.Link(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentExpired, link.Payments[0].Status, "the session has ended")

	resp, _ = c.do("POST", page+"/order", ada(c.version(body)))
	second := resp.Header.Get("Location")
	require.NotEqual(t, pay, second)
	resp, _ = c.do("POST", second, url.Values{"action": {"pay"}})
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	resp, _ = c.do("POST", page+"/reopen", nil)
	require.Equal(t, 303, resp.StatusCode, c.logged.String())
	link, err = c.db.Link(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, keyturn.LinkUsed, link.Status)
}

// A page that is no page tells nothing, and one that has ended says so.
func TestCheckoutPagesThatEnded(t *testing.T) {
	c := openCheckoutShop(t)
	resp, _ := c.do("GET", "/c/unknown", nil)
	require.Equal(t, 404, resp.StatusCode)
	id, page := c.link(nil)
	require.NoError(t, c.db.CancelLink(t.Context(), id, "test", "sold elsewhere"))
	resp, body := c.do("GET", page, nil)
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, body, "This link is no longer valid")
	require.NotContains(t, body, "sold elsewhere")
	resp, body = c.do("POST", page+"/order", ada("1"))
	require.Equal(t, 409, resp.StatusCode)
	require.Contains(t, body, "This link is no longer valid")
	require.NotContains(t, body, "try again")
}

// Whoever has paid another sum is not told that the payment page opens in a moment: a person decides.
func TestAPaymentOfAnotherSumIsBeingChecked(t *testing.T) {
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.AdditionalData = map[string]string{"sandbox": "pays-other-amount"}
	})
	_, body := c.do("GET", page, nil)
	resp, _ := c.do("POST", page+"/order", ada(c.version(body)))
	resp, _ = c.do("POST", resp.Header.Get("Location"), url.Values{"action": {"pay"}})
	_, _ = c.do("GET", resp.Header.Get("Location"), nil)
	for language, says := range map[string]string{
		"en": "Your payment is being checked", "fr": "Votre paiement est en cours de vérification",
		"de": "Ihre Zahlung wird geprüft",
	} {
		_, body = c.do("GET", page, nil, "Accept-Language", language)
		require.Contains(t, body, says)
		require.NotContains(t, body, "<form", "there is nothing that the customer may change or pay again")
	}
}

// Nothing is charged before the key is there, so the order's page speaks of no money that comes back.
func TestALateLineOfWhichNothingIsCharged(t *testing.T) {
	c := openCheckoutShop(t)
	c.sold(keyturn.Product{ID: "late", Name: "Late", Sources: fromEndpoint, CustomerMayRefund: true})
	id, page := c.link(func(l *keyturn.CheckoutLink) { l.LineItems[0].ProductID = "late" })
	_, body := c.do("GET", page, nil)
	resp, _ := c.do("POST", page+"/order", ada(c.version(body)))
	resp, _ = c.do("POST", resp.Header.Get("Location"), url.Values{"action": {"pay"}})
	_, _ = c.do("GET", resp.Header.Get("Location"), nil)
	v, err := c.db.Order(t.Context(), id)
	require.NoError(t, err, c.logged.String())
	o := order{
		shop: c.shop, id: id, path: "/o/" + c.db.PageToken(id), lines: []string{v.LineItems[0].FulfillmentID},
	}
	o.call(0, db.CallResult{Failed: &partnerDown})
	shown := o.get()
	require.Contains(t, shown.shown(), "You get your key by")
	require.Contains(t, shown.shown(), "or you are not charged.")
	require.Contains(t, shown.body, "Cancel it now")
	require.NotContains(t, shown.shown(), "money back")
	asked := o.post(0, "refund", nil)
	require.Contains(t, asked.body, "Stop waiting for")
	require.Contains(t, asked.body, "Yes, cancel it")
	require.NotContains(t, asked.shown(), "refund")
	o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
	shown = o.get()
	require.Contains(t, shown.shown(), "Being canceled")
	require.NotContains(t, strings.ToLower(shown.shown()), "refund")
}

// While a person decides on another sum, the page says that it is being checked, and asks for nothing.
func TestThePageOfAnotherSum(t *testing.T) {
	c := openCheckoutShop(t)
	id, page := c.link(nil)
	_, body := c.do("GET", page, nil)
	version := c.version(body)
	resp, _ := c.do("POST", page+"/order", ada(version))
	require.Equal(t, 303, resp.StatusCode)
	pay, err := c.db.PayableOf(t.Context(), id)
	require.NoError(t, err)
	paid := keyturn.Money{Minor: 999, Currency: "EUR"}
	_, err = c.db.Reconcile(t.Context(), pay, keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, Authorized: paid,
	}, db.ByProcessor, func(db.Accepted) ([]byte, error) { return nil, nil })
	require.NoError(t, err)
	_, body = c.do("GET", page, nil)
	require.Contains(t, body, "Your payment is being checked")
	require.NotContains(t, body, "/reopen")
	resp, body = c.do("POST", page+"/order", ada(version))
	require.Equal(t, 409, resp.StatusCode)
	require.Contains(t, body, "Your payment is being checked")
}
