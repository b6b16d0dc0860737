package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
)

// goodLink sells one unit or two of a product at a price of its own.
const goodLink = `{"reference": "CRM-1", "orderId": "ORD-L1", "currency": "eur", "locale": "fr-FR",
	"lineItems": [{"productId": "acme-pro", "name": "  Acme Pro,\t5 devices ", "unitPrice": "49.9", "listPrice": "59.90",
		"quantity": {"value": 1, "max": 2}, "sku": "ACME-5"}],
	"customer": {"email": " jean@buyer.test ", "country": "fra", "firstName": "Jean"},
	"additionalData": {"campaign": "spring"}, "returnUrl": "https://shop.example/thanks"}`

func (b *bench) link(t *testing.T, key, body string) keyturn.LinkView {
	t.Helper()
	var v keyturn.LinkView
	a := b.do(t, "POST", "/v1/checkout-links", body, "Idempotency-Key", key)
	require.Equal(t, 201, a.status, a.body)
	a.into(t, &v)
	return v
}

// beginPayment is what a customer does who presses "order and pay", and what the processor answers.
func (b *bench) beginPayment(t *testing.T, linkID string) string {
	t.Helper()
	ctx, token := context.Background(), b.db.LinkToken(linkID)
	page, err := b.db.CheckoutPage(ctx, token)
	require.NoError(t, err)
	customer := page.Customer
	customer.Email, customer.Country = "jean@buyer.test", "FR"
	begun, err := b.db.BeginPayment(ctx, db.PaymentStart{
		Token: token, Version: page.Version, Customer: customer, PayWithin: 30 * time.Minute,
		CheckAddress: func(string) error { return nil },
		Respond:      func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(t, err)
	b.processorSays(t, begun.ID, keyturn.ProcessorState{
		Status: keyturn.AtProcessorOpen, SessionReference: "s-" + begun.ID, URL: "https://pay.test/" + begun.ID,
	})
	return begun.ID
}

func (b *bench) processorSays(t *testing.T, payment string, s keyturn.ProcessorState) {
	t.Helper()
	_, err := b.db.Reconcile(context.Background(), payment, s, "test",
		func(db.Accepted) ([]byte, error) { return []byte("{}"), nil })
	require.NoError(t, err)
}

func TestACheckoutLinkIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA", "BBBB", "CCCC")
	made := b.link(t, "k1", goodLink)
	require.Equal(t, keyturn.LinkOpen, made.Status)
	require.Equal(t, "EUR", made.Currency)
	require.Equal(t, "49.90", made.Total)
	require.Equal(t, "sandbox", made.Provider)
	require.Equal(t, "ORD-L1", made.OrderID)
	require.Equal(t, []keyturn.LinkLineView{{
		ProductID: "acme-pro", Name: "Acme Pro, 5 devices", SKU: "ACME-5", UnitPrice: "49.90", ListPrice: "59.90",
		Quantity: keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2},
	}}, made.LineItems)
	require.Equal(t, []keyturn.LineSellability{{Code: keyturn.SellableLow, Left: 3}}, made.Sellability)
	require.Regexp(t, `^https://shop\.test/c/[\w-]{22}$`, made.URL)
	require.Equal(t, "/v1/checkout-links/"+made.ID, made.Links.Self)
	require.WithinDuration(t, made.CreatedAt.Add(14*24*time.Hour), made.ExpiresAt, time.Minute)

	var written map[string]any
	require.NoError(t, json.Unmarshal([]byte(goodLink), &written))
	written["currency"], written["capture"] = "EUR", "whenPossible"
	otherwise, err := json.MarshalIndent(written, "", "\t")
	require.NoError(t, err)
	for key, asked := range map[string]string{ // the same key, or the same reference, and the same content
		"k1": goodLink, "k2": strings.Replace(string(otherwise), `"49.9"`, `"49.90"`, 1),
	} {
		a := b.must(t, "POST", "/v1/checkout-links", asked, "Idempotency-Key", key)
		require.Equal(t, 200, a.status)
		require.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
		var again keyturn.LinkView
		a.into(t, &again)
		require.Equal(t, made.ID, again.ID)
		require.Equal(t, made.URL, again.URL)
	}
	other := strings.Replace(goodLink, "49.9", "39.9", 1)
	taken := strings.Replace(goodLink, "CRM-1", "CRM-2", 1)
	b.sellOrder(t)
	b.play(t, []scenario{
		{"another request of the key", "POST", "/v1/checkout-links", key("k1"), other, 422, []string{"Idempotency-Key"}, nil},
		{"another link by the reference", "POST", "/v1/checkout-links", key("k3"), other, 409, []string{`"reference"`}, nil},
		{"an order's ID of an open link", "POST", "/v1/checkout-links", key("k4"), taken, 409, []string{`"orderId"`}, nil},
		{
			"an order's ID of an order", "POST", "/v1/checkout-links", key("k5"),
			strings.Replace(taken, "ORD-L1", "ORD-1", 1), 409,
			[]string{`"orderId"`},
			nil,
		},
		{"without a key", "POST", "/v1/checkout-links", nil, taken, 400, []string{"Idempotency-Key"}, nil},
	})
}

