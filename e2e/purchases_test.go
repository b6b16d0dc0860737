package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/payment"
)

// What customers buy in TestPurchases, and what the sandbox does: most goes well.
var (
	carts = [][]string{
		{"editor"},
		{"editor"},
		{"editor"},
		{"studio"},
		{"studio"},
		{"render"},
		{"ghost"},
		{"soldout"},
		{"editor", "studio"},
		{"editor", "soldout"},
		{"studio", "ghost", "editor"},
	}
	troubles = []string{
		"", "", "", "", "", "capture-lost", "capture-fails-2", "capture-refused", "cannot-authorize",
		"cannot-authorize refund-fails-2", "settles:1s", "settles:1s settles-not", "runs-out-in:20s",
	}
)

// TestPurchases has customers buy by checkout links while every call fails now and then, at the processor, the partner,
// the mail server, PostgreSQL and Temporal, and compares the books of all. KEYTURN_PURCHASES says how many: make
// test/purchases.
func TestPurchases(t *testing.T) {
	n := howMany(t, "KEYTURN_PURCHASES", "make test/purchases")
	o, proxies := lossyConnections(t)
	o.noWorker = true
	s := start(t, o)
	s.catalogOfPurchases(n)
	s.losesEvents()
	processor := s.shake(0, 5)
	s.startWorker()
	s.inbox.Fail(func(_, to string) error {
		switch luck := rand.IntN(100); {
		case to != buyer || luck > 6:
			return nil
		case luck > 2:
			return inbox.Reject(451)
		}
		return inbox.ErrCut
	})
	over := make(chan struct{})
	var faults sync.WaitGroup
	lost := 0
	faults.Go(func() { lost = loseAnswers(*proxies, over) })

	began := time.Now()
	s.customers(n, s.buyOnce)
	bought := time.Since(began)
	close(over)
	faults.Wait()
	processor.fails.Store(0)
	s.inbox.Fail(nil)
	s.purchasesEnd()
	took := time.Since(began)
	s.atRest()
	r := s.books(func(e *audit.Evidence) { e.Quiescent = true })
	require.True(t, r.OK)
	require.Empty(t, s.texts(unfairSQL))
	t.Logf("%d purchases begun in %s and over after %s, which is %.1f per second; %d calls of the processor and %d "+
		"answers of PostgreSQL and Temporal failed", n, bought.Round(time.Second), took.Round(time.Second), float64(n)/took.Seconds(),
		processor.failed.Load(), lost)
	t.Logf("payments %v, lines %v, %d letters, %d calls of partners, %d captures, %d refunds",
		s.texts(`SELECT status || ' ' || count(*) FROM payments GROUP BY status ORDER BY status`),
		s.texts(`SELECT status || ' ' || count(*) FROM line_items GROUP BY status ORDER BY status`), len(s.inbox.Messages()),
		len(s.partner.Log()), s.count(`SELECT count(*) FROM sandbox_payments`),
		s.count(`SELECT count(*) FROM sandbox_refunds WHERE applied_at IS NOT NULL`))
}

// unfairSQL: of each order, what was taken and not given back is the price of what was delivered; nothing stays
// blocked.
const unfairSQL = `
	SELECT k.order_id || ': charged ' || c.minor || ' for ' || g.minor FROM checkout_links k
	CROSS JOIN LATERAL (SELECT coalesce(sum(p.captured_minor - coalesce((SELECT sum(r.amount_minor) FROM sandbox_refunds r
		WHERE r.reference = p.reference AND r.order_id = p.order_id AND r.applied_at IS NOT NULL), 0)), 0) AS minor
		FROM sandbox_payments p WHERE p.order_id = k.order_id) c
	CROSS JOIN LATERAL (SELECT coalesce(sum(gross_minor), 0) AS minor FROM line_items
		WHERE order_id = k.order_id AND status = 'DELIVERED') g
	WHERE c.minor <> g.minor
	UNION ALL SELECT order_id || ': ' || status FROM sandbox_sessions
	WHERE status IN ('open', 'processing') OR status = 'authorized' AND capture_by > now() -- else it has run out`

func (s *stack) catalogOfPurchases(n int) {
	s.t.Helper()
	s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, keys("EDITOR", n+10)...)
	s.product(keyturn.Product{ID: "studio", Sources: sources(fromEndpoint("studio"))})
	s.product(keyturn.Product{ID: "render", Sources: sources(fromEndpoint("render"))})
	s.drill("render", "fail-1-then-ok")
	soon := every(300*time.Millisecond, 3*time.Second)
	s.product(keyturn.Product{ID: "ghost", Sources: sources(fromEndpoint("ghost")), Retry: soon})
	s.drill("ghost", "fail:500")
	s.product(keyturn.Product{ID: "soldout", Sources: sources(fromPool("no-keys")), Retry: soon})
}

// losesEvents has one event of the processor in five not arrive.
func (s *stack) losesEvents() {
	tell := s.sandbox.OnEvent
	s.sandbox.OnEvent = func(ctx context.Context, e payment.Event) {
		if rand.IntN(5) > 0 {
			tell(ctx, e)
		}
	}
}

