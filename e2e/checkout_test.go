package e2e_test

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/web"
	"keyturn.dev/keyturn/workflows"
)

// openPages serves the pages for customers, and makes the sandbox the processor of checkout links.
func (s *stack) openPages(keys *vault.Keys) {
	pages := http.NewServeMux()
	s.pages = httptest.NewServer(pages)
	desk := &checkout.Desk{
		DB: s.db, Processors: payment.Processors{}, Providers: payment.Providers{}, PublicURL: s.pages.URL, Logger: s.logger,
		Accepted: func(starts []db.Start) {
			s.starter.Enqueue(starts)
			s.starter.Wake()
		},
	}
	s.sandbox = payment.Sandbox{
		Ledger: s.db, Sessions: s.db, PublicURL: s.pages.URL, Secret: keys.MAC("sandbox"),
		OnEvent: func(ctx context.Context, e payment.Event) { _ = desk.Tell(ctx, payment.SandboxName, e) },
	}
	desk.Processors[payment.SandboxName], desk.Providers[payment.SandboxName] = s.sandbox, s.sandbox
	s.acts.Desk, s.acts.Providers, s.acts.Letters.PublicURL = desk, desk.Providers, s.pages.URL
	pages.Handle("/sandbox/", web.NewSandbox(web.SandboxConfig{Sessions: s.sandbox, DB: s.db, Logger: s.logger}))
	pages.HandleFunc("POST /hooks/{provider}", desk.Hook)
	pages.Handle("/", web.New(web.Config{
		DB: s.db, Logger: s.logger, Desk: desk,
		RenderKeys: func(f db.MailFacts) ([]byte, error) { return s.acts.Letters.Render(f) },
	}))
}

// link makes a checkout link that sells one unit of each product for 10.00 EUR; trouble is what the sandbox is to do.
func (s *stack) link(trouble string, products ...string) string {
	s.t.Helper()
	return s.linkOf(keyturn.CheckoutLink{}, trouble, products...)
}

func (s *stack) linkOf(link keyturn.CheckoutLink, trouble string, products ...string) string {
	s.t.Helper()
	hash := sha256.Sum256([]byte(time.Now().String()))
	link.Currency = "EUR"
	if trouble != "" {
		link.AdditionalData = map[string]string{"sandbox": trouble}
	}
	for _, p := range products {
		link.LineItems = append(link.LineItems, keyturn.LinkLine{ProductID: p, Name: "The " + p, UnitPrice: "10.00"})
	}
	v, _, err := s.db.CreateLink(context.Background(), db.LinkInput{
		Link: link, Client: "test", IdempotencyKey: time.Now().String(), RequestHash: hash[:],
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			l = l.WithDefaults(now, payment.SandboxName)
			return l, l.Check(now, mail.CheckAddress, nil)
		},
	})
	require.NoError(s.t, err)
	return v.ID
}

// visit does what a browser without script does.
func (s *stack) visit(method, path string, form url.Values) (*http.Response, string) {
	s.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.pages.URL + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, path, strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp, string(body)
}

var (
	pageVersion  = regexp.MustCompile(`name="version" value="(\d+)"`)
	consentShown = regexp.MustCompile(`name="consent" value="(\w+)"`)
)

// orderAndPay fills in a link's page and gives the address where it is paid.
func (s *stack) orderAndPay(linkID string) string {
	s.t.Helper()
	page := "/c/" + s.db.LinkToken(linkID)
	_, body := s.visit("GET", page, nil)
	m := pageVersion.FindStringSubmatch(body)
	require.NotNil(s.t, m, body)
	form := url.Values{"version": {m[1]}, "email": {buyer}, "country": {"FR"}, "firstName": {"Jean"}}
	if consent := consentShown.FindStringSubmatch(body); consent != nil { // the shop asks for one
		form.Set("consent", consent[1])
	}
	resp, body := s.visit("POST", page+"/order", form)
	require.Equal(s.t, http.StatusSeeOther, resp.StatusCode, body)
	return resp.Header.Get("Location")
}

// buy pays a link in the sandbox. The customer closes the window then: nobody comes back to the page.
func (s *stack) buy(linkID string) {
	s.t.Helper()
	resp, body := s.visit("POST", s.orderAndPay(linkID), url.Values{"action": {"pay"}})
	require.Equal(s.t, http.StatusSeeOther, resp.StatusCode, body)
}