// A link of which nothing costs anything needs no payment provider, whatever is configured.
func TestALinkThatCostsNothingNeedsNoProvider(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA")
	const none = `"provider": "none", "currency"`
	free := strings.Replace(goodLink, "49.9", "0", 1)
	made := b.link(t, "k1", free)
	require.Equal(t, []string{"none", "0.00"}, []string{made.Provider, made.Total})
	offer := `"offers": {"onVisit": [{"id": "o", "headline": "More", "lineItem": {"productId": "acme-pro", "name": "Pro",
		"unitPrice": "PRICE"}}]}, "currency"`
	offering := func(price string) string {
		return strings.NewReplacer("CRM-1", "CRM-o"+price, "ORD-L1", "ORD-o"+price, `"currency"`,
			strings.Replace(offer, "PRICE", price, 1)).Replace(strings.Replace(free, `"currency"`, none, 1))
	}
	require.Equal(t, "none", b.link(t, "k2", offering("0")).Provider)
	b.play(t, []scenario{
		{
			"with an offer that costs", "POST", "/v1/checkout-links", key("k3"), offering("1"), 422,
			[]string{`"provider"`},
			nil,
		},
		{
			"for what costs", "POST", "/v1/checkout-links", key("k4"),
			strings.NewReplacer("CRM-1", "CRM-2", `"currency"`, none).Replace(goodLink), 422,
			[]string{`"provider"`},
			nil,
		},
	})
}

func key(k string) []string { return []string{"Idempotency-Key", k} }

func (b *bench) sellOrder(t *testing.T) {
	t.Helper()
	b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "order")
}

