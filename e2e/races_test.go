package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
)

// race is what can happen to a checkout link at the same moment.
type race struct {
	name  string
	round func(*stack) *round
}

var races = []race{
	{"the customer returns, an event comes, the workflow asks", (*stack).raceReturns},
	{"a line is given up and its time is over while it is captured", (*stack).raceGiveUp},
	{"lines are given up while others are captured", (*stack).raceLines},
	{"two tabs order", (*stack).raceTabs},
	{"the customer changes the order while it is paid", (*stack).raceReopen},
	{"the link is withdrawn while it is paid", (*stack).raceCancelLink},
	{"the authorization runs out while it is captured", (*stack).raceRunsOut},
	{"two payments are paid", (*stack).racePayments},
	{"a batch is recalled while its key is captured", (*stack).raceRecall},
	{"the order is cancelled while it is captured", (*stack).raceCancelOrder},
	{"the customer withdraws while it is captured", (*stack).raceWithdraw},
	{"two links and an order have one ID", (*stack).raceOrderID},
}

// TestRaces runs each race a few times, or as often as KEYTURN_RACES says: make test/races.
func TestRaces(t *testing.T) {
	t.Parallel()
	rounds := 3
	if text := os.Getenv("KEYTURN_RACES"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for _, race := range races {
		t.Run(race.name, func(t *testing.T) {
			s := start(t, options{noWorker: true, noRelay: true})
			s.acts.Desk.Accepted = nil
			processor := s.shake(3*time.Millisecond, 10)
			var keys []string
			for i := range 3*rounds + 10 {
				keys = append(keys, fmt.Sprintf("GAME-%d", i))
			}
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))}, keys...)
			s.product(keyturn.Product{ID: "late", Sources: sources(fromPool("empty"))})
			for range rounds {
				race.round(s).fair()
			}
			s.comesToRest()
			t.Logf("%d rounds, %d calls of the processor failed, payments: %v", rounds, processor.failed.Load(), s.texts(
				`SELECT status || ' ' || count(*) FROM payments GROUP BY status ORDER BY status`))
		})
	}
}

// comesToRest starts what the stack was started without, and audits strictly once nothing is left to do.
func (s *stack) comesToRest() {
	s.t.Helper()
	s.startWorker()
	s.startStarter()
	s.atRest()
	s.eventually(func() (bool, string) {
		open, err := s.evidence().Temporal.Open(context.Background())
		require.NoError(s.t, err)
		left := slices.DeleteFunc(open, func(w audit.OpenWorkflow) bool { return w.Type == "SettlePayment" })
		return len(left) == 0, fmt.Sprint(left)
	})
	s.books(func(e *audit.Evidence) { e.Quiescent = true })
}

func some(words ...string) string { return words[rand.IntN(len(words))] }

func (s *stack) raceReturns() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "", "cannot-authorize"))
	id := r.begin()
	r.together(
		func() { r.pay(id); r.look(id) }, func() { r.pay(id) }, func() { r.look(id) }, func() { r.look(id) },
		func() { r.event(id) }, func() { r.event(id) },
	)
	return r
}

// endsSoon has the time until which a payment is captured end in a few milliseconds.
func (r *round) endsSoon(paymentID string) {
	r.exec(`UPDATE payments SET capture_by = clock_timestamp() + make_interval(secs => $2)
		WHERE id = $1 AND status = 'AUTHORIZED'`, paymentID, rand.Float64()/100)
}

func (s *stack) raceGiveUp() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "capture-lost", "capture-fails-1", "capture-refused"))
	id := r.sold()
	f := r.lines()[0]
	r.claim(f)
	if rand.IntN(2) == 0 {
		r.endsSoon(id)
	}
	all := []func(){
		func() { r.capture(f) }, func() { r.capture(f) }, func() { r.look(id) }, func() { r.event(id) },
		func() { r.settlePayment(id) },
	}
	if rand.IntN(2) == 0 {
		all = append(all, func() { r.giveUp(f) })
	}
	r.together(all...)
	return r
}

func (s *stack) raceLines() *round {
	link := keyturn.CheckoutLink{Mixed: keyturn.MixedChargeAll}
	if rand.IntN(2) == 0 {
		link.Mixed = keyturn.MixedChargeReady
	}
	for _, product := range []string{"game", "late", "game"} {
		link.LineItems = append(link.LineItems, keyturn.LinkLine{ProductID: product, Name: product, UnitPrice: "10.00"})
	}
	r := s.newRound(link, some("", "", "capture-lost", "capture-fails-1"))
	id := r.sold()
	var all []func()
	for _, f := range r.lines() {
		all = append(all, func() { r.claim(f); r.capture(f) }, func() { r.claim(f); r.capture(f) })
	}
	given := r.lines()[rand.IntN(3)]
	r.together(append(all, func() { r.giveUp(given) }, func() { r.event(id) })...)
	return r
}

func (s *stack) raceTabs() *round {
	r := s.newRound(keyturn.CheckoutLink{LineItems: []keyturn.LinkLine{{
		ProductID: "game", Name: "Game", UnitPrice: "10.00", Quantity: keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2},
	}}}, some("", "cannot-authorize"))
	tab := func() { r.buyNow() }
	r.together(tab, tab, tab, func() {
		page, err := s.db.CheckoutPage(r.ctx, r.token)
		require.NoError(s.t, err)
		r.expected("quantity", s.db.ChooseQuantity(r.ctx, r.token, page.Version, 0, 2))
	})
	require.Len(s.t, r.payments(), 1)
	require.Equal(s.t, 1, s.count(`SELECT count(*) FROM sandbox_sessions WHERE order_id = $1`, r.orderID))
	return r
}

