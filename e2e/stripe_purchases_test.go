package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/workflows"
)

// payers are what customers pay with at Stripe in TestStripePurchases: most of it is good.
var payers = []emulator.Method{
	{Kind: "card"},
	{Kind: "card"},
	{Kind: "card"},
	{Kind: "card"},
	{Kind: "link"},
	{Kind: "card", Lasts: 20 * time.Second},
	{Kind: "card", Number: emulator.CardRefundLate, Settles: 3 * time.Second},
	{Kind: "sepa_debit", Settles: time.Second},
	{Kind: "sepa_debit", Number: emulator.AccountFails, Settles: time.Second},
}

// TestStripePurchases has customers buy at Stripe while its answers and events go wrong in every way that the emulator
// knows, and compares Stripe's books with ours. KEYTURN_STRIPE_PURCHASES says how many: make test/stripe.
func TestStripePurchases(t *testing.T) {
	n := howMany(t, "KEYTURN_STRIPE_PURCHASES", "make test/stripe")
	o, proxies := lossyConnections(t)
	s := startStripe(t, o)
	s.catalogOfPurchases(n)
	s.emulator.SetFaults(badCalls)
	s.emulator.SetWebhooks(s.badEvents)
	trouble := s.breakConnections(proxies)
	began := time.Now()
	s.customers(n, s.buyOnceAtStripe)
	bought := time.Since(began)
	over := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { s.timePasses(over) })
	s.purchasesEnd()
	close(over)
	clock.Wait()
	trouble()
	took := time.Since(began)
	s.emulator.SetFaults(nil)
	s.emulator.SetWebhooks(nil)
	s.emulator.Advance(25 * time.Hour) // what was to come a day late comes now
	s.atRest()
	r := s.books(func(e *audit.Evidence) { e.Quiescent = true })
	require.True(t, r.OK)
	require.Empty(t, s.unfair())
	calls := s.emulator.Calls()
	t.Logf("%d purchases begun in %s and over after %s; calls of Stripe and how they went wrong: %v", n,
		bought.Round(time.Second), took.Round(time.Second), calls)
	t.Logf("payments %v, lines %v, events %v", s.texts(
		`SELECT status || ' ' || count(*) FROM payments GROUP BY status ORDER BY status`),
		s.texts(`SELECT status || ' ' || count(*) FROM line_items GROUP BY status ORDER BY status`),
		s.count(`SELECT count(*) FROM provider_events`))
	if n >= 500 {
		for _, operation := range []string{
			"checkout.session.create", "checkout.session.retrieve", "checkout.session.expire", "payment_intent.capture",
			"payment_intent.cancel", "refund.create", "refund.list",
		} {
			require.NotZero(t, calls[operation], operation)
		}
	}
}

// badCalls has one call in twelve go wrong, and one in four of those that move money. One that hangs takes all the time
// that a call may take, so few do.
func badCalls(c emulator.Call) emulator.Fault {
	most := 2000
	if c.Operation == "payment_intent.capture" || c.Operation == "payment_intent.cancel" || c.Operation == "refund.create" {
		most = 640
	}
	switch luck := rand.IntN(most); {
	case luck < 3:
		return emulator.Late
	case luck < 6:
		return emulator.Never
	case luck < 160:
		ways := slices.DeleteFunc(emulator.Faults(), func(f emulator.Fault) bool {
			return f == emulator.Late || f == emulator.Never
		})
		return ways[luck%len(ways)]
	}
	return ""
}

// badEvents has events not come, come twice, in another order, a day late, and beside them some that are not to be
// believed.
func (s *stripeShop) badEvents(emulator.Notice) []emulator.Delivery {
	var all []emulator.Delivery
	switch luck := rand.IntN(20); {
	case luck < 4:
	case luck < 6:
		all = append(all, emulator.Delivery{}, emulator.Delivery{})
	case luck < 9:
		all = append(all, emulator.Delivery{After: rand.N(3 * time.Second)})
	case luck < 10:
		all = append(all, emulator.Delivery{After: 24 * time.Hour})
	case luck < 11:
		all = append(all, emulator.Delivery{APIVersion: "2020-08-27"})
	default:
		all = append(all, emulator.Delivery{})
	}
	bad := []emulator.Delivery{
		{Secret: "whsec_of_nobody"},
		{Age: time.Hour},
		{Age: -time.Hour},
		{Unsigned: true},
		{Altered: true},
		{OtherMode: true},
		{Metadata: map[string]string{"keyturn": "elsewhere/" + s.queue}},
	}
	if rand.IntN(5) == 0 {
		one := bad[rand.IntN(len(bad))]
		one.Once = true
		all = append(all, one)
	}
	return all
}

// buyOnceAtStripe is one customer: some are declined first, some change their order, some return, most close
// the window, some never pay.
func (s *stripeShop) buyOnceAtStripe(i int) {
	link := cart(i)
	link.Provider = stripe.Name
	if rand.IntN(4) == 0 {
		link.Capture = keyturn.CaptureWhenObtained
	}
	r := s.newRound(link, "")
	id := r.begin()
	r.paysOrNot(id, func() {
		facts, err := r.db.Payment(r.ctx, id)
		if err != nil || facts.SessionReference == "" {
			r.expected("pay", err)
			return
		}
		if rand.IntN(10) == 0 {
			_, _ = s.emulator.Pay(facts.SessionReference, emulator.Card(emulator.CardDeclined))
		}
		for range 2 { // a link may take no debit
			if _, err = s.emulator.Pay(facts.SessionReference, payers[rand.IntN(len(payers))]); err == nil {
				return
			}
		}
	})
}

