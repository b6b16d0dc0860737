package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	stripeemulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/workflows"
)

// The loads and faults under which the mutants do harm.

func (s *stack) editor() { s.await(s.order("editor"), keyturn.OrderCompleted) }

// manyEditors sells ten times. Which keys a wrong statement takes depends on where they happen to be stored.
func (s *stack) manyEditors() {
	for i := range 10 {
		var keys []string
		for k := range 10 {
			keys = append(keys, fmt.Sprintf("MANY-%d-%d", i, k))
		}
		s.load("editor-keys", keys...)
		s.editor()
	}
}

func (s *stack) deliversEditor() { s.awaitLine(fulfillment(s.order("editor")), keyturn.LineDelivered) }

func (s *stack) storesEditor() { s.store(keyturn.Order{LineItems: one("editor")}) }

func (s *stack) sellsTwo() {
	a := s.accept([]keyturn.LineItem{{ProductID: "editor", Quantity: 2, GrossPrice: "9.00"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
}

// between is the line between the application and PostgreSQL, for a bug that needs an answer lost.
var between *faultproxy.Proxy

func lossyDatabase() options {
	return options{noWorker: true, noRelay: true, dsn: func(dsn string) string {
		u, err := url.Parse(dsn)
		if err == nil {
			between, err = faultproxy.Start("127.0.0.1:0", u.Host, faultproxy.Postgres)
		}
		if err != nil {
			panic(err)
		}
		u.Host = between.Addr()
		return u.String()
	}}
}

// hostilePlanner makes PostgreSQL choose the plan that it may choose at any time once its statistics say so.
func hostilePlanner() options {
	return options{dsn: func(dsn string) string {
		return dsn + "&enable_hashjoin=off&enable_mergejoin=off&enable_material=off&enable_hashagg=off" +
			"&enable_memoize=off&enable_sort=off&enable_bitmapscan=off&enable_seqscan=on"
	}}
}

// claimsWhoseAnswersAreLost goes over the round trips of a claim several times. Whether the driver repeats a statement
// depends on when it notices that the connection is gone.
func (s *stack) claimsWhoseAnswersAreLost() {
	s.t.Cleanup(func() { _ = between.Close() })
	for n := range 48 {
		a := s.store(keyturn.Order{LineItems: one("editor")})
		between.Lose(faultproxy.Loss{After: n % 12})
		again(s.t, func() error { _, err := s.db.Claim(context.Background(), fulfillment(a), nil); return err })
		between.Disarm()
	}
}

func (s *stack) twoWorkersClaim() {
	for range 5 {
		f := fulfillment(s.store(keyturn.Order{LineItems: one("editor")}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = s.acts.ClaimKeys(context.Background(), activities.Step{FulfillmentID: f}) })
		}
		wg.Wait()
	}
}

func (s *stack) importsTheSameKey() {
	for _, product := range []string{"first", "second"} {
		s.product(keyturn.Product{ID: product, Sources: sources(fromPool(product + "-keys"))}, "THE-SAME-KEY")
		s.await(s.order(product), keyturn.OrderCompleted)
	}
}

func (s *stack) partnerRepeatsACode() {
	s.drill("acme", "duplicate-key")
	for _, product := range []string{"cad", "cam"} {
		s.product(keyturn.Product{ID: product, Sources: sources(fromEndpoint("acme"))})
		s.await(s.order(product), keyturn.OrderCompleted)
	}
}

func (s *stack) sellsExpiredKeys() {
	s.exec(`UPDATE pool_keys SET expires_at = now() - interval '1 minute', give_until = now() - interval '1 minute'
		WHERE pool_id = 'editor-keys'`)
	_, err := s.db.Stock().ExpireKeys(context.Background(), 100)
	require.NoError(s.t, err)
	s.editor()
}

func (s *stack) sellsDown() {
	_, _, err := s.db.PutPool(context.Background(), keyturn.Pool{ID: "editor-keys", Threshold: 100})
	require.NoError(s.t, err)
	s.editor()
}

func (s *stack) refundsADeliveredLine() {
	a := s.order("editor")
	s.await(a, keyturn.OrderCompleted)
	require.NoError(s.t, s.db.CancelOrder(context.Background(), a.Order.ID, "changed my mind"))
}

// refundsAHeldLine gives up a line with keys that nobody has seen.
func (s *stack) refundsAHeldLine() {
	s.inbox.Fail(func(_, to string) error {
		if to == buyer {
			return inbox.Reject(451)
		}
		return nil
	})
	a := s.order("editor")
	s.awaitLine(fulfillment(a), keyturn.LineRetrying)
	s.signal(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRefund, By: "operator"})
}

// waitsBesideKeys has a line wait for keys that were imported long ago.
func (s *stack) waitsBesideKeys() {
	s.exec(`UPDATE batches SET created_at = created_at - interval '1 minute'`)
	s.awaitLine(fulfillment(s.order("editor")), keyturn.LineWaitingForStock)
}

func (s *stack) refusesTheFirstEmail() {
	var refused atomic.Bool
	s.inbox.Fail(func(_, to string) error {
		if to == buyer && !refused.Swap(true) {
			return inbox.Reject(451)
		}
		return nil
	})
	s.await(s.order("editor"), keyturn.OrderCompleted)
}

// opensWhatIsNotMailed has the customer open the key on the order page, because the mailbox takes no e-mail.
func (s *stack) opensWhatIsNotMailed() {
	s.inbox.Fail(func(_, to string) error {
		if to == buyer {
			return inbox.Reject(550)
		}
		return nil
	})
	a := s.order("editor")
	s.await(a, keyturn.OrderPartialCompleted)
	f := fulfillment(a)
	resp, body := s.visit("POST", "/o/"+s.db.PageToken(a.Order.ID)+"/lines/"+f+"/keys", url.Values{})
	require.Equal(s.t, http.StatusOK, resp.StatusCode, body)
	s.awaitLine(f, keyturn.LineDelivered)
}

// resolve stores an operator's decision and signals nobody.
func (s *stack) resolve(fulfillmentID string, r keyturn.Resolution) error {
	r.ID, r.By = "one", "operator"
	_, err := s.db.Resolve(context.Background(), fulfillmentID, r)
	return err
}

// callsMoreThanAllowed has three lines ask a partner at once that allows one call.
func (s *stack) callsMoreThanAllowed() {
	s.integration(keyturn.Integration{ID: "narrow", Limits: keyturn.Limits{MaxConcurrent: 1}})
	s.product(keyturn.Product{ID: "narrow", Sources: sources(fromEndpoint("narrow"))})
	s.drill("narrow", "slow:3s")
	var wg sync.WaitGroup
	for range 3 {
		f := fulfillment(s.store(keyturn.Order{LineItems: one("narrow")}))
		// Somebody has looked at it: it goes the way on which its partner's gate is asked by itself.
		err := s.resolve(f, keyturn.Resolution{Action: keyturn.ActionExtend, Until: ptr(time.Now().Add(time.Hour))})
		require.NoError(s.t, err)
		wg.Go(func() { _, _ = s.acts.CallEndpoint(context.Background(), activities.Step{FulfillmentID: f}) })
	}
	wg.Wait()
}

func (s *stack) refundsWhatMayHaveArrived() {
	s.inbox.Fail(func(_, to string) error {
		if to == buyer {
			return inbox.ErrCut
		}
		return nil
	})
	a := s.order("editor")
	s.awaitLine(fulfillment(a), keyturn.LineRetrying)
	s.signal(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRefund, By: "operator"})
}