func (s *stack) raceReopen() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "cannot-authorize"))
	id := r.begin()
	r.together(
		func() { r.pay(id); r.look(id) },
		func() { r.reopen(id); r.buyNow() }, // of another browser
		func() { r.event(id) },
	)
	return r
}

func (s *stack) raceCancelLink() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "cannot-authorize"))
	id := r.begin()
	r.together(func() { r.pay(id); r.look(id) }, r.cancelLink, r.cancelLink, func() { r.buyNow() })
	if s.count(`SELECT count(*) FROM checkout_links WHERE id = $1 AND status = 'CANCELED'`, r.link) == 1 {
		r.settle()
		require.Empty(s.t, r.lines(), "%s: its link is withdrawn", r.orderID)
	}
	return r
}

func (s *stack) raceRunsOut() *round {
	r := s.newRound(keyturn.CheckoutLink{}, fmt.Sprintf("runs-out-in:%dms", 5+rand.IntN(60)))
	id := r.sold()
	for _, f := range r.lines() {
		r.claim(f)
		r.together(func() { r.capture(f) }, func() { r.capture(f) }, func() { r.look(id) }, func() { r.event(id) })
	}
	return r
}

// racePayments has a processor say that a session is over that can be paid all the same, so that another payment
// begins, and both are paid.
func (s *stack) racePayments() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "cannot-authorize"))
	first := r.begin()
	_, err := s.db.Reconcile(r.ctx, first, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired}, "test", nil)
	require.NoError(s.t, err)
	second := r.begin()
	require.NotEqual(s.t, first, second)
	r.together(
		func() { r.pay(first); r.look(first) }, func() { r.pay(second); r.look(second) },
		func() { r.event(first) }, func() { r.event(second) },
	)
	return r
}

func (s *stack) raceRecall() *round {
	pool := fmt.Sprintf("batch-%d", s.orders.Add(1))
	s.product(keyturn.Product{ID: pool, Sources: sources(fromPool(pool))}, pool+"-1", pool+"-2")
	s.load(pool, pool+"-3", pool+"-4")
	batch := s.texts(`SELECT id FROM batches WHERE pool_id = $1 ORDER BY created_at LIMIT 1`, pool)[0]
	r := s.newRound(keyturn.CheckoutLink{LineItems: []keyturn.LinkLine{
		{ProductID: pool, Name: "Game", UnitPrice: "10.00"},
	}}, "")
	id := r.sold()
	f := r.lines()[0]
	recall := func() {
		r.expected("recall", s.db.Stock().Recall(r.ctx, pool, batch, "leaked", true, "ops"))
	}
	if rand.IntN(3) == 0 {
		recall = func() {
			r.expected("undo", s.db.Stock().UndoBatch(r.ctx, pool, batch, "ops"))
		}
	}
	r.together(func() { r.claim(f); r.capture(f); r.settleLine(f) }, recall, func() { r.event(id) })
	return r
}

func (s *stack) raceCancelOrder() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "capture-lost"))
	id := r.sold()
	f := r.lines()[0]
	r.claim(f)
	r.together(
		func() { r.capture(f); r.settleLine(f) }, func() { r.event(id) },
		func() {
			r.expected("cancel the order", s.db.CancelOrder(r.ctx, r.orderID, "withdrawn"))
			r.settleLine(f)
		},
	)
	return r
}

func (s *stack) raceWithdraw() *round {
	r := s.newRound(keyturn.CheckoutLink{}, some("", "capture-lost", "capture-fails-1", "cannot-authorize"))
	r.withdrawal = keyturn.Withdrawal(some(string(keyturn.WithdrawalWaived), string(keyturn.WithdrawalOffered)))
	id := r.sold()
	f := r.lines()[0]
	withdraw := func() {
		r.expected("withdraw", s.db.Withdraw(r.ctx, s.db.PageToken(r.orderID)))
		r.settleLine(f)
	}
	if rand.IntN(2) == 0 {
		r.claim(f)
	}
	r.together(
		func() { r.claim(f); r.capture(f); r.settleLine(f) }, withdraw, withdraw, // of another tab
		func() { r.event(id) }, func() { r.settlePayment(id) },
	)
	return r
}

func (s *stack) raceOrderID() *round {
	r := s.newRound(keyturn.CheckoutLink{}, "")
	again := func(key string) func() {
		return func() {
			v, err := s.createLink(keyturn.CheckoutLink{
				OrderID: r.orderID, Currency: "EUR",
				LineItems: []keyturn.LinkLine{{ProductID: "game", Name: "Game", UnitPrice: "10.00"}},
			}, r.orderID+key)
			r.expected("make another link", err)
			if err == nil {
				s.t.Errorf("%s: two links make this order: %s", r.orderID, v.ID)
			}
		}
	}
	post := func() {
		_, _, err := s.db.Accept(r.ctx, acceptInput(keyturn.Order{
			ID: r.orderID, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay-" + r.orderID},
			Customer:  keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "en-GB"},
			LineItems: one("game"),
		}))
		r.expected("order past the link", err)
	}
	all := []func(){again("a"), again("b"), func() { r.buyNow() }}
	if rand.IntN(2) == 0 {
		all = append(all, post)
	}
	r.together(all...)
	return r
}
