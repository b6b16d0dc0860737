package web_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/web"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	stopChromium()
	os.Exit(code)
}

// canary stands in every key and link and file of these tests: no answer to a GET may hold it.
const canary = "CANARY7f3a"

// shop is a merchant with a database of the test's own, and the pages on a server of their own.
type shop struct {
	t       *testing.T
	dsn     string
	db      *db.DB
	server  *httptest.Server
	logged  *bytes.Buffer
	orders  int
	resolve func(context.Context, string, keyturn.Resolution) (keyturn.Next, error)
	render  db.RenderMail // makes e-mails about lines
}

func open(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	return openOn(t, testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	}), letter)
}

// openOn is a shop on a database of the test's own.
func openOn(t *testing.T, dsn string, render db.RenderMail) *shop {
	t.Helper()
	ctx := context.Background()
	s := &shop{t: t, dsn: dsn, render: render, logged: new(bytes.Buffer)}
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	s.db, err = db.Open(ctx, s.dsn, keys)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	s.resolve = s.db.Resolve
	handler := web.New(web.Config{
		RenderKeys: render,
		DB:         s.db, ShopName: "The Shop", Logger: slog.New(slog.NewTextHandler(s.logged, nil)),
		Throttle: &throttle.Throttle{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Resolve: func(ctx context.Context, id string, r keyturn.Resolution) (keyturn.Next, error) {
			return s.resolve(ctx, id, r)
		},
	})
	s.server = httptest.NewServer(handler)
	t.Cleanup(s.server.Close)
	return s
}

// sold puts a product into the catalog; keys go into the pool of its source.
func (s *shop) sold(p keyturn.Product, keys ...string) {
	s.t.Helper()
	ctx := context.Background()
	if p.Name == "" {
		p.Name = strings.ToUpper(p.ID[:1]) + p.ID[1:]
	}
	for _, src := range p.Sources {
		switch src.Type {
		case keyturn.SourcePool:
			_, _, err := s.db.PutPool(ctx, keyturn.Pool{ID: src.Pool})
			require.NoError(s.t, err)
			if len(keys) > 0 {
				_, err := s.db.Import(ctx, src.Pool, strings.NewReader(strings.Join(keys, "\n")), "test", false)
				require.NoError(s.t, err)
			}
		case keyturn.SourceEndpoint:
			_, _, err := s.db.PutIntegration(ctx, keyturn.Integration{ID: src.Integration, BaseURL: "https://partner.test"})
			require.NoError(s.t, err)
		case keyturn.SourceDynamicURL, keyturn.SourceManual:
		}
	}
	require.NoError(s.t, p.Check())
	_, _, err := s.db.PutProduct(ctx, p)
	require.NoError(s.t, err)
}

var (
	fromPool     = []keyturn.Source{{Type: keyturn.SourcePool, Pool: "keys"}}
	fromEndpoint = []keyturn.Source{{Type: keyturn.SourceEndpoint, Integration: "acme"}}
	byHand       = []keyturn.Source{{Type: keyturn.SourceManual}}
)

// order is what a customer has: the link and the lines behind it.
type order struct {
	shop  *shop
	id    string
	path  string
	lines []string // fulfillment IDs
}

// buy accepts an order of one unit of each product.
func (s *shop) buy(locale string, products ...string) order {
	s.t.Helper()
	var lines []keyturn.LineItem
	for _, p := range products {
		lines = append(lines, keyturn.LineItem{ProductID: p, Quantity: 1, GrossPrice: "29.99"})
	}
	return s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: locale, FirstName: "Jean"}, lines...)
}