// repeatsAKey sends two orders under one idempotency key.
func (s *stack) repeatsAKey() {
	for range 2 {
		o := keyturn.Order{
			ID: "ORDER-" + strconv.FormatInt(s.orders.Add(1), 10), Currency: "EUR", LineItems: one("editor"),
			Payment:  keyturn.Payment{Provider: "sandbox", Reference: "pay_1"},
			Customer: keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "en-GB"},
		}
		in := acceptInput(o)
		in.IdempotencyKey = "the-same-key"
		_, _, err := s.db.Accept(context.Background(), in)
		require.NoError(s.t, err)
	}
}

func (s *stack) sellsEditorByLink() {
	link := s.link("", "editor")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
}

// sellsWhatCannotBeAccepted has an order come in under the ID of a link's order while the link is paid.
func (s *stack) sellsWhatCannotBeAccepted() {
	link := s.link("cannot-authorize", "editor")
	page := s.orderAndPay(link)
	o := keyturn.Order{
		ID: link, Currency: "EUR", LineItems: one("editor"),
		Payment:  keyturn.Payment{Provider: "sandbox", Reference: "pay_1"},
		Customer: keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "en-GB"},
	}
	_, _, err := s.db.Accept(context.Background(), acceptInput(o))
	require.NoError(s.t, err)
	s.visit("POST", page, url.Values{"action": {"pay"}})
	s.awaitPayment(link, keyturn.PaymentCaptured)
}