// lossyConnections are options by which PostgreSQL and Temporal are reached through proxies, and all e-mails are kept,
// and the proxies, once the stack has started.
func lossyConnections(t *testing.T) (o options, proxies *[]*faultproxy.Proxy) {
	t.Helper()
	proxies = &[]*faultproxy.Proxy{}
	through := func(to string, speaks faultproxy.Protocol) string {
		p, err := faultproxy.Start("127.0.0.1:0", to, speaks)
		require.NoError(t, err)
		*proxies = append(*proxies, p)
		t.Cleanup(func() { _ = p.Close() })
		return p.Addr()
	}
	return options{
		mails:    t.TempDir(),
		temporal: through(testkit.Temporal(t), faultproxy.GRPC),
		dsn: func(dsn string) string {
			u, err := url.Parse(dsn)
			require.NoError(t, err)
			u.Host = through(u.Host, faultproxy.Postgres)
			return u.String()
		},
	}, proxies
}

// loseAnswers loses an answer at one of the proxies every now and then, after its request took effect.
func loseAnswers(proxies []*faultproxy.Proxy, over <-chan struct{}) (lost int) {
	for {
		p := proxies[rand.IntN(len(proxies))]
		p.Lose(faultproxy.Loss{Reset: rand.IntN(2) == 0, After: rand.IntN(20)})
		select {
		case <-over:
			for _, p := range proxies {
				p.Disarm()
			}
			return lost
		case <-time.After(time.Duration(200+rand.IntN(600)) * time.Millisecond):
		}
		if p.Lost() {
			lost++
		}
	}
}

// howMany says how many purchases a setting asks for. Without it the test is skipped.
func howMany(t *testing.T, setting, target string) int {
	t.Helper()
	if os.Getenv(setting) == "" {
		t.Skip("payments of which nobody tells are asked for after half a minute and more: " + target)
	}
	n, err := strconv.Atoi(os.Getenv(setting))
	require.NoError(t, err)
	return n
}

// underWay bounds how many purchases are under way, so that what is measured is not a queue.
const underWay = 200

// customers has twelve customers buy n times between them.
func (s *stack) customers(n int, buy func(i int)) {
	var all sync.WaitGroup
	numbers := make(chan int)
	for range 12 {
		all.Go(func() {
			for i := range numbers {
				buy(i)
			}
		})
	}
	for i := range n {
		for i%20 == 0 && s.count(`SELECT count(*) FROM payments WHERE ended_at IS NULL AND status <> 'OPEN'`) > underWay {
			time.Sleep(200 * time.Millisecond)
		}
		numbers <- i
	}
	close(numbers)
	all.Wait()
}

// cart is a link of one of the carts, at prices of its own.
func cart(i int) keyturn.CheckoutLink {
	link := keyturn.CheckoutLink{Mixed: keyturn.MixedChargeAll}
	if rand.IntN(2) == 0 {
		link.Mixed = keyturn.MixedChargeReady
	}
	for _, product := range carts[i%len(carts)] {
		link.LineItems = append(link.LineItems, keyturn.LinkLine{
			ProductID: product, Name: strings.ToUpper(product), UnitPrice: fmt.Sprintf("%d.50", 1+rand.IntN(99)),
		})
	}
	return link
}

// buyOnce is one customer: some change their order, some return from paying, most close the window, some never pay.
func (s *stack) buyOnce(i int) {
	r := s.newRound(cart(i), troubles[rand.IntN(len(troubles))])
	id := r.begin()
	r.paysOrNot(id, func() { r.pay(id) })
}

// paysOrNot is what a customer does who has begun to pay.
func (r *round) paysOrNot(id string, pay func()) {
	switch luck := rand.IntN(20); {
	case id == "" || luck == 0:
	case luck == 1:
		r.together(pay, func() { r.reopen(id) })
	case luck < 8:
		pay()
		r.look(id)
	default:
		pay()
	}
}

// purchasesEnd waits until every payment is over. Whoever has not paid by now never will.
func (s *stack) purchasesEnd() {
	s.t.Helper()
	s.exec(`UPDATE payments SET pay_until = now(), look_at = now() WHERE status IN ('CREATED', 'OPEN')`)
	for range 10 { // ten times as long as a test usually waits
		s.exec(`INSERT INTO outbox (workflow, subject) SELECT 'SettlePayment', CAST(id AS text) FROM payments
			WHERE status IN ('CREATED', 'OPEN') ON CONFLICT DO NOTHING`)
		for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(200 * time.Millisecond) {
			if s.count(`SELECT (SELECT count(*) FROM payments WHERE ended_at IS NULL)
				+ (SELECT count(*) FROM payment_refunds WHERE status <> 'DONE')
				+ (SELECT count(*) FROM line_items WHERE status NOT IN ('DELIVERED', 'CANCELED'))
				+ (SELECT count(*) FROM revocations WHERE status = 'OWED')`) == 0 { // tried at longer and longer intervals
				return
			}
		}
	}
	s.t.Fatalf("purchases do not come to their end: %v", s.texts(
		`SELECT concat_ws(' ', id, status, failure, look_at, capture_until) FROM payments WHERE ended_at IS NULL LIMIT 20`))
}