func (s *shop) accept(c keyturn.Customer, lines ...keyturn.LineItem) order {
	s.t.Helper()
	s.orders++
	c.ID, c.Country = "user-1", "FR"
	o := keyturn.Order{
		ID: fmt.Sprintf("ORD-%d", s.orders), Currency: "EUR",
		Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_1"}, Customer: c, LineItems: lines,
	}
	require.NoError(s.t, o.Check(mail.CheckAddress))
	a, _, err := s.db.Accept(context.Background(), db.AcceptInput{
		Order: o, Client: "test", IdempotencyKey: o.ID, RequestHash: []byte(o.ID),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(s.t, err)
	out := order{shop: s, id: o.ID, path: "/o/" + s.db.PageToken(o.ID)}
	for _, l := range a.Order.LineItems {
		out.lines = append(out.lines, l.FulfillmentID)
	}
	return out
}

// The steps below are the ones that workflows make.

func (o order) claim(i int) {
	o.shop.t.Helper()
	_, err := o.shop.db.Claim(context.Background(), o.lines[i], nil)
	require.NoError(o.shop.t, err)
}

func letter(db.MailFacts) ([]byte, error) { return []byte("a letter"), nil }

func (o order) send(i int, failed *db.StepFailure, exposed bool) {
	o.shop.t.Helper()
	ctx := context.Background()
	d, _, _, err := o.shop.db.BeginDelivery(ctx, o.lines[i], o.shop.render)
	require.NoError(o.shop.t, err)
	require.NotNil(o.shop.t, d)
	_, err = o.shop.db.FinishDelivery(ctx, o.lines[i], d, failed, exposed)
	require.NoError(o.shop.t, err)
}

func (o order) deliver(i int) {
	o.shop.t.Helper()
	o.claim(i)
	o.send(i, nil, true)
}

var partnerDown = db.StepFailure{Failure: keyturn.Failure{
	Kind: keyturn.KindUnavailable, Code: "PARTNER_CODE_9",
	Message: "partner text that nobody outside may read",
}}

// call asks the partner once, with this result.
func (o order) call(i int, r db.CallResult) {
	o.shop.t.Helper()
	ctx := context.Background()
	c, _, _, err := o.shop.db.BeginCall(ctx, o.lines[i], func(keyturn.Integration) time.Duration { return time.Second },
		func(db.CallFacts) ([]byte, error) {
			return []byte(`{"method":"POST","url":"https://partner.test"}`), nil
		})
	require.NoError(o.shop.t, err)
	require.NotNil(o.shop.t, c)
	r.Attempt, r.UnitNo, r.Sent = c.Attempt, c.UnitNo, true
	_, err = o.shop.db.FinishCall(ctx, o.lines[i], r, nil)
	require.NoError(o.shop.t, err)
}

func (o order) decide(i int, r keyturn.Resolution) {
	o.shop.t.Helper()
	r.By, r.Reason = "op-bob", "operator words"
	_, err := o.shop.db.Resolve(context.Background(), o.lines[i], r)
	require.NoError(o.shop.t, err)
}

func (o order) refunded(i int) {
	o.shop.t.Helper()
	ctx := context.Background()
	_, _, err := o.shop.db.BeginRefund(ctx, o.lines[i])
	require.NoError(o.shop.t, err)
	_, err = o.shop.db.FinishRefund(ctx, o.lines[i], "re_1", o.shop.render)
	require.NoError(o.shop.t, err)
}

// exec sets what only time can bring.
func (s *shop) exec(statement string, args ...any) {
	s.t.Helper()
	conn, err := sql.Open("postgres", s.dsn)
	require.NoError(s.t, err)
	defer conn.Close()
	tx, err := conn.Begin()
	require.NoError(s.t, err)
	_, err = tx.Exec(statement, args...)
	require.NoError(s.t, err)
	require.NoError(s.t, tx.Commit())
}

func (s *shop) count(query string, args ...any) int {
	s.t.Helper()
	conn, err := sql.Open("postgres", s.dsn)
	require.NoError(s.t, err)
	defer conn.Close()
	var n int
	require.NoError(s.t, conn.QueryRow(query, args...).Scan(&n))
	return n
}

// reply is an answer of the pages.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request as fetch does, of which no GET may give a key.
func (s *shop) ask(method, path string, form url.Values, headers ...string) reply {
	s.t.Helper()
	got := s.fetch(method, path, form, headers...)
	if method == http.MethodGet {
		require.NotContains(s.t, got.body, canary, "no GET gives a key: %s", path)
	}
	return got
}

// fetch sends a request as a browser does, without following redirects.
func (s *shop) fetch(method, path string, form url.Values, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.server.URL+path,
		strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Transport{}).RoundTrip(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return reply{status: res.StatusCode, header: res.Header, body: string(body)}
}

func (o order) get() reply {
	o.shop.t.Helper()
	return o.shop.ask(http.MethodGet, o.path, nil)
}

func (o order) post(i int, action string, form url.Values) reply {
	o.shop.t.Helper()
	return o.shop.ask(http.MethodPost, o.path+"/lines/"+o.lines[i]+"/"+action, form)
}