// sellsOneOfTwo gives a line up whose order is charged then.
func (s *stack) sellsOneOfTwo() {
	s.product(keyturn.Product{
		ID: "rare", Sources: sources(fromPool("rare-keys")), Retry: every(200*time.Millisecond, time.Second),
	})
	link := s.linkOf(keyturn.CheckoutLink{Mixed: keyturn.MixedChargeReady}, "", "editor", "rare")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderPartialCanceled)
}

func (s *stack) sellsWhatDoesNotComeInTime() {
	s.product(keyturn.Product{ID: "rare", Sources: sources(fromPool("rare-keys"))})
	link := s.link("", "rare")
	s.buy(link)
	id := s.awaitPayment(link, keyturn.PaymentAuthorized)
	s.exec(`UPDATE payments SET capture_by = now() - interval '3 hours' WHERE id = $1`, id)
	require.NoError(s.t, s.db.LookAtPayment(context.Background(), id))
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM payments WHERE look_at > now()`) == 1, "nobody asks the processor"
	})
}

// sellsWhatIsNotDelivered ends uncharged.
func (s *stack) sellsWhatIsNotDelivered() {
	s.product(keyturn.Product{
		ID: "rare", Sources: sources(fromPool("rare-keys")), Retry: every(200*time.Millisecond, time.Second),
	})
	link := s.link("", "rare")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCanceled)
	s.awaitPayment(link, keyturn.PaymentVoided)
}

// sellsAndGivesBack has a person give back what was taken of another sum than was asked for.
func (s *stack) sellsAndGivesBack() {
	link := s.link("pays-other-amount cannot-authorize", "editor")
	s.buy(link)
	id := s.awaitPayment(link, keyturn.PaymentMismatch)
	require.NoError(s.t, s.acts.Desk.Resolve(context.Background(), id, keyturn.PaymentResolution{
		Action: keyturn.PaymentGiveBack, Reason: "another sum",
	}, "ana"))
	s.awaitPayment(link, keyturn.PaymentCaptured)
}

// sellsAndIsWithdrawnFrom has the customer withdraw from what was delivered.
func (s *stack) sellsAndIsWithdrawnFrom() {
	_, _, err := s.db.PutShop(context.Background(), keyturn.Shop{
		Checkout: keyturn.CheckoutSettings{Withdrawal: keyturn.WithdrawalOffered},
	})
	require.NoError(s.t, err)
	link := s.link("", "editor")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
	require.NoError(s.t, s.db.Withdraw(context.Background(), s.db.PageToken(link)))
}

// sellsAndHearsOfIt lets time pass after the processor has told of the capture.
func (s *stack) sellsAndHearsOfIt() {
	link := s.link("", "editor")
	resp, body := s.visit("POST", s.orderAndPay(link), url.Values{"action": {"pay"}})
	require.Equal(s.t, http.StatusSeeOther, resp.StatusCode, body)
	id, _ := s.paymentOf(link)
	_, err := s.acts.RetrievePayment(context.Background(), activities.PaymentStep{PaymentID: id}) // the customer returns
	require.NoError(s.t, err)
	s.awaitLink(link, keyturn.OrderCompleted)
	s.exec(`UPDATE payments SET asked_at = asked_at - interval '1 hour'`)
	s.exec(`UPDATE provider_events SET received_at = received_at - interval '1 hour'`)
}

// sellsOneOfTwoAtStripe sells two things at Stripe, of which one cannot be delivered; the answer to its refund is lost.
func (s *stack) sellsOneOfTwoAtStripe() {
	x := s.throughStripe()
	s.product(keyturn.Product{
		ID: "soldout", Sources: sources(fromPool("no-keys")), Retry: every(100*time.Millisecond, 2*time.Second),
	})
	lost := false
	x.emulator.SetFaults(func(c stripeemulator.Call) stripeemulator.Fault {
		if c.Operation != "refund.create" || lost {
			return ""
		}
		lost = true
		return stripeemulator.Lost
	})
	link := x.stripeLink("editor", "soldout")
	x.pays(link, stripeemulator.Card(""))
	s.awaitLink(link, keyturn.OrderPartialCanceled)
}

// sellsAndIsDisputedAtStripe has a customer dispute a payment, and Stripe tell of it.
func (s *stack) sellsAndIsDisputedAtStripe() {
	x := s.throughStripe()
	link := x.stripeLink("editor")
	x.pays(link, stripeemulator.Card(""))
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
	_, err := x.emulator.Dispute(x.atStripe(link).ID)
	require.NoError(s.t, err)
}

// sellsAndTells lets time pass after a webhook was told of an order.
func (s *stack) sellsAndTells() {
	s.webhook("shop", "order.*")
	s.exec(`UPDATE webhooks SET updated_at = updated_at - interval '1 hour'`)
	s.sends()
	s.await(s.order("editor"), keyturn.OrderCompleted)
	s.exec(`UPDATE events SET created_at = created_at - interval '20 minutes'`)
}

func (s *stack) sellsALinkTwice() {
	link := s.link("", "editor")
	for n := range 2 {
		s.buy(link)
		s.eventually(func() (bool, string) { return s.count(`SELECT count(*) FROM orders`) == n+1, "no order" })
	}
}

func (s *stack) partnerFailsTwice() {
	s.drill("studio", "fail-2-then-ok")
	s.order("studio")
	s.eventually(func() (bool, string) { return len(s.calls("studio", "create")) > 1, "the partner is not asked again" })
}

func (s *stack) partnerIsDown() {
	s.drill("studio", "fail:500")
	s.order("studio")
	s.eventually(func() (bool, string) { return len(s.calls("studio", "create")) > 2, "the partner is not asked again" })
}

func (s *stack) partnerRedirects() {
	s.drill("studio", "redirect:307")
	s.order("studio")
}

func (s *stack) partnerAnswers() { s.order("studio") }

// loses the answer of each refund that was paid once.
type losesAnswers struct {
	payment.Provider
	calls atomic.Int64
}

func (l *losesAnswers) Refund(ctx context.Context, r payment.Refund) (string, error) {
	id, err := l.Provider.Refund(ctx, r)
	if l.calls.Add(1) == 1 && err == nil {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the answer was lost: %w", errors.New("EOF"))
	}
	return id, err
}

func (s *stack) refundLosesItsAnswer() {
	s.acts.Providers[payment.SandboxName] = &losesAnswers{Provider: payment.Sandbox{Ledger: s.db}}
	s.product(keyturn.Product{
		ID: "rare", Sources: sources(fromPool("rare-keys")),
		Retry: every(200*time.Millisecond, time.Second),
	})
	a := s.accept(append(one("rare"), one("editor")...), "pay_1")
	s.await(a, keyturn.OrderPartialCanceled)
}

func (s *stack) commitFails() {
	s.order("editor")
	s.eventually(func() (bool, string) { return len(s.letters(buyer)) > 0, "no letter" })
}

// partnerIsDownForGood has a line that should be given up soon.
func (s *stack) partnerIsDownForGood() {
	s.product(keyturn.Product{
		ID: "brief", Sources: sources(fromEndpoint("brief")),
		Retry: every(300*time.Millisecond, 2*time.Second),
	})
	s.drill("brief", "fail:500")
	s.order("brief")
}

// partnerIssuesAndIsLeft has a partner issue a key whose answer never comes, until the line is refunded.
func (s *stack) partnerIssuesAndIsLeft() {
	s.product(keyturn.Product{
		ID: "left", Sources: sources(fromEndpoint("left")),
		Retry: every(300*time.Millisecond, 2*time.Second),
	})
	s.drill("left", "cut-after-issuing")
	s.await(s.order("left"), keyturn.OrderCanceled)
}

func callTimeout(keyturn.Integration) time.Duration { return time.Second }

func (s *stack) callsAfterTheRefund() {
	f := fulfillment(s.store(keyturn.Order{LineItems: one("studio")}))
	err := s.resolve(f, keyturn.Resolution{Action: keyturn.ActionRefund})
	require.NoError(s.t, err)
	_, _, _, err = s.db.BeginCall(context.Background(), f, callTimeout, noRender)
	require.NoError(s.t, err)
}

func (s *stack) callsTwiceAtOnce() {
	f := fulfillment(s.store(keyturn.Order{LineItems: one("studio")}))
	err := s.resolve(f, keyturn.Resolution{Action: keyturn.ActionExtend, Until: ptr(time.Now().Add(time.Hour))})
	require.NoError(s.t, err)
	for range 2 {
		_, _, _, err := s.db.BeginCall(context.Background(), f, callTimeout, noRender)
		require.NoError(s.t, err)
	}
}

// partnerFailsWithAKey has a partner whose errors look like answers.
func (s *stack) partnerFailsWithAKey() {
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"activationCode": "CODE-OF-AN-ERROR"}`)
	}))
	s.t.Cleanup(partner.Close)
	s.integration(keyturn.Integration{ID: "odd", BaseURL: partner.URL})
	s.product(keyturn.Product{ID: "odd", Sources: sources(fromEndpoint("odd"))})
	s.await(s.order("odd"), keyturn.OrderCompleted)
}

