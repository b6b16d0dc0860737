package e2e_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
)

// round is one run of a race: a checkout link, and everything that happens to it at the same moment. Its methods do
// what pages and workflows do; that somebody else was faster or that the processor is down is no failure of theirs.
type round struct {
	*stack

	ctx     context.Context //nolint:containedctx // of one test
	orderID string          // of the order that the link makes
	link    string
	token   string
	// withdrawal is what becomes of the customer's right of withdrawal
	withdrawal keyturn.Withdrawal
}

// newRound makes a link. What it leaves open is one unit of the product game at 10.00 EUR.
func (s *stack) newRound(link keyturn.CheckoutLink, trouble string) *round {
	s.t.Helper()
	r := &round{stack: s, ctx: context.Background(), orderID: fmt.Sprintf("RACE-%05d", s.orders.Add(1))}
	link.OrderID, link.Currency = r.orderID, "EUR"
	link.Customer = keyturn.Customer{Email: buyer, Country: "FR", Locale: "en-GB"}
	if len(link.LineItems) == 0 {
		link.LineItems = []keyturn.LinkLine{{ProductID: "game", Name: "Game", UnitPrice: "10.00"}}
	}
	if trouble != "" {
		link.AdditionalData = map[string]string{"sandbox": trouble}
	}
	v, err := s.createLink(link, r.orderID)
	for range 100 {
		if keyturn.KindOf(err) != keyturn.KindUnavailable {
			break
		}
		v, err = s.createLink(link, r.orderID)
	}
	require.NoError(s.t, err)
	r.link, r.token = v.ID, s.db.LinkToken(v.ID)
	return r
}

func (s *stack) createLink(link keyturn.CheckoutLink, key string) (keyturn.LinkView, error) {
	hash := sha256.Sum256([]byte(key))
	v, _, err := s.db.CreateLink(context.Background(), db.LinkInput{
		Link: link, Client: "test", IdempotencyKey: key, RequestHash: hash[:],
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			l = l.WithDefaults(now, payment.SandboxName)
			return l, l.Check(now, mail.CheckAddress, nil)
		},
	})
	return v, err
}

// together does all of it at the same moment, give or take a few milliseconds, sometimes more: what comes first
// differs.
func (r *round) together(what ...func()) {
	var wg sync.WaitGroup
	apart := []time.Duration{time.Millisecond, 4 * time.Millisecond, 30 * time.Millisecond}[rand.IntN(3)]
	for _, do := range what {
		wg.Go(func() {
			time.Sleep(rand.N(apart))
			do()
		})
	}
	wg.Wait()
}

// expected fails the test unless the error, if any, tells of somebody else or of the processor.
func (r *round) expected(what string, err error) {
	if err == nil {
		return
	}
	kind := keyturn.KindOf(err)
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		kind = keyturn.Kind(failed.Type())
	}
	switch kind { // the others are faults of ours
	case keyturn.KindUnavailable, keyturn.KindConflict, keyturn.KindRateLimited, keyturn.KindRejected,
		keyturn.KindNotFound:
	default:
		r.t.Errorf("%s: %s: %v", r.orderID, what, err)
	}
}

// begin presses "order and pay", and gives the payment; "" while the link cannot be bought.
func (r *round) begin() string {
	for range 20 {
		page, err := r.db.CheckoutPage(r.ctx, r.token)
		if err != nil {
			r.expected("the page", err)
			continue
		}
		begun, err := r.db.BeginPayment(r.ctx, db.PaymentStart{
			Token: r.token, Version: page.Version, Customer: page.Customer, PayWithin: time.Hour,
			Withdrawal:   r.withdrawal,
			CheckAddress: mail.CheckAddress, Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
		})
		switch {
		case err == nil:
			for range 20 { // the page says that the processor is down, and the customer presses again
				if _, err = r.acts.Desk.Open(r.ctx, begun.ID); err == nil {
					break
				}
				r.expected("open", err)
			}
			return begun.ID
		case errors.Is(err, db.ErrOlderPage), keyturn.KindOf(err) == keyturn.KindUnavailable:
		default:
			r.expected("order and pay", err)
			return ""
		}
	}
	r.t.Errorf("%s: the page changes all the time", r.orderID)
	return ""
}