func (s *stack) orderOf(linkID string) *db.Accepted {
	return &db.Accepted{Order: keyturn.Order{ID: linkID}}
}

func (s *stack) awaitLink(linkID string, want keyturn.OrderStatus) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM orders WHERE id = $1`, linkID) == 1, "there is no order yet"
	})
	s.await(s.orderOf(linkID), want)
}

func (s *stack) paymentOf(linkID string) (id string, status keyturn.PaymentStatus) {
	s.t.Helper()
	require.NoError(s.t, s.reader.QueryRow(
		`SELECT id, status FROM payments WHERE link_id = $1 ORDER BY number DESC LIMIT 1`, linkID).Scan(&id, &status))
	return id, status
}

func (s *stack) awaitPayment(linkID string, want keyturn.PaymentStatus) string {
	s.t.Helper()
	var id string
	s.eventually(func() (bool, string) {
		var status keyturn.PaymentStatus
		id, status = s.paymentOf(linkID)
		return status == want, string(status)
	})
	return id
}

// awaitLetters gives the buyer's e-mails in the order in which they came, once there are so many.
func (s *stack) awaitLetters(n int) []letter {
	s.t.Helper()
	var out []letter
	s.eventually(func() (bool, string) {
		out = s.letters(buyer)
		var subjects []string
		for _, l := range out {
			subjects = append(subjects, l.Subject)
		}
		return len(out) >= n, strings.Join(subjects, " | ")
	})
	require.Len(s.t, out, n)
	slices.Reverse(out)
	return out
}

// Whoever opens a link buys: the money is blocked, the key claimed, the money taken, the key mailed.
func TestALinkSellsAKey(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "GAME-1")
	link := s.link("", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
	id := s.awaitPayment(link, keyturn.PaymentCaptured)
	require.Equal(t, 1000, s.count(`SELECT captured_minor FROM sandbox_payments WHERE order_id = $1`, link))
	letters := s.awaitLetters(2)
	require.Equal(t, "Your order "+link+": confirmation", letters[0].Subject, "it comes before the key")
	require.Contains(t, letters[1].Text, "GAME-1")
	require.Contains(t, letters[1].Text, "The game")
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(id))
	s.audit()
	require.NotContains(t, protojson.Format(s.history(workflows.PaymentWorkflowID(id))), s.db.LinkToken(link),
		"who reads Temporal cannot open the page")
	events := len(s.history(workflows.PaymentWorkflowID(id)).Events)
	t.Logf("the payment's workflow has %d events", events)
	require.LessOrEqual(t, events, 40)
	s.foundWorkflows("WorkflowType = 'SettlePayment' AND PaymentStatus IS NULL", workflows.PaymentWorkflowID(id))
	s.record(workflows.PaymentWorkflowID(id), "payment-confirmed")
	var f string
	require.NoError(t, s.sql(&f, `SELECT fulfillment_id FROM line_items WHERE order_id = $1`, link))
	t.Logf("the line's workflow has %d events", len(s.history(workflows.LineWorkflowID(f)).Events))
	s.record(workflows.LineWorkflowID(f), "line-of-a-link")
}

// A processor that does not know what it has opened ends no payment: people are alerted, its workflow goes on asking,
// and the customer who pays gets the key.
func TestAProcessorThatForgetsAPayment(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "GAME-1")
	link := s.link("", "game")
	address := s.orderAndPay(link)
	id := s.awaitPayment(link, keyturn.PaymentOpen)
	s.exec(`CREATE TABLE forgotten AS SELECT * FROM sandbox_sessions`)
	s.exec(`DELETE FROM sandbox_sessions`)
	require.NoError(t, s.db.LookAtPayment(t.Context(), id))
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM alerts WHERE cause = 'UnknownPayment' AND closed_at IS NULL`) == 1, "no alert"
	})
	_, status := s.paymentOf(link)
	require.Equal(t, keyturn.PaymentOpen, status)
	s.exec(`INSERT INTO sandbox_sessions SELECT * FROM forgotten`)
	s.exec(`DROP TABLE forgotten`)
	_, _ = s.visit("POST", address, url.Values{"action": {"pay"}})
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
	require.Zero(t, s.count(`SELECT count(*) FROM alerts WHERE cause = 'UnknownPayment' AND closed_at IS NULL`))
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(id))
	s.audit()
}