func (s *stack) resendsToOneOfTwo() {
	a := s.order("editor")
	s.await(a, keyturn.OrderCompleted)
	s.editor()
	_, err := s.db.Resend(context.Background(), fulfillment(a), "", "operator", s.acts.Letters.Render)
	require.NoError(s.t, err)
	s.starter.Wake()
}

// refundsBeforeTheResend cancels a line while an e-mail with its keys waits for the mail server.
func (s *stack) refundsBeforeTheResend() {
	a := s.order("editor")
	s.await(a, keyturn.OrderCompleted)
	var up atomic.Bool
	s.inbox.Fail(func(_, to string) error {
		if to == buyer && !up.Load() {
			return inbox.Reject(451)
		}
		return nil
	})
	_, err := s.db.Resend(context.Background(), fulfillment(a), "", "operator", s.acts.Letters.Render)
	require.NoError(s.t, err)
	s.eventually(func() (bool, string) {
		failed := s.count(`SELECT count(*) FROM deliveries WHERE number = 2 AND error IS NOT NULL`)
		return failed == 1, "the resend was not tried"
	})
	require.NoError(s.t, s.db.CancelOrder(context.Background(), a.Order.ID, "changed my mind"))
	s.await(a, keyturn.OrderCanceled)
	up.Store(true)
}