// Each refusal names the field and says what to do.
func TestWhatALinkIsRefusedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA")
	const line = `{"productId": "acme-pro", "name": "Acme", "unitPrice": "10"}`
	link := func(lines, more string) string {
		return `{"currency": "EUR", "lineItems": [` + lines + `]` + more + `}`
	}
	offer := func(replaces int) string {
		return fmt.Sprintf(`, "offers": {"onVisit": [{"id": "o", "replaces": %d, "headline": "More", "lineItem": %s}]}`,
			replaces, line)
	}
	for i, c := range []struct {
		body  string
		names []string // in the answer
	}{
		{link("", ""), []string{`"lineItems"`}},
		{link(strings.Replace(line, "acme-pro", "gone", 1), ""), []string{"lineItems[0].productId", "not in the catalog"}},
		{link(strings.Replace(line, `"10"`, `"10.001"`, 1), ""), []string{"lineItems[0].unitPrice", "digits"}},
		{link(strings.Replace(line, "}", `, "quantity": {"value": 5, "max": 2}}`, 1), ""), []string{"lineItems[0].quantity"}},
		{link(strings.Replace(line, "}", `, "listPrice": "9"}`, 1), ""), []string{"lineItems[0].listPrice"}},
		{link(line, offer(1)), []string{"offers.onVisit[0].replaces"}},
		{link(line, `, "provider": "till"`), []string{`"provider"`, "configured to sell: sandbox"}},
		{link(strings.Replace(line, "}", `, "quantity": 1.5}`, 1), ""), []string{"lineItems[0].quantity", "whole number"}},
		{link(strings.Replace(line, "}", `, "quantity": "2"}`, 1), ""), []string{"lineItems[0].quantity", "whole number"}},
		{link(strings.Replace(line, "}", `, "quantity": 0}`, 1), ""), []string{"lineItems[0].quantity", "at least 1"}},
		{link(strings.Replace(line, "}", `, "quantity": {"least": 1}}`, 1), ""), []string{"lineItems[0].quantity.least"}},
		{strings.Replace(link(line, ""), "EUR", "EUX", 1), []string{`"currency"`}},
		{link(line, `, "expiresAt": "2020-01-01T00:00:00Z"`), []string{`"expiresAt"`}},
		{link(line, `, "customer": {"email": "jean"}`), []string{"customer.email"}},
		{link(line, `, "additionalData": {"card": "4111 1111 1111 1111"}`), []string{"additionalData.card", "card number"}},
		{link(line, `, "returnUrl": "https://shop.example.evil.test/"`), []string{`"returnUrl"`, "KEYTURN_RETURN_ORIGINS"}},
		{link(line, `, "cancelUrl": "https://shop.example:8443/"`), []string{`"cancelUrl"`}},
		{link(line, `, "returnUrl": "http://shop.example/"`), []string{`"returnUrl"`}},
		{link(line, `, "colour": "red"`), []string{"colour"}},
		{link(line, `, "additionalData": {"sandbox": "make-coffee"}`), []string{"additionalData.sandbox", "make-coffee"}},
	} {
		a := b.do(t, "POST", "/v1/checkout-links", c.body, "Idempotency-Key", fmt.Sprint("k", i))
		require.Equal(t, 422, a.status, "%s: %s", c.body, a.body)
		for _, text := range c.names {
			require.Contains(t, a.body, text, c.body)
		}
	}
	production := newBench(t, func(c *api.Config) { c.Processors = nil })
	production.sell(t, "AAAA")
	a := production.do(t, "POST", "/v1/checkout-links", link(line, ""), "Idempotency-Key", "k")
	require.Equal(t, 422, a.status)
	require.Contains(t, a.body, `"provider"`, "without a default it must be named")
}

func TestWhoSeesWhatOfALink(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA")
	id := b.link(t, "k1", goodLink).ID
	at := "/v1/checkout-links/" + id
	reader := b.token(t, "reader", api.ScopeCheckoutRead)
	a := b.must(t, "GET", at, "", "Authorization", reader)
	require.NotContains(t, a.body, "/c/", "who has the page's address can buy")
	require.NotContains(t, a.body, "jean")
	list := b.must(t, "GET", "/v1/checkout-links?status=OPEN&reference=CRM-1", "", "Authorization", reader)
	require.Contains(t, list.body, id)
	require.NotContains(t, list.body, "/c/")
	require.NotContains(t, list.body, "jean")
	a = b.do(t, "GET", at+"?include=customer", "", "Authorization", reader)
	require.Equal(t, 403, a.status)
	require.Contains(t, a.body, api.ScopeCustomersRead)
	require.Equal(t, 400, b.do(t, "GET", at+"?include=all", "").status)
	support := b.token(t, "support", api.ScopeCheckoutRead, api.ScopeCustomersRead)
	var v keyturn.LinkView
	b.must(t, "GET", at+"?include=customer", "", "Authorization", support).into(t, &v)
	require.Equal(t, "jean@buyer.test", v.Customer.Email)
	require.Equal(t, "FR", v.Customer.Country)
	require.Equal(t, []string{"support customer link/" + id}, b.looks(t))
	require.NotContains(t, b.log.String(), "jean")
	require.NotContains(t, b.log.String(), b.db.LinkToken(id))
	b.play(t, []scenario{
		{"no such link", "GET", "/v1/checkout-links/lnk-1", nil, "", 404, nil, nil},
		{"no such status", "GET", "/v1/checkout-links?status=SOLD", nil, "", 400, []string{"status"}, nil},
		{"no such cursor", "GET", "/v1/checkout-links?cursor=x", nil, "", 400, []string{"cursor"}, nil},
		{"no such payment", "GET", "/v1/payments/x", nil, "", 404, nil, nil},
		{"no such payment status", "GET", "/v1/payments?status=PAID", nil, "", 400, []string{"status"}, nil},
	})
}

