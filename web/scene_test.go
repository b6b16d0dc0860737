package web_test

import (
	"bytes"
	"context"
	"database/sql"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
)

// scene is a situation that a customer meets: a page or an e-mail.
type scene struct {
	name  string // of its files in docs/pictures
	title string
	says  string // when the customer sees it
	play  func(s *stage) sight
	act   string // script that does on the page what only a browser can
	until string // script that is true when that is done
	image string // of docs/images, which is the same in English on its own
}

// sight is what a scene ends with.
type sight struct {
	html                         string
	header                       http.Header // of a page
	from, to, subject, text, ref string      // of an e-mail
}

func (s sight) isEmail() bool { return s.subject != "" }

// stage is a shop in which a scene is played in one language, on a database of its own. Its clock starts at the same
// moment each time and hardly moves by itself, so that pages and e-mails say the same of time whenever they are made.
type stage struct {
	*checkoutShop

	lang    string
	letters activities.Letters
	posted  []sight               // the e-mails that were made
	shown   atomic.Pointer[sight] // what a browser is to see
}

// opening is the moment at which every scene starts: a Wednesday.
var opening = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// mailURL is where the links of e-mails lead.
const mailURL = "https://keys.orbit.example"

func openStage(t *testing.T, lang string) *stage {
	t.Helper()
	s := &stage{lang: lang, letters: activities.Letters{
		From: "keys@orbit.example", PublicURL: mailURL, Refs: true,
	}}
	s.checkoutShop = sells(t, openOn(t, slowPostgres(t), s.renderLine))
	s.server.Config.Handler = s.serveShown(s.server.Config.Handler)
	s.orders = 1040
	s.setClock(opening)
	s.dress(keyturn.Shop{})
	return s
}

// slowPostgres is a database whose time passes a thousand times slower than elsewhere: functions of a schema of its own
// take the place of now() and clock_timestamp() in every statement, default and trigger.
func slowPostgres(t *testing.T) string {
	t.Helper()
	const path = "&search_path=public,slow,pg_catalog"
	dsn := testkit.Postgres(t, "keyturn, its clock slow", func(dsn string) error {
		x, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		defer func() { _ = x.Close() }()
		if _, err := x.Exec(`
			CREATE SCHEMA slow;
			CREATE TABLE slow.clock AS SELECT pg_catalog.now() AS at, pg_catalog.now() AS since;
			CREATE FUNCTION slow.now() RETURNS timestamptz STABLE LANGUAGE sql AS
				$$ SELECT at + (pg_catalog.now() - since) / 1000 FROM slow.clock $$;
			CREATE FUNCTION slow.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
				$$ SELECT at + (pg_catalog.clock_timestamp() - since) / 1000 FROM slow.clock $$`); err != nil {
			return err
		}
		_, err = db.Migrate(context.Background(), dsn+path)
		return err
	})
	return dsn + path
}

func (s *stage) setClock(at time.Time) {
	s.t.Helper()
	s.exec(`UPDATE slow.clock SET at = $1, since = pg_catalog.clock_timestamp()`, at)
}

// later lets time pass.
func (s *stage) later(d time.Duration) {
	s.t.Helper()
	s.exec(`UPDATE slow.clock SET at = at + make_interval(secs => $1)`, d.Seconds())
}

// dress gives the shop its name and legal texts, beside these settings.
func (s *stage) dress(v keyturn.Shop) {
	s.t.Helper()
	v.Name = "Orbit Store"
	v.Legal = keyturn.Legal{
		Seller: "Orbit Software Ltd, 1 Main Street, Dublin, Ireland", Contact: "help@orbit.example",
		Terms: "https://orbit.example/terms", Privacy: "https://orbit.example/privacy",
		Imprint: "https://orbit.example/legal",
	}
	s.settings(v)
}

// buyer is a customer who speaks the scene's language.
func (s *stage) buyer() keyturn.Customer {
	return map[string]keyturn.Customer{
		"en": {Email: "emma@mail.example", Locale: "en-GB", FirstName: "Emma", LastName: "Clarke", Country: "GB"},
		"fr": {Email: "jean@mail.example", Locale: "fr-FR", FirstName: "Jean", LastName: "Dupont", Country: "FR"},
		"de": {Email: "lena@mail.example", Locale: "de-DE", FirstName: "Lena", LastName: "Schulz", Country: "DE"},
	}[s.lang]
}