// pay pays a payment in its session, as its customer does.
func (r *round) pay(paymentID string) {
	facts, err := r.db.Payment(r.ctx, paymentID)
	if err != nil || facts.SessionURL == "" {
		r.expected("pay", err)
		return
	}
	_, err = r.sandbox.Act(r.ctx, facts.SessionURL[strings.LastIndex(facts.SessionURL, "/")+1:], keyturn.SandboxPay)
	r.expected("pay", err)
}

// buy orders and pays, and sees the customer return.
func (r *round) buyNow() string {
	id := r.begin()
	if id != "" {
		r.pay(id)
		r.look(id)
	}
	return id
}

// sold buys until there is an order.
func (r *round) sold() (paymentID string) {
	r.t.Helper()
	paymentID = r.buyNow()
	for range 50 {
		if len(r.lines()) > 0 {
			return paymentID
		}
		r.look(paymentID)
	}
	return paymentID // its authorization has run out before anybody looked
}

// look asks the processor, as a customer's return does and as a payment's workflow does.
func (r *round) look(paymentID string) {
	_, err := r.acts.Desk.Look(r.ctx, paymentID)
	r.expected("look", err)
}

func (r *round) event(paymentID string) {
	r.expected("event", r.db.LookAtPayment(r.ctx, paymentID))
	_, err := r.acts.RetrievePayment(r.ctx, activities.PaymentStep{PaymentID: paymentID})
	r.expected("event", err)
}

func (r *round) reopen(paymentID string) {
	_, err := r.acts.Desk.Expire(r.ctx, paymentID)
	r.expected("change my order", err)
}

// cancelLink does what POST /v1/checkout-links/{id}/cancellation does.
func (r *round) cancelLink() {
	err := r.db.CancelLink(r.ctx, r.link, "test", "withdrawn")
	if keyturn.KindOf(err) == keyturn.KindConflict {
		paying, findErr := r.db.PayableOf(r.ctx, r.link)
		r.expected("cancel the link", findErr)
		if paying != "" {
			r.reopen(paying)
			err = r.db.CancelLink(r.ctx, r.link, "test", "withdrawn")
		}
	}
	r.expected("cancel the link", err)
}

func (r *round) do(f string, step func(context.Context, activities.Step) (keyturn.Next, error)) keyturn.Next {
	next, err := step(r.ctx, activities.Step{FulfillmentID: f})
	r.expected("step", err)
	return next
}

func (r *round) claim(f string)   { r.do(f, r.acts.ClaimKeys) }
func (r *round) capture(f string) { r.do(f, r.acts.CapturePayment) }

func (r *round) giveUp(f string) {
	_, err := r.db.Resolve(r.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund, By: "ops"})
	r.expected("give up", err)
}

// lines are those of the order, none while there is no order.
func (r *round) lines() []string {
	return r.texts(`SELECT CAST(fulfillment_id AS text) FROM line_items WHERE order_id = $1 ORDER BY id`, r.orderID)
}

func (r *round) payments() []string {
	return r.texts(`SELECT CAST(id AS text) FROM payments WHERE link_id = $1 ORDER BY number`, r.link)
}

// settle does what workflows do until nothing is left to do, without their waits.
func (r *round) settle() {
	r.t.Helper()
	for range 300 {
		busy := false
		for _, id := range r.payments() {
			busy = r.settlePayment(id) || busy
		}
		for _, f := range r.lines() {
			busy = r.settleLine(f) || busy
		}
		if !busy {
			return
		}
	}
	r.t.Fatalf("%s does not come to its end: %s", r.orderID, strings.Join(r.texts(`
		SELECT concat_ws(' ', status, provider, failure, capture_minor, capture_until) FROM payments WHERE link_id = $1
		UNION ALL SELECT concat_ws(' ', status, failure) FROM line_items WHERE order_id = $2`, r.link, r.orderID), "; "))
}

