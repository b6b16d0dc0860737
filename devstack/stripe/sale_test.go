package stripe_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/stripe"
)

const bought = "expand[]=payment_intent.latest_charge"

func TestAPurchaseIsAuthorizedCapturedAndRefunded(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	id := e.open()
	r := e.get("/v1/checkout/sessions/"+id, bought)
	require.Equal(t, "open", r.at("status"))
	require.Nil(t, r.at("payment_intent"), "nobody has tried to pay yet")
	require.InDelta(t, 4990, r.at("amount_total"), 0)

	back, err := e.Pay(id, stripe.Card(stripe.CardGood))
	require.NoError(t, err)
	require.Equal(t, "https://shop.test/return?s="+id, back)
	r = e.get("/v1/checkout/sessions/"+id, bought)
	require.Equal(t, "complete", r.at("status"))
	require.Equal(t, "unpaid", r.at("payment_status"), "it is authorized alone")
	require.Equal(t, "requires_capture", r.at("payment_intent.status"))
	require.Equal(t, "main/p1", r.at("payment_intent.metadata.keyturn"))
	before, _ := r.at("payment_intent.latest_charge.payment_method_details.card.capture_before").(float64)
	require.InDelta(t, float64(e.Now().Add(7*24*time.Hour).Unix()), before, 60)
	pi, _ := r.at("payment_intent.id").(string)

	r = e.post("/v1/payment_intents/"+pi+"/capture", "", "amount_to_capture=4991")
	require.Equal(t, "amount_too_large", r.at("error.code"))
	r = e.post("/v1/payment_intents/"+pi+"/capture", "c1", "amount_to_capture=3000")
	require.Equal(t, "succeeded", r.at("status"), r.text)
	require.InDelta(t, 3000, r.at("amount_received"), 0)
	r = e.post("/v1/payment_intents/"+pi+"/capture", "c2", "amount_to_capture=3000")
	require.Equal(t, "payment_intent_unexpected_state", r.at("error.code"))
	require.Equal(t, "succeeded", r.at("error.payment_intent.status"))
	require.Equal(t, "paid", e.get("/v1/checkout/sessions/"+id, "").at("payment_status"))

	require.Equal(t, 400, e.post("/v1/refunds", "r0", "amount=3001&payment_intent="+pi).status)
	r = e.post("/v1/refunds", "r1", "amount=1000&metadata[keyturn]=main/l1&payment_intent="+pi)
	require.Equal(t, "succeeded", r.at("status"), r.text)
	require.Equal(t, 200, e.post("/v1/refunds", "r2", "payment_intent="+pi).status, "the rest")
	require.Equal(t, "charge_already_refunded", e.post("/v1/refunds", "r3", "payment_intent="+pi).at("error.code"))
	all, _ := e.get("/v1/refunds", "payment_intent="+pi).at("data").([]any)
	require.Len(t, all, 2, "a partial capture makes no refund")
	require.Equal(t, stripe.Payment{
		ID: pi, Session: id, Status: "succeeded", Currency: "eur", Amount: 4990, Captured: 3000, Refunded: 3000, Refunds: 2,
		Metadata: map[string]string{"keyturn": "main/p1"},
	}, e.Books().Payments[0])
}

func TestAnAuthorizationIsLetGoOrRunsOut(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	pi := e.sold(stripe.Card(""))
	r := e.post("/v1/payment_intents/"+pi+"/cancel", "v", "cancellation_reason=abandoned")
	require.Equal(t, "canceled", r.at("status"), r.text)
	require.Equal(t, "payment_intent_unexpected_state",
		e.post("/v1/payment_intents/"+pi+"/capture", "", "").at("error.code"))
	require.Equal(t, 400, e.post("/v1/refunds", "", "payment_intent="+pi).status)

	late := e.sold(stripe.Card(""))
	e.Advance(7*24*time.Hour + time.Second)
	r = e.get("/v1/payment_intents/"+late, "")
	require.Equal(t, "canceled", r.at("status"))
	require.Equal(t, "expired", r.at("cancellation_reason"))
	require.Empty(t, e.Books().Refunds, "what was not taken is not refunded")
}

