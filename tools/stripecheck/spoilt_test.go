package main

import (
	"encoding/json"
	"strings"
	"testing"

	"keyturn.dev/keyturn/devstack/stripe"
)

// TestSpoiltRequestsAreRefused spoils requests one way each, and says who notices: stripe-mock, or the closed document.
func TestSpoiltRequestsAreRefused(t *testing.T) {
	silence()
	const (
		sessions = "/v1/checkout/sessions"
		price    = "line_items[0][price_data]"
		byMock   = "stripe-mock"
		byUs     = ""
	)
	post := func(path, form string) stripe.Exchange {
		return stripe.Exchange{Method: "POST", Path: path, Form: form, Version: stripe.APIVersion}
	}
	get := func(path, query string) stripe.Exchange {
		return stripe.Exchange{Method: "GET", Path: path, Query: query, Version: stripe.APIVersion}
	}
	versioned := func(version string) stripe.Exchange {
		x := post(sessions, with())
		x.Version = version
		return x
	}
	for name, c := range map[string]struct {
		x    stripe.Exchange
		by   string
		says string
	}{
		"an unknown name":             {post(sessions, with("colour", "red")), byMock, "colour"},
		"an unknown name inside":      {post(sessions, with(price+"[sku]", "1")), byUs, "line_items[0].price_data.sku"},
		"an unknown name deep inside": {post(sessions, with(price+"[product_data][title]", "1")), byUs, "product_data.title"},
		"an unknown means of payment": {post(sessions, with("payment_method_options[cash][capture_method]", "manual")), byUs, "payment_method_options.cash"},
		"a capture method that the document does not list": {
			post(sessions, with("payment_intent_data[capture_method]", "later")), byMock, "capture_method",
		},
		"debit that is authorized first": {post(sessions, with("payment_method_options[sepa_debit][capture_method]", "manual")), byUs, "sepa_debit.capture_method"},
		"a price with a fraction":        {post(sessions, with(price+"[unit_amount]", "49.90")), byMock, "unit_amount"},
		"a quantity in words":            {post(sessions, with("line_items[0][quantity]", "two")), byMock, "quantity"},
		"a product without a name":       {post(sessions, with(price+"[product_data][name]", "", price+"[product_data][description]", "x")), byMock, "product_data.name: is required"},
		"a price without a currency":     {post(sessions, with(price+"[currency]", "")), byMock, "currency: is required"},
		"lines that begin at 1": {
			post(sessions, strings.ReplaceAll(with(), "line_items%5B0%5D", "line_items%5B1%5D")),
			byMock, "numbered from 0",
		},
		"a locale of ours":             {post(sessions, with("locale", "de-DE")), byMock, "locale"},
		"a page mode of older days":    {post(sessions, with("ui_mode", "hosted")), byMock, "ui_mode"},
		"a time in words":              {post(sessions, with("expires_at", "2026-12-01T00:00:00Z")), byMock, "expires_at"},
		"metadata that are nested":     {post(sessions, with("metadata[keyturn][id]", "1", "metadata[keyturn]", "")), byMock, "metadata.keyturn"},
		"an object that is a text":     {post(sessions, with("adaptive_pricing[enabled]", "", "adaptive_pricing", "off")), byMock, "adaptive_pricing"},
		"capture of an amount":         {post("/v1/payment_intents/pi_1/capture", "amount=100"), byMock, "amount"},
		"capture of a fraction":        {post("/v1/payment_intents/pi_1/capture", "amount_to_capture=1.5"), byMock, "amount_to_capture"},
		"a reason that nobody knows":   {post("/v1/payment_intents/pi_1/cancel", "cancellation_reason=why_not"), byMock, "cancellation_reason"},
		"a refund with a description":  {post("/v1/refunds", "payment_intent=pi_1&description=x"), byMock, "description"},
		"a refund by a list of texts":  {post("/v1/refunds", "payment_intent=pi_1&metadata[]=x"), byMock, ""},
		"an endpoint without events":   {post("/v1/webhook_endpoints", "url=https://shop.test"), byMock, "enabled_events"},
		"an event that nobody knows":   {post("/v1/webhook_endpoints", "url=https://shop.test&enabled_events[]=order.paid"), byMock, "enabled_events"},
		"evidence that nobody knows":   {post("/v1/disputes/du_1", "evidence[log]=x"), byUs, "evidence.log"},
		"a list by an unknown field":   {get("/v1/refunds", "order=1"), byMock, "order"},
		"a list by an unknown time":    {get(sessions, "created[since]=1"), byUs, "created"},
		"a path that nobody knows":     {get("/v1/checkout/pages", ""), byUs, "no such path"},
		"a path of another method":     {post("/v1/balance", ""), byUs, "no such path"},
		"a parameter that comes twice": {post(sessions, with()+"&mode=payment"), byUs, "more than once"},
		"no version":                   {versioned(""), byUs, "Stripe-Version"},
		"a version of another release": {versioned("2025-09-30.clover"), byMock, "Stripe-Version"},
		"a version of tomorrow":        {versioned("2099-01-01.dahlia"), byMock, "Stripe-Version"},
	} {
		faults := checks.request(c.x)
		if len(faults) == 0 {
			t.Errorf("%s is not refused", name)
			continue
		}
		all := strings.Join(faults, "\n")
		if !strings.Contains(all, c.says) || c.by != byUs && !strings.Contains(all, c.by) {
			t.Errorf("%s: refused otherwise: %s", name, all)
		}
		if c.by == byUs && strings.Contains(all, byMock+" answers") {
			t.Errorf("%s: stripe-mock notices, too", name)
		}
	}
	if faults := checks.request(post(sessions, with())); len(faults) > 0 {
		t.Errorf("a sale that is not spoilt: %v", faults)
	}
}

