package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyturn.dev/keyturn/devstack/stripe"
)

var checks *checker

// TestMain starts stripe-mock once. It prints every request, so it gets another standard output than the tests, which
// have theirs by then.
func TestMain(m *testing.M) {
	var err error
	if checks, err = newChecker(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = checks.close()
	os.Exit(code)
}

var silence = sync.OnceFunc(func() {
	if _, err := quiet(); err != nil {
		panic(err)
	}
})

// world is an emulator whose exchanges are kept, and a client that asks it.
type world struct {
	*stripe.Server
	t     *testing.T
	lines *bytes.Buffer
}

func newWorld(t *testing.T) world {
	t.Helper()
	silence()
	lines := &bytes.Buffer{}
	s := stripe.New(stripe.Config{Exchanges: lines})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return world{s, t, lines}
}

// ask sends a request, and gives what the answer says at some paths.
func (w world) ask(method, path, form string) map[string]any {
	w.t.Helper()
	address, body := w.URL()+path, io.Reader(strings.NewReader(form))
	if method == http.MethodGet && form != "" {
		address, body = address+"?"+form, nil
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, address, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+stripe.Key)
	req.Header.Set("Stripe-Version", stripe.APIVersion)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

var sale = url.Values{
	"mode": {"payment"}, "ui_mode": {"hosted_page"}, "submit_type": {"pay"}, "locale": {"fr"},
	"success_url": {"https://shop.test/return"}, "cancel_url": {"https://shop.test/back"},
	"line_items[0][quantity]": {"2"}, "line_items[0][price_data][currency]": {"eur"},
	"line_items[0][price_data][unit_amount]": {"4990"}, "line_items[0][price_data][product_data][name]": {"Orbit"},
	"metadata[keyturn]": {"main/p1"}, "payment_intent_data[metadata][keyturn]": {"main/p1"},
	"client_reference_id": {"p1"}, "customer_email": {"jean@buyer.test"}, "adaptive_pricing[enabled]": {"false"},
}

// with is the sale with changes: name, value, …; an empty value takes a parameter away.
func with(changes ...string) string {
	form := url.Values{}
	for name, v := range sale {
		form[name] = v
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form.Encode()
}

func (w world) sold(m stripe.Method, changes ...string) (session, intent string) {
	w.t.Helper()
	session, _ = w.ask("POST", "/v1/checkout/sessions", with(changes...))["id"].(string)
	if _, err := w.Pay(session, m); err != nil {
		w.t.Fatal(err)
	}
	intent, _ = w.ask("GET", "/v1/checkout/sessions/"+session, "")["payment_intent"].(string)
	return session, intent
}

const manual = "payment_method_options[card][capture_method]"

// everything asks for everything that the emulator does, in every state that its objects can be in.
func (w world) everything() {
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()
	e := w.ask("POST", "/v1/webhook_endpoints", "url="+url.QueryEscape(hook.URL)+"&enabled_events[]=*&api_version="+
		stripe.APIVersion+"&description=Keyturn&metadata[keyturn]=main/endpoint")
	endpoint, _ := e["id"].(string)
	w.ask("POST", "/v1/webhook_endpoints/"+endpoint, "description=Shop&enabled_events[]=*")
	w.ask("GET", "/v1/webhook_endpoints", "limit=100")
	w.ask("GET", "/v1/account", "")

	open, _ := w.ask("POST", "/v1/checkout/sessions", with("payment_intent_data[capture_method]", "manual"))["id"].(string)
	look := func(session string) {
		w.ask("GET", "/v1/checkout/sessions/"+session, "expand[]=payment_intent.latest_charge&expand[]=line_items")
		w.ask("GET", "/v1/checkout/sessions/"+session+"/line_items", "limit=10")
	}
	look(open)
	for _, card := range []string{stripe.CardDeclined, stripe.CardNoFunds} {
		_, _ = w.Pay(open, stripe.Card(card))
		look(open)
	}
	w.ask("POST", "/v1/checkout/sessions/"+open+"/expire", "")
	w.ask("POST", "/v1/checkout/sessions/"+open+"/expire", "")
	look(open)

	captured, paid := w.sold(stripe.Card(""), manual, "manual")
	look(captured)
	w.ask("POST", "/v1/payment_intents/"+paid+"/capture", "amount_to_capture=5000&expand[]=latest_charge")
	w.ask("POST", "/v1/payment_intents/"+paid+"/capture", "amount_to_capture=5000")
	w.ask("POST", "/v1/refunds", "payment_intent="+paid+"&amount=1000&metadata[keyturn]=main/l1&reason=requested_by_customer")
	w.ask("POST", "/v1/refunds", "payment_intent="+paid+"&amount=10000")
	w.ask("POST", "/v1/refunds", "payment_intent="+paid+"&expand[]=charge")
	w.ask("POST", "/v1/refunds", "payment_intent="+paid)
	w.ask("GET", "/v1/refunds", "payment_intent="+paid+"&limit=100&expand[]=data.payment_intent")
	look(captured)
	_, voided := w.sold(stripe.Card(""), "payment_intent_data[capture_method]", "manual")
	w.ask("POST", "/v1/payment_intents/"+voided+"/cancel", "cancellation_reason=abandoned&expand[]=latest_charge")
	w.ask("POST", "/v1/payment_intents/"+voided+"/cancel", "")
	_, linked := w.sold(stripe.Method{Kind: "link"}, "payment_method_options[link][capture_method]", "manual")
	w.ask("GET", "/v1/payment_intents/"+linked, "expand[]=latest_charge")

	for _, account := range []string{stripe.AccountGood, stripe.AccountFails} {
		delayed, debited := w.sold(stripe.Debit(account), manual, "manual")
		look(delayed)
		w.Advance(3 * time.Minute)
		look(delayed)
		w.ask("POST", "/v1/refunds", "payment_intent="+debited)
	}
	for _, card := range []string{
		stripe.CardDisputed, stripe.CardInquiry, stripe.CardFraudWarning, stripe.CardRefundFails, stripe.CardRefundLate,
	} {
		_, intent := w.sold(stripe.Card(card))
		w.ask("POST", "/v1/refunds", "payment_intent="+intent+"&amount=100")
		w.ask("GET", "/v1/disputes", "payment_intent="+intent+"&expand[]=data.charge")
		w.ask("GET", "/v1/charges", "payment_intent="+intent+"&limit=100")
		w.ask("GET", "/v1/radar/early_fraud_warnings", "payment_intent="+intent+"&expand[]=data.payment_intent")
	}
	all, _ := w.ask("GET", "/v1/disputes", "limit=100")["data"].([]any)
	for i, each := range all {
		d, _ := each.(map[string]any)
		id, _ := d["id"].(string)
		w.ask("POST", "/v1/disputes/"+id, "evidence[access_activity_log]=seen&evidence[uncategorized_text]=x&submit=true")
		if err := w.CloseDispute(id, i == 0); err != nil {
			w.t.Fatal(err)
		}
		w.ask("GET", "/v1/disputes/"+id, "")
	}
	w.Advance(8 * 24 * time.Hour)
	w.ask("GET", "/v1/checkout/sessions", "limit=100&created[gte]=1&expand[]=data.payment_intent.latest_charge")
	w.ask("GET", "/v1/payment_intents", "limit=100&created[lt]=9999999999")
	w.ask("GET", "/v1/refunds", "limit=3")
	w.ask("GET", "/v1/events", "limit=100&types[]=refund.failed&types[]=charge.expired")
	w.ask("GET", "/v1/balance", "")
	for _, f := range []stripe.Fault{
		stripe.Failed, stripe.FailedAfter, stripe.InUse, stripe.Locked, stripe.Limited, stripe.Down,
	} {
		w.SetFaults(func(stripe.Call) stripe.Fault { return f })
		w.ask("GET", "/v1/balance", "")
	}
	w.SetFaults(nil)
	w.ask("GET", "/v1/refunds/re_unknown", "")
	w.ask("DELETE", "/v1/webhook_endpoints/"+endpoint, "")
}

// TestTheEmulatorSaysWhatTheDocumentAllows has everything checked that the emulator can say.
func TestTheEmulatorSaysWhatTheDocumentAllows(t *testing.T) {
	w := newWorld(t)
	w.everything()
	events := 0
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		w.Advance(0)
		if n := w.sent(); n > 0 && n == events {
			break
		} else {
			events = n
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checks.read(bytes.NewReader(w.lines.Bytes())); err != nil {
		t.Fatal(err)
	}
	for about, faults := range checks.faults {
		for _, fault := range faults {
			t.Errorf("%s: %s", about, fault)
		}
	}
	operations := slices.DeleteFunc(stripe.Operations(), func(o string) bool { return w.Calls()[o] > 0 })
	for _, o := range operations {
		if !slices.Contains([]string{
			"charge.retrieve", "event.retrieve", "refund.retrieve", "radar.early_fraud_warning.retrieve",
			"webhook_endpoint.retrieve",
		}, o) {
			t.Errorf("%s was not asked for", o)
		}
	}
	t.Logf("%d requests, %d answers, %d events", checks.requests, checks.answers, checks.events)
	if checks.events < 50 {
		t.Errorf("only %d events were sent", checks.events)
	}
}

func (w world) sent() (n int) {
	all, _ := w.ask("GET", "/v1/events", "limit=100")["data"].([]any)
	return len(all)
}