// timePasses has a quarter of an hour pass soon for whatever waits for that long: a write whose provider has failed,
// refunds that the provider has taken on, and what is tried again later each time.
func (s *stripeShop) timePasses(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(3 * time.Second):
		}
		for _, table := range []string{"refunds", "payment_refunds"} {
			s.exec(`UPDATE ` + table + ` SET key_failed_at = key_failed_at - interval '5 minutes'
				WHERE key_failed_at > now() - interval '20 minutes'`)
		}
		s.exec(`UPDATE payments SET open_failed_at = open_failed_at - interval '5 minutes'
			WHERE open_failed_at > now() - interval '20 minutes'`)
		for _, f := range s.texts(`SELECT CAST(fulfillment_id AS text) FROM line_items
			WHERE status = 'CANCELING' AND next_attempt_at > now() + interval '10 seconds'`) {
			s.isTriedNow(workflows.LineWorkflowID(f), "Refund")
		}
		for status, step := range map[string]string{"VOIDING": "VoidPayment", "CREATED": "OpenSession"} {
			for _, id := range s.texts(`SELECT CAST(p.id AS text) FROM payments p WHERE p.status = $1
				AND p.created_at < now() - interval '20 seconds' AND NOT EXISTS (
				SELECT FROM payment_log g WHERE g.payment_id = p.id AND g.at > now() - interval '20 seconds')`, status) {
				s.isTriedNow(workflows.PaymentWorkflowID(id), step)
			}
		}
	}
}

// isTriedNow has a workflow's activity, if it waits for its next try, not wait any longer.
func (s *stack) isTriedNow(workflowID, activity string) {
	_, _ = s.temporal.WorkflowService().ResetActivity(s.t.Context(), &workflowservice.ResetActivityRequest{
		Namespace: "default", Execution: &common.WorkflowExecution{WorkflowId: workflowID},
		Activity: &workflowservice.ResetActivityRequest_Type{Type: activity},
	})
}

// breakConnections loses answers of PostgreSQL and Temporal, and every now and then ends all connections at once, which
// is what a restart of PostgreSQL and the death of a process look like to everybody else, and has another worker take
// over. It goes on until healed is called.
func (s *stripeShop) breakConnections(proxies *[]*faultproxy.Proxy) (healed func()) {
	over := make(chan struct{})
	var faults sync.WaitGroup
	lost, restarts := 0, 0
	faults.Go(func() { lost = loseAnswers(*proxies, over) })
	faults.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Second):
			}
			restarts++
			for _, p := range *proxies {
				p.Cut(restarts%2 == 0)
			}
			s.worker.Stop()
			s.startWorker()
		}
	})
	healed = sync.OnceFunc(func() {
		close(over)
		faults.Wait()
		s.t.Logf("%d answers of PostgreSQL and Temporal were lost, and %d times everything was cut off and a worker stopped",
			lost, restarts)
	})
	s.t.Cleanup(healed)
	return healed
}

// unfair compares Stripe's books with ours: of each order, what was taken and not given back is the price of what was
// delivered, of one payment at most; each refund was made once; nothing is blocked, and nothing can be paid any more.
func (s *stripeShop) unfair() (wrong []string) {
	s.t.Helper()
	type ours struct{ status, order string }
	known := map[string]ours{}
	for _, text := range s.texts(`SELECT concat_ws(' ', id, status, coalesce(order_id, '-')) FROM payments`) {
		parts := strings.Fields(text)
		known["e2e/"+parts[0]] = ours{parts[1], parts[2]}
	}
	delivered := map[string]int64{}
	for _, text := range s.texts(`SELECT order_id || ' ' || sum(gross_minor) FROM line_items WHERE status = 'DELIVERED'
		GROUP BY order_id`) {
		order, minor, _ := strings.Cut(text, " ")
		delivered[order], _ = strconv.ParseInt(minor, 10, 64)
	}
	charged := map[string]int64{}
	b := s.emulator.Books()
	for _, p := range b.Payments {
		o, ok := known[p.Metadata["keyturn"]]
		net := p.Captured - p.Refunded
		switch {
		case !ok:
			wrong = append(wrong, p.ID+": nobody knows it")
		case p.Authorized > 0:
			wrong = append(wrong, p.ID+": is blocked; we say "+o.status)
		case net > 0 && (o.order == "-" || charged[o.order] > 0):
			wrong = append(wrong, fmt.Sprintf("%s: %d charged without an order, or twice; we say %s", p.ID, net, o.status))
		}
		charged[o.order] += net
	}
	for order, minor := range charged {
		if order != "-" && minor != delivered[order] {
			wrong = append(wrong, fmt.Sprintf("%s: charged %d for %d", order, minor, delivered[order]))
		}
		delete(delivered, order)
	}
	for order, minor := range delivered {
		wrong = append(wrong, fmt.Sprintf("%s: %d delivered and not charged", order, minor))
	}
	refunds := map[string]int{}
	for _, r := range b.Refunds {
		refunds[r.Metadata["keyturn"]]++
		if refunds[r.Metadata["keyturn"]] > 1 {
			wrong = append(wrong, r.Metadata["keyturn"]+": refunded more than once")
		}
	}
	for _, session := range b.Sessions {
		if session.Status == "open" {
			wrong = append(wrong, session.ID+": can still be paid; we say "+known[session.Metadata["keyturn"]].status)
		}
	}
	return wrong
}