func TestDelayedMethodsSettleOrFail(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	good, bad := e.sold(stripe.Debit(stripe.AccountGood)), e.sold(stripe.Debit(stripe.AccountFails))
	require.Equal(t, "processing", e.get("/v1/payment_intents/"+good, "").at("status"))
	require.Equal(t, 400, e.post("/v1/payment_intents/"+good+"/cancel", "", "").status)
	e.Advance(3 * time.Minute)
	require.Equal(t, "succeeded", e.get("/v1/payment_intents/"+good, "").at("status"))
	r := e.get("/v1/payment_intents/"+bad, "")
	require.Equal(t, "requires_payment_method", r.at("status"))
	require.Equal(t, "payment_intent_payment_attempt_failed", r.at("last_payment_error.code"))

	manual := e.open("payment_intent_data[capture_method]", "manual")
	_, err := e.Pay(manual, stripe.Debit(""))
	require.ErrorContains(t, err, "does not take sepa_debit")
}

func TestADeclineLeavesTheSessionOpenUntilItEnds(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	id := e.open()
	_, err := e.Pay(id, stripe.Card(stripe.CardDeclined))
	require.ErrorIs(t, err, stripe.ErrDeclined)
	r := e.get("/v1/checkout/sessions/"+id, bought)
	require.Equal(t, "open", r.at("status"))
	require.Equal(t, "requires_payment_method", r.at("payment_intent.status"))
	require.Equal(t, "failed", r.at("payment_intent.latest_charge.status"))
	pi, _ := r.at("payment_intent.id").(string)
	require.Contains(t, e.post("/v1/payment_intents/"+pi+"/cancel", "", "").at("error.message"), "expire the "+
		"Checkout Session")
	require.Equal(t, "expired", e.post("/v1/checkout/sessions/"+id+"/expire", "", "").at("status"))
	r = e.post("/v1/checkout/sessions/"+id+"/expire", "", "")
	require.Equal(t, 400, r.status)
	require.Contains(t, r.at("error.message"), `a status of`)
	_, err = e.Pay(id, stripe.Card(""))
	require.ErrorContains(t, err, "expired")

	by := e.open("expires_at", unix(e.Now().Add(2*time.Hour)))
	e.Advance(2*time.Hour + time.Second)
	require.Equal(t, "expired", e.get("/v1/checkout/sessions/"+by, "").at("status"))
	require.Nil(t, e.get("/v1/checkout/sessions/"+by, "").at("url"))
}

func TestSessionsAreListedByTheirTime(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	var ids []string
	for range 5 {
		ids = append(ids, e.open())
		e.Advance(time.Minute)
	}
	since := unix(e.Now().Add(-3*time.Minute - 30*time.Second))
	r := e.get("/v1/checkout/sessions", "limit=2&created[gte]="+since)
	require.Equal(t, true, r.at("has_more"), r.text)
	require.Equal(t, []string{ids[4], ids[3]}, idsOf(r))
	r = e.get("/v1/checkout/sessions", "limit=2&created[gte]="+since+"&starting_after="+ids[3])
	require.Equal(t, false, r.at("has_more"))
	require.Equal(t, []string{ids[2]}, idsOf(r))
	require.Equal(t, []string{ids[4]}, idsOf(e.get("/v1/checkout/sessions", "limit=1&ending_before="+ids[3])))
	require.Equal(t, "resource_missing", e.get("/v1/checkout/sessions", "starting_after=cs_no").at("error.code"))
}