// TestSpoiltAnswersAreRefused spoils answers and events one way each.
func TestSpoiltAnswersAreRefused(t *testing.T) {
	w := newWorld(t)
	defer func() { _ = w.Close() }()
	session, intent := w.sold(stripe.Card(""), manual, "manual")
	good := map[string]map[string]any{
		"/v1/checkout/sessions/" + session: w.ask("GET", "/v1/checkout/sessions/"+session, "expand[]=payment_intent.latest_charge"),
		"/v1/payment_intents/" + intent:    w.ask("GET", "/v1/payment_intents/"+intent, ""),
	}
	set := func(path string, v any) func(map[string]any) {
		return func(o map[string]any) {
			names := strings.Split(path, ".")
			for _, name := range names[:len(names)-1] {
				o, _ = o[name].(map[string]any)
			}
			if v == "gone" {
				delete(o, names[len(names)-1])
			} else {
				o[names[len(names)-1]] = v
			}
		}
	}
	for name, c := range map[string]struct {
		path  string
		spoil func(map[string]any)
		says  string
	}{
		"a field that nobody knows":        {"/v1/checkout/sessions/" + session, set("colour", "red"), "colour: the document has no such field"},
		"one inside of a charge":           {"/v1/checkout/sessions/" + session, set("payment_intent.latest_charge.colour", 1), "latest_charge.colour"},
		"a status that the list lacks":     {"/v1/payment_intents/" + intent, set("status", "authorized"), "status"},
		"a sum that is a text":             {"/v1/payment_intents/" + intent, set("amount", "4990"), "amount"},
		"a sum with a fraction":            {"/v1/payment_intents/" + intent, set("amount", 49.9), "amount"},
		"a required field that is missing": {"/v1/payment_intents/" + intent, set("livemode", "gone"), "livemode: is required"},
		"null where that may not be":       {"/v1/payment_intents/" + intent, set("amount", nil), "amount: must not be null"},
		"a list that is an object":         {"/v1/payment_intents/" + intent, set("payment_method_types", map[string]any{}), "payment_method_types"},
		"another object":                   {"/v1/payment_intents/" + intent, set("object", "charge"), "object"},
		"a means of payment of ours":       {"/v1/checkout/sessions/" + session, set("payment_intent.latest_charge.payment_method_details.gold", map[string]any{}), "gold"},
	} {
		text, err := json.Marshal(good[c.path])
		if err != nil {
			t.Fatal(err)
		}
		x := stripe.Exchange{Method: "GET", Path: c.path, Status: 200, Response: text}
		if faults := checks.response(x); len(faults) > 0 {
			t.Fatalf("%s is not good before: %v", c.path, faults)
		}
		var o map[string]any
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		c.spoil(o)
		if x.Response, err = json.Marshal(o); err != nil {
			t.Fatal(err)
		}
		faults := checks.response(x)
		if all := strings.Join(faults, "\n"); len(faults) == 0 || !strings.Contains(all, c.says) {
			t.Errorf("%s: not refused, or otherwise: %s", name, all)
		}
	}
	event := `{"id": "evt_1", "object": "event", "api_version": "x", "created": 1, "livemode": false, "pending_webhooks": 1,
		"request": null, "type": "TYPE", "data": {"object": OBJECT}}`
	for name, c := range map[string]struct{ kind, object string }{
		"a type that nobody knows": {"checkout.session.paid", `{"object": "balance", "livemode": false, "available": [], "pending": []}`},
		"an unknown object":        {"refund.created", `{"object": "cheque"}`},
		"a spoilt object":          {"refund.created", `{"object": "refund", "id": "re_1", "amount": "1", "created": 1, "currency": "eur"}`},
	} {
		text := strings.NewReplacer("TYPE", c.kind, "OBJECT", c.object).Replace(event)
		if faults := checks.event([]byte(text)); len(faults) == 0 {
			t.Errorf("event: %s is not refused", name)
		}
	}
}