// in gives the text in the scene's language.
func (s *stage) in(en, fr, de string) string {
	return map[string]string{"en": en, "fr": fr, "de": de}[s.lang]
}

// page fetches a page as the customer's browser does, with its cookies, and follows where it leads.
func (s *stage) page(method, path string, form url.Values) sight {
	s.t.Helper()
	resp, body := s.do(method, path, form, "Accept-Language", s.lang)
	for resp.StatusCode == http.StatusSeeOther {
		resp, body = s.do(http.MethodGet, resp.Header.Get("Location"), nil, "Accept-Language", s.lang)
	}
	return sight{html: body, header: resp.Header}
}

// stranger forgets who the customer is: the browser of somebody else.
func (s *stage) stranger() { s.client.Jar = nil }

func (s *stage) renderLine(f db.MailFacts) ([]byte, error) { return s.post(s.letters.Render(f)) }
func (s *stage) renderPayment(f db.PaymentMailFacts) ([]byte, error) {
	return s.post(s.letters.RenderPayment(f))
}

// post keeps an e-mail that was made.
func (s *stage) post(stored []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var m mail.Message
	if err := m.UnmarshalBinary(stored); err != nil {
		return nil, err
	}
	p, err := m.Parts()
	s.posted = append(s.posted, sight{
		html: p.HTML, from: p.From, to: m.To, subject: p.Subject, text: p.Text, ref: m.Ref,
	})
	return stored, err
}

// letter is the e-mail that was made last.
func (s *stage) letter() sight {
	s.t.Helper()
	require.NotEmpty(s.t, s.posted)
	return s.posted[len(s.posted)-1]
}

// paymentMails sends the e-mails about a payment that are due.
func (s *stage) paymentMails(pay string) {
	s.t.Helper()
	for {
		m, _, err := s.db.BeginPaymentMail(s.t.Context(), pay, s.renderPayment)
		require.NoError(s.t, err)
		if m == nil {
			return
		}
		_, err = s.db.FinishPaymentMail(s.t.Context(), pay, m, nil)
		require.NoError(s.t, err)
	}
}

// product puts Orbit Editor, or what change makes of it, into the catalog; keys go into the pool of its source.
func (s *stage) product(change func(*keyturn.Product), keys ...string) {
	s.t.Helper()
	p := keyturn.Product{
		ID: "editor", Name: "Orbit Editor", Sources: fromPool, Image: keyturn.Image{Data: icon(s.t, 128, 29, 95, 191)},
		Retry: keyturn.RetryPolicy{
			Schedule:    []keyturn.Duration{keyturn.Duration(2 * time.Hour)},
			GiveUpAfter: keyturn.Duration(72 * time.Hour),
		},
	}
	if change != nil {
		change(&p)
	}
	p, err := catalog.CheckProduct(p, false)
	require.NoError(s.t, err)
	s.sold(p, keys...)
}

// order is a merchant's order of these lines by the scene's customer.
func (s *stage) order(lines ...keyturn.LineItem) order {
	s.t.Helper()
	if len(lines) == 0 {
		lines = []keyturn.LineItem{line("editor", 1)}
	}
	return s.accept(s.buyer(), lines...)
}

// line is a line of an order: each unit costs 29.99 EUR.
func line(product string, quantity int) keyturn.LineItem {
	return keyturn.LineItem{
		ProductID: product, Quantity: quantity,
		GrossPrice: keyturn.Money{Minor: 2999 * int64(quantity), Currency: "EUR"}.String(),
	}
}

// sees is the order's page.
func (s *stage) sees(o order) sight { return s.page(http.MethodGet, o.path, nil) }

// presses is the page that answers a button of a line.
func (s *stage) presses(o order, i int, action string) sight {
	return s.page(http.MethodPost, o.path+"/lines/"+o.lines[i]+"/"+action, url.Values{})
}