func (r *round) settlePayment(id string) (busy bool) {
	step := activities.PaymentStep{PaymentID: id}
	next, err := r.acts.ReviewPayment(r.ctx, step)
	r.expected("review", err)
	var do func(context.Context, activities.PaymentStep) (keyturn.PaymentNext, error)
	switch next.Do {
	case keyturn.PaymentDoNothing:
		return false
	case keyturn.PaymentDoOpen:
		do = r.acts.OpenSession
	case keyturn.PaymentDoRetrieve:
		do = r.acts.RetrievePayment
	case keyturn.PaymentDoExpire:
		do = r.acts.ExpireSession
	case keyturn.PaymentDoVoid:
		do = r.acts.VoidPayment
	case keyturn.PaymentDoRefund:
		do = r.acts.RefundPayment
	case keyturn.PaymentDoMail:
		do = r.acts.SendPaymentEmail
	case keyturn.PaymentDoWait: // the time for it has come
		switch next.Status { // the others are looked at
		case keyturn.PaymentMismatch:
			return false
		case keyturn.PaymentCreated:
			do = r.acts.OpenSession
		case keyturn.PaymentOpen: // nobody pays it any more
			do = r.acts.ExpireSession
		default:
			do = r.acts.RetrievePayment
		}
	}
	_, err = do(r.ctx, step)
	r.expected(string(next.Do), err)
	return true
}

func (r *round) settleLine(f string) (busy bool) {
	next := r.do(f, r.acts.ReviewLine)
	switch next.Do {
	case keyturn.DoNothing:
		return false
	case keyturn.DoClaim:
		if next.Status == keyturn.LineWaitingForStock {
			r.giveUp(f)
			return true
		}
		r.claim(f)
	case keyturn.DoCapture:
		r.capture(f)
	case keyturn.DoDeliver:
		r.do(f, r.acts.SendEmail)
	case keyturn.DoRefund:
		r.do(f, r.acts.Refund)
	case keyturn.DoCall, keyturn.DoApply, keyturn.DoAwait, keyturn.DoQueue:
		r.t.Fatalf("a race has no line that needs %s", next.Do)
	}
	return true
}

// fairSQL: what was taken and not given back is the price of what was delivered, from one payment at most, and nothing
// stays blocked at the bank.
const fairSQL = `
	WITH charged AS (
		SELECT p.captured_minor - coalesce((SELECT sum(r.amount_minor) FROM sandbox_refunds r
			WHERE r.reference = p.reference AND r.order_id = p.order_id AND r.applied_at IS NOT NULL), 0) AS minor
		FROM sandbox_payments p WHERE p.order_id = $1
	), got AS (
		SELECT coalesce(sum(gross_minor), 0) AS minor FROM line_items WHERE order_id = $1 AND status = 'DELIVERED'
	)
	SELECT 'charged ' || (SELECT coalesce(sum(minor), 0) FROM charged) || ' for ' || minor FROM got
	WHERE minor <> (SELECT coalesce(sum(minor), 0) FROM charged)
	UNION ALL SELECT count(*) || ' charges' FROM charged WHERE minor > 0 HAVING count(*) > 1
	UNION ALL SELECT count(*) || ' orders' FROM payments WHERE link_id = $2 AND order_id IS NOT NULL HAVING count(*) > 1
	UNION ALL SELECT 'session ' || x.status FROM sandbox_sessions x JOIN payments p ON p.id = x.payment_id
	WHERE p.link_id = $2 AND p.status <> 'MISMATCH' AND x.status IN ('open', 'processing', 'authorized')`

// fair settles the round and checks what the customer has of it. Events that come after the end change nothing.
func (r *round) fair() {
	r.t.Helper()
	r.settle()
	standing := func() []string {
		return r.texts(`SELECT concat_ws(' ', id, status, captured_minor) FROM payments WHERE link_id = $1 ORDER BY number`,
			r.link)
	}
	before := standing()
	for _, id := range r.payments() {
		r.event(id)
	}
	r.settle()
	require.Equal(r.t, before, standing(), r.orderID)
	require.Empty(r.t, r.texts(fairSQL, r.orderID, r.link), r.orderID)
	if r.t.Failed() {
		r.t.FailNow()
	}
}