// What cannot be delivered is not charged, and the customer is told so.
func TestALinkThatCannotBeDeliveredIsNotCharged(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{
		ID: "game", Sources: []keyturn.Source{keyturn.FromPool("empty")},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(2 * time.Second)},
	})
	link := s.link("", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCanceled)
	id := s.awaitPayment(link, keyturn.PaymentVoided)
	require.Zero(t, s.count(`SELECT count(*) FROM sandbox_payments WHERE order_id = $1`, link))
	letters := s.awaitLetters(2)
	require.Equal(t, "Your order "+link+": we could not deliver, and you were not charged", letters[1].Subject)
	require.Contains(t, letters[1].Text, "You were not charged")
	require.NotContains(t, letters[1].Text, "money back")
	s.requireWorkflowEnds(workflows.PaymentWorkflowID(id))
	s.audit()
	s.foundWorkflows("PaymentStatus = 'VOIDED'", workflows.PaymentWorkflowID(id))
	s.record(workflows.PaymentWorkflowID(id), "payment-not-charged")
}

// Trouble at the processor ends as it should, and the books agree.
func TestLinksThroughTrouble(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1", "G-2", "G-3", "G-4",
		"G-5", "G-6")
	links := map[string]struct {
		order   keyturn.OrderStatus
		payment keyturn.PaymentStatus
	}{
		"capture-lost":     {keyturn.OrderCompleted, keyturn.PaymentCaptured},
		"capture-fails-3":  {keyturn.OrderCompleted, keyturn.PaymentCaptured},
		"capture-refused":  {keyturn.OrderCanceled, keyturn.PaymentLost},
		"cannot-authorize": {keyturn.OrderCompleted, keyturn.PaymentCaptured},
		"settles:1s":       {keyturn.OrderCompleted, keyturn.PaymentCaptured},
	}
	ids := map[string]string{}
	for trouble := range links {
		ids[trouble] = s.link(trouble, "game")
		s.buy(ids[trouble])
	}
	time.Sleep(time.Second) // one of the methods settles then
	s.exec(`UPDATE payments SET look_at = now() WHERE status = 'PROCESSING'`)
	s.exec(`INSERT INTO outbox (workflow, subject) SELECT 'SettlePayment', CAST(id AS text) FROM payments
		WHERE status = 'PROCESSING' ON CONFLICT DO NOTHING`)
	for trouble, want := range links {
		s.awaitLink(ids[trouble], want.order)
		s.awaitPayment(ids[trouble], want.payment)
	}
	s.eventually(func() (bool, string) { return len(s.letters("ops@keyturn.test")) > 0, "no e-mail of alerts" })
	for _, letter := range s.letters("ops@keyturn.test") { // each is of captures that were not answered
		alerts := strings.Join(strings.Fields(letter.Text), " ")
		require.Contains(t, alerts, "without a decision the line is given up at ")
		require.Contains(t, alerts, ", and nothing is charged.")
		require.NotContains(t, alerts, "refunded", "nothing was charged")
	}
	mismatch := s.link("pays-other-amount", "game")
	s.buy(mismatch)
	s.awaitPayment(mismatch, keyturn.PaymentMismatch)
	page := "/c/" + s.db.LinkToken(mismatch)
	_, body := s.visit("GET", page, nil)
	require.Contains(t, body, "Your payment is being checked")
	require.NotContains(t, body, page+"/reopen", "nothing is left to change")
	resp, body := s.visit("POST", page+"/order", url.Values{ // in another tab
		"version": {"1"}, "email": {buyer}, "country": {"US"},
	})
	require.Equal(t, http.StatusConflict, resp.StatusCode)
	require.Contains(t, body, "Your payment is being checked")
	require.Equal(t, 4, s.count(`SELECT count(*) FROM sandbox_payments`))

	payment := s.texts(`SELECT id FROM payments WHERE link_id = $1`, mismatch)[0]
	require.NoError(t, s.acts.Desk.Resolve(t.Context(), payment, keyturn.PaymentResolution{
		Action: keyturn.PaymentGiveBack, Reason: "another sum",
	}, "ana"))
	s.starter.Wake()
	told := s.mailAbout("", "Your payment could not become an order")
	s.keep("given-back", "en", told)
	require.Contains(t, told.Text, "You confirmed a payment of 10.01 EUR for The game, but no order could be placed")
	require.Contains(t, told.Text, "The page is open again until ")
	require.Contains(t, told.Text, page)
	s.audit()
}