// checkoutLink makes a checkout link for Orbit Editor at 49.90 EUR, changed by change: its ID and the path of its page.
func (s *stage) checkoutLink(change func(*keyturn.CheckoutLink)) (id, page string) {
	s.t.Helper()
	return s.link(func(l *keyturn.CheckoutLink) {
		l.OrderID, l.Locale = "ORD-1041", s.lang
		l.LineItems = []keyturn.LinkLine{{
			ProductID: "editor", Name: s.in("Orbit Editor, 1 year", "Orbit Editor, 1 an", "Orbit Editor, 1 Jahr"),
			UnitPrice: "49.90",
		}}
		if change != nil {
			change(l)
		}
	})
}

// ordersAndPays fills in the checkout page's form and presses "order and pay": where that leads.
func (s *stage) ordersAndPays(page string) string {
	s.t.Helper()
	resp, body := s.do(http.MethodPost, page+"/order", s.form(page))
	leads := []int{http.StatusSeeOther, http.StatusBadGateway, http.StatusServiceUnavailable}
	require.Contains(s.t, leads, resp.StatusCode, body)
	return resp.Header.Get("Location")
}

var consentField = regexp.MustCompile(`name="consent" value="([^"]+)"`)

// form is what the scene's customer fills in on a checkout page.
func (s *stage) form(page string) url.Values {
	s.t.Helper()
	_, body := s.do(http.MethodGet, page, nil)
	b := s.buyer()
	form := url.Values{
		"version": {s.checkoutShop.version(body)}, "email": {b.Email}, "country": {b.Country}, "firstName": {b.FirstName},
		"lastName": {b.LastName},
	}
	if m := consentField.FindStringSubmatch(body); m != nil {
		form.Set("consent", m[1])
	}
	return form
}

// pays pays at the sandbox and comes back.
func (s *stage) pays(at, action string) {
	s.t.Helper()
	resp, body := s.do(http.MethodPost, at, url.Values{"action": {action}})
	require.Equal(s.t, http.StatusSeeOther, resp.StatusCode, body)
	_, _ = s.do(http.MethodGet, resp.Header.Get("Location"), nil)
}

// bought is the order that a link made, and its payment.
func (s *stage) bought(link string) (o order, pay string) {
	s.t.Helper()
	id, err := s.db.OrderOfLink(s.t.Context(), link)
	require.NoError(s.t, err)
	v, err := s.db.Order(s.t.Context(), id)
	require.NoError(s.t, err, s.logged.String())
	o = order{shop: s.shop, id: id, path: "/o/" + s.db.PageToken(id)}
	for _, l := range v.LineItems {
		o.lines = append(o.lines, l.FulfillmentID)
	}
	return o, s.paymentOf(link)
}

func (s *stage) paymentOf(link string) string {
	s.t.Helper()
	v, err := s.db.Link(s.t.Context(), link)
	require.NoError(s.t, err)
	require.NotEmpty(s.t, v.Payments)
	return v.Payments[len(v.Payments)-1].ID
}

// buys buys by a link: the order, whose money is authorized, and its payment.
func (s *stage) buys(change func(*keyturn.CheckoutLink)) (o order, pay string) {
	s.t.Helper()
	id, page := s.checkoutLink(change)
	if at := s.ordersAndPays(page); at != page {
		s.pays(at, "pay")
	}
	o, pay = s.bought(id)
	s.paymentMails(pay)
	return o, pay
}

// captured takes the money for a line whose key is in hand.
func (s *stage) captured(o order, i int) {
	s.t.Helper()
	ctx := s.t.Context()
	due, _, _, err := s.db.BeginCapture(ctx, o.lines[i])
	require.NoError(s.t, err)
	require.NotNil(s.t, due)
	state, err := s.desk.Capture(ctx, due)
	require.NoError(s.t, err)
	_, err = s.db.FinishCapture(ctx, o.lines[i], state)
	require.NoError(s.t, err)
}

// icon draws a product's picture, or a shop's logo: a planet with its orbit.
func icon(t *testing.T, size int, r, g, b uint8) []byte {
	t.Helper()
	out := image.NewNRGBA(image.Rect(0, 0, size, size))
	half := float64(size) / 2
	for x := range size {
		for y := range size {
			d := math.Hypot(float64(x)+.5-half, float64(y)+.5-half) / half
			if d < .38 || d > .6 && d < .92 {
				out.Set(x, y, color.NRGBA{r, g, b, 255})
			}
		}
	}
	var data bytes.Buffer
	require.NoError(t, png.Encode(&data, out))
	return data.Bytes()
}