func TestALinkIsWithdrawn(t *testing.T) {
	t.Parallel()
	var b *bench
	ends := true
	b = newBench(t, func(c *api.Config) {
		c.CancelPayment = func(_ context.Context, id string) error {
			if ends {
				b.processorSays(t, id, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
			}
			return nil
		}
	})
	b.sell(t, "AAAA")
	id := b.link(t, "k1", goodLink).ID
	at := "/v1/checkout-links/" + id + "/cancellation"
	const why = `{"reason": "the offer is over"}`
	b.play(t, []scenario{
		{"without a reason", "POST", at, nil, `{}`, 422, []string{`"reason"`}, nil},
		{"unknown", "POST", "/v1/checkout-links/x/cancellation", nil, why, 404, nil, nil},
	})
	pay := b.beginPayment(t, id)
	ends = false
	a := b.do(t, "POST", at, why)
	require.Equal(t, 409, a.status)
	require.Contains(t, a.body, "paying")
	ends = true
	for range 2 {
		var v keyturn.LinkView
		b.must(t, "POST", at, why).into(t, &v)
		require.Equal(t, keyturn.LinkCanceled, v.Status)
		require.Equal(t, "the offer is over", v.EndReason)
		require.Equal(t, pay, v.Payments[0].ID)
		require.Equal(t, keyturn.PaymentExpired, v.Payments[0].Status)
	}
	unwired := newBench(t)
	unwired.sell(t, "AAAA")
	id = unwired.link(t, "k1", goodLink).ID
	unwired.beginPayment(t, id)
	require.Equal(t, 409, unwired.do(t, "POST", "/v1/checkout-links/"+id+"/cancellation", why).status)
}

// looks are the looks at persons that were recorded.
func (b *bench) looks(t *testing.T) (out []string) {
	t.Helper()
	x, err := sqlx.Open("postgres", b.dsn)
	require.NoError(t, err)
	defer x.Close()
	require.NoError(t, x.Select(&out,
		`SELECT by || ' ' || what || ' ' || subject FROM access_log WHERE subject IS NOT NULL ORDER BY at`))
	return out
}

// Whom an order is for, and what a shop gave its checkout link, which may be personal, takes a scope, and each look at
// them is recorded. No other answer has it.
func TestWhoSeesWhomAnOrderIsFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA", "BBBB")
	id := b.link(t, "k1", goodLink).ID
	b.processorSays(t, b.beginPayment(t, id), keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, PaymentReference: "pi_1",
		Authorized: keyturn.Money{Minor: 4990, Currency: "EUR"}, CaptureWithin: 7 * 24 * time.Hour,
	})
	const at = "/v1/orders/ORD-L1"
	reader := b.token(t, "reader", api.ScopeOrdersRead, api.ScopeOps, api.ScopeKeysRead)
	support := b.token(t, "support", api.ScopeOrdersRead, api.ScopeCustomersRead)
	personal := []string{"jean", "campaign"}
	b.play(t, []scenario{
		{"without asking", "GET", at, []string{"Authorization", support}, "", 200, nil, personal},
		{
			"without the scope", "GET", at + "?include=customer",
			[]string{"Authorization", reader},
			"", 403,
			[]string{api.ScopeCustomersRead},
			personal,
		},
		{"something else", "GET", at + "?include=all", nil, "", 400, []string{"include"}, personal},
		{"no order", "GET", "/v1/orders/ORD-9?include=customer", nil, "", 404, nil, nil},
	})
	require.Empty(t, b.looks(t))
	var order keyturn.OrderView
	b.must(t, "GET", at+"?include=customer", "", "Authorization", support).into(t, &order)
	require.Equal(t, "jean@buyer.test", order.Customer.Email)
	require.Equal(t, map[string]string{"campaign": "spring"}, order.Link.AdditionalData)
	b.sellOrder(t)
	b.must(t, "GET", "/v1/orders/ORD-1?include=customer", "").into(t, &order)
	require.Equal(t, "Dupont", order.Customer.LastName)
	require.Equal(t, []string{"support customer order/ORD-L1", "dev customer order/ORD-1"}, b.looks(t))
	require.NotContains(t, b.log.String(), "jean")
}