// holdsWhileTheEmailLeaves has a person hold the line between its e-mail's last byte and the booking of it.
func (s *stack) holdsWhileTheEmailLeaves() {
	var held atomic.Bool
	var a *db.Accepted
	ready := make(chan struct{})
	s.inbox.Fail(func(_, to string) error {
		<-ready
		if to == buyer && !held.Swap(true) {
			require.NoError(s.t, s.resolve(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionHold}))
		}
		return nil
	})
	s.product(keyturn.Product{ID: "byhand", Sources: sources(keyturn.Source{Type: keyturn.SourceManual})})
	a = s.order("editor", "byhand") // with one line the constraints on the order's counts would have stopped it
	close(ready)
	s.eventually(func() (bool, string) { return held.Load(), "no e-mail came" })
}

// renewsTwice has the second of two renewals carried out while the first is still tried.
func (s *stack) renewsTwice() {
	s.product(keyturn.Product{
		ID: "suite", Sources: sources(fromEndpoint("suite")),
		Retry: every(10*time.Second, 10*time.Minute),
	})
	a := s.order("suite")
	s.await(a, keyturn.OrderCompleted)
	down := emulator.Settings{Drill: "always-500", DrillOps: []string{"renew"}}
	require.NoError(s.t, s.partner.SetPartner("suite", down))
	s.buys(fulfillment(a), keyturn.OpRenew, "suite")
	s.eventually(func() (bool, string) { return len(s.calls("suite", "renew")) > 0, "the first renewal is not tried" })
	require.NoError(s.t, s.partner.SetPartner("suite", emulator.Settings{}))
	second := s.buys(fulfillment(a), keyturn.OpRenew, "suite")
	s.eventually(func() (bool, string) { // its workflow looks again
		id := workflows.LineWorkflowID(fulfillment(second))
		return s.temporal.SignalWorkflow(context.Background(), id, "", workflows.WakeName, nil) == nil, "no workflow"
	})
	s.await(second, keyturn.OrderCompleted)
}

func (s *stack) erasesTheBuyer() {
	a := s.order("editor")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	_, err := s.db.EraseCustomer(context.Background(), "", a.Order.Customer.ID, "operator")
	require.NoError(s.t, err)
}