func idsOf(r reply) (ids []string) {
	all, _ := r.at("data").([]any)
	for _, each := range all {
		m, _ := each.(map[string]any)
		id, _ := m["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

func TestDisputesWarningsAndRefundsThatFailLater(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	at := "payment_method_options[card][capture_method]"
	disputed := e.sold(stripe.Card(stripe.CardDisputed), at, "")
	r := e.get("/v1/disputes", "payment_intent="+disputed)
	ids := idsOf(r)
	require.Len(t, ids, 1, r.text)
	require.Equal(t, "charge_disputed", e.post("/v1/refunds", "", "payment_intent="+disputed).at("error.code"))
	r = e.post("/v1/disputes/"+ids[0], "", "evidence[access_activity_log]=seen&submit=true")
	require.Equal(t, "under_review", r.at("status"), r.text)
	require.Equal(t, "seen", r.at("evidence.access_activity_log"))
	require.NoError(t, e.CloseDispute(ids[0], true))
	require.Equal(t, 200, e.post("/v1/refunds", "", "payment_intent="+disputed).status, "it was won")

	warned := e.sold(stripe.Card(stripe.CardFraudWarning), at, "")
	require.Len(t, idsOf(e.get("/v1/radar/early_fraud_warnings", "payment_intent="+warned)), 1)

	failing := e.sold(stripe.Card(stripe.CardRefundFails), at, "")
	r = e.post("/v1/refunds", "", "payment_intent="+failing)
	require.Equal(t, "succeeded", r.at("status"))
	e.Advance(time.Hour)
	require.Equal(t, "failed", e.get("/v1/refunds/"+r.id(), "").at("status"))
	require.Zero(t, e.get("/v1/payment_intents/"+failing, "expand[]=latest_charge").at("latest_charge.amount_refunded"))

	slow := e.sold(stripe.Card(stripe.CardRefundLate), at, "")
	r = e.post("/v1/refunds", "", "payment_intent="+slow)
	require.Equal(t, "pending", r.at("status"))
	e.Advance(5 * time.Minute)
	require.Equal(t, "succeeded", e.get("/v1/refunds/"+r.id(), "").at("status"))

	_, err := e.Refund(warned, 1000)
	require.NoError(t, err)
	require.Equal(t, int64(1000), e.Books().Payments[1].Refunded, "of Stripe's dashboard")
}

func TestTheHostedPageIsPaidOnAnotherOrigin(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	id := e.open()
	address, _ := e.get("/v1/checkout/sessions/"+id, "").at("url").(string)
	require.Equal(t, e.PageURL()+"/c/pay/"+id, address)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	press := func(number string) *http.Response {
		resp, err := client.PostForm(address, url.Values{"method": {"card"}, "number": {number}})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	require.Equal(t, 200, press(stripe.CardNoFunds).StatusCode, "declined: the page says so")
	resp := press(stripe.CardGood)
	require.Equal(t, 303, resp.StatusCode)
	require.Equal(t, "https://shop.test/return?s="+id, resp.Header.Get("Location"))
	require.Equal(t, 200, press(stripe.CardGood).StatusCode, "it is paid once")
	require.Len(t, e.Books().Payments, 1)
}

// A person has the bank decide a dispute on the page beside the hosted one.
func TestAPersonDecidesADispute(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	pi := e.sold(stripe.Card(stripe.CardDisputed), "payment_method_options[card][capture_method]", "")
	press := func(form url.Values) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.PageURL()+"/",
			strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
	open := e.Books().Payments[0].Dispute
	require.NotEmpty(t, open)
	press(url.Values{"payment": {pi}, "dispute": {open}, "do": {"lose"}})
	require.Equal(t, "lost", e.get("/v1/disputes/"+open, "").at("status"))
	require.Empty(t, e.Books().Payments[0].Dispute)

	press(url.Values{"payment": {pi}, "do": {"dispute"}})
	open = e.Books().Payments[0].Dispute
	press(url.Values{"payment": {pi}, "dispute": {open}, "do": {"win"}})
	require.Equal(t, "won", e.get("/v1/disputes/"+open, "").at("status"))
}

func TestTheStateOutlivesARestart(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/stripe.json"
	s := stripe.New(stripe.Config{State: file})
	require.NoError(t, s.Start())
	pi := emulator{s, t}.sold(stripe.Card(""))
	require.NoError(t, s.Close())
	e := start(t, stripe.Config{State: file})
	require.Equal(t, "requires_capture", e.get("/v1/payment_intents/"+pi, "").at("status"))
	e.Advance(8 * 24 * time.Hour)
	require.Equal(t, "canceled", e.get("/v1/payment_intents/"+pi, "").at("status"))
}