// What was sold comes back with the payment, the link and the order.
func TestTheOrderOfALink(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA")
	id := b.link(t, "k1", goodLink).ID
	pay := b.beginPayment(t, id)
	euro := keyturn.Money{Minor: 4990, Currency: "EUR"}
	b.processorSays(t, pay, keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, PaymentReference: "pi_1", Authorized: euro, CaptureWithin: 7 * 24 * time.Hour,
	})
	var order keyturn.OrderView
	b.must(t, "GET", "/v1/orders/ORD-L1", "").into(t, &order)
	require.Equal(t, "pi_1", order.Payment.Reference)
	require.Equal(t, keyturn.PaymentAuthorized, order.Payment.Status)
	require.Equal(t, "49.90", order.Payment.Authorized)
	require.Equal(t, "0.00", order.Payment.Captured)
	require.NotNil(t, order.Payment.CaptureBy)
	require.Equal(t, &keyturn.OrderLink{ID: id, Reference: "CRM-1"}, order.Link)
	require.Equal(t, "Acme Pro, 5 devices", order.LineItems[0].Name)
	require.Equal(t, "ACME-5", order.LineItems[0].SKU)

	var link keyturn.LinkView
	b.must(t, "GET", "/v1/checkout-links/"+id, "").into(t, &link)
	require.Equal(t, keyturn.LinkUsed, link.Status)
	require.Equal(t, "/v1/orders/ORD-L1", link.Links.Order)
	require.Equal(t, pay, link.Payments[0].ID)

	var page keyturn.PaymentPage
	b.must(t, "GET", "/v1/payments?status=AUTHORIZED", "").into(t, &page)
	require.Len(t, page.Payments, 1)
	require.Equal(t, "ORD-L1", page.Payments[0].OrderID)
	mail, _, err := b.db.BeginPaymentMail(t.Context(), pay, // it comes before a look
		func(db.PaymentMailFacts) ([]byte, error) { return []byte("confirmed"), nil })
	require.NoError(t, err)
	_, err = b.db.FinishPaymentMail(t.Context(), pay, mail, nil)
	require.NoError(t, err)
	var refreshed keyturn.PaymentView
	a := b.must(t, "POST", "/v1/payments/"+pay+"/refresh", "")
	require.Equal(t, 202, a.status)
	a.into(t, &refreshed)
	require.Equal(t, pay, refreshed.ID)
	next, err := b.db.ReviewPayment(t.Context(), pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoRetrieve, next.Do)

	a = b.do(t, "POST", "/v1/orders", strings.Replace(goodOrder, "pay_81", "pi_1", 1), "Idempotency-Key", "o")
	require.Equal(t, 409, a.status, a.body)
	require.Contains(t, a.body, "payment.reference")
	b.sellOrder(t)
	b.must(t, "GET", "/v1/orders/ORD-1", "").into(t, &order)
	require.Equal(t, "pay_81", order.Payment.Reference)
	require.NotRegexp(t, `"(link|sku|authorized)"`, b.must(t, "GET", "/v1/orders/ORD-1", "").body,
		"it was paid elsewhere")
}

func TestListsOfLinksAndPaymentsGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "AAAA")
	c := b.client()
	var links, payments []string
	for i := range 3 {
		body := strings.NewReplacer("CRM-1", fmt.Sprint("CRM-", i), "ORD-L1", fmt.Sprint("ORD-L", i)).Replace(goodLink)
		id := b.link(t, fmt.Sprint("k", i), body).ID
		links, payments = append([]string{id}, links...), append([]string{b.beginPayment(t, id)}, payments...)
	}
	var gotLinks, gotPayments []string
	for cursor := ""; ; {
		page, err := c.CheckoutLinks(t.Context(), keyturn.LinkPaying, "", cursor, 2)
		require.NoError(t, err)
		for _, l := range page.CheckoutLinks {
			gotLinks = append(gotLinks, l.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, err := c.Payments(t.Context(), keyturn.PaymentOpen, cursor, 2)
		require.NoError(t, err)
		for _, p := range page.Payments {
			gotPayments = append(gotPayments, p.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, links, gotLinks)
	require.Equal(t, payments, gotPayments)

	l, err := c.CheckoutLink(t.Context(), links[0], true)
	require.NoError(t, err)
	require.Equal(t, "jean@buyer.test", l.Customer.Email)
	p, err := c.Payment(t.Context(), payments[0])
	require.NoError(t, err)
	require.Equal(t, links[0], p.LinkID)
	_, err = c.RefreshPayment(t.Context(), payments[0])
	require.NoError(t, err)
	_, err = c.CancelCheckoutLink(t.Context(), links[0], "over")
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	again, replayed, err := c.CreateCheckoutLink(t.Context(), "k9", keyturn.CheckoutLink{
		Currency: "EUR", LineItems: []keyturn.LinkLine{{ProductID: "acme-pro", Name: "Acme", UnitPrice: "1.00"}},
	})
	require.NoError(t, err)
	require.False(t, replayed)
	require.Equal(t, again.ID, again.OrderID)
	require.Equal(t, http.StatusOK, b.do(t, "GET", again.Links.Self, "").status)
}

// A person decides on a payment of another sum, with a reason.
func TestAPaymentOfAnotherSumIsDecided(t *testing.T) {
	t.Parallel()
	var b *bench
	state := func(id string) keyturn.ProcessorState {
		return keyturn.ProcessorState{
			Status: keyturn.AtProcessorAuthorized, PaymentReference: "pi-" + id,
			Authorized: keyturn.Money{Minor: 4991, Currency: "EUR"},
		}
	}
	b = newBench(t, func(c *api.Config) {
		c.ResolvePayment = func(ctx context.Context, id string, r keyturn.PaymentResolution, by string) error {
			_, err := b.db.ResolvePayment(ctx, id, r, by, state(id), func(db.Accepted) ([]byte, error) { return nil, nil })
			return err
		}
	})
	b.sell(t, "AAAA")
	id := b.link(t, "k1", goodLink).ID
	pay := b.beginPayment(t, id)
	b.processorSays(t, pay, state(pay))
	at := "/v1/payments/" + pay + "/resolution"
	const accept = `{"action": "accept", "reason": "a cent of rounding"}`
	b.play(t, []scenario{
		{"without a reason", "POST", at, nil, `{"action": "accept"}`, 422, []string{`"reason"`}, nil},
		{"no such action", "POST", at, nil, `{"action": "keep", "reason": "x"}`, 422, []string{"accept or giveBack"}, nil},
		{"an unknown field", "POST", at, nil, `{"action": "accept", "reason": "x", "sum": "1"}`, 422, []string{`"sum"`}, nil},
		{"unknown", "POST", "/v1/payments/" + id + "/resolution", nil, accept, 404, nil, nil},
	})
	var v keyturn.PaymentView
	b.must(t, "POST", at, accept).into(t, &v)
	require.Equal(t, keyturn.PaymentAuthorized, v.Status)
	require.Equal(t, "ORD-L1", v.OrderID)
	again := b.do(t, "POST", at, accept)
	require.Equal(t, 409, again.status)
	require.Contains(t, again.body, "nothing to decide")
}
