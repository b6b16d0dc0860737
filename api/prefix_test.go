package api_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
)

// merchant makes a token with a prefix and every scope.
func (b *bench) merchant(t *testing.T, name string) string {
	t.Helper()
	text, err := b.db.CreateToken(context.Background(),
		db.Client{Name: name, Scopes: api.Scopes, Prefix: keyturn.Prefix(name + ":")})
	require.NoError(t, err)
	return "Bearer " + text
}

// asMerchant sends a request with the token, under an idempotency key that is new.
func (b *bench) asMerchant(t *testing.T, token, method, path, body string) answer {
	t.Helper()
	headers := []string{"Authorization", token, "Idempotency-Key", strconv.FormatInt(time.Now().UnixNano(), 10)}
	if strings.HasSuffix(path, "/batches") {
		headers = append(headers, "Content-Type", "text/plain")
	}
	return b.do(t, method, path, body, headers...)
}

// stall is what a merchant has: a pool, a partner, a product, an order that is delivered, one in trouble.
type stall struct {
	token, name, fulfillment, waiting, batch, alert, audit, link, payment string
}

func orderOf(merchant, number string) string {
	return strings.NewReplacer("ORD-1", merchant+":"+number, "acme-pro", merchant+":app", "pay_81", "pay_"+merchant).
		Replace(goodOrder)
}

// open sets up a merchant's stall, with the merchant's own token throughout.
func (b *bench) open(t *testing.T, name string) stall {
	t.Helper()
	s := stall{token: b.merchant(t, name), name: name}
	must := func(method, path, body string) answer {
		t.Helper()
		a := b.asMerchant(t, s.token, method, path, body)
		require.Less(t, a.status, 300, "%s %s: %s", method, path, a.body)
		return a
	}
	must("PUT", "/v1/pools/"+name+":keys", `{}`)
	must("PUT", "/v1/integrations/"+name+":acme", `{"baseUrl": "https://partner.test"}`)
	must("PUT", "/v1/products/"+name+":app", `{"name": "App", "sources": [{"type": "pool", "pool": "`+name+`:keys"},
		{"type": "endpoint", "integration": "`+name+`:acme"}]}`)
	must("PUT", "/v1/products/"+name+":suite", `{"name": "Suite", "sources": [{"type": "manual"}]}`)
	must("PUT", "/v1/webhooks/"+name+":hook", `{"url": "https://shop.test/`+name+`", "events": ["*"]}`)
	var batch keyturn.ImportResult
	must("POST", "/v1/pools/"+name+":keys/batches", "KEY-"+name+"-1\nKEY-"+name+"-2").into(t, &batch)
	s.batch = batch.BatchID
	fulfillment := func(number string) string {
		var v keyturn.OrderView
		must("POST", "/v1/orders", orderOf(name, number)).into(t, &v)
		return v.LineItems[0].FulfillmentID
	}
	s.fulfillment = fulfillment("1")
	b.deliver(t, s.fulfillment)
	s.waiting = fulfillment("2")
	_, err := b.db.Claim(t.Context(), s.waiting, nil)
	require.NoError(t, err)
	var alerts keyturn.Alerts
	must("GET", "/v1/alerts", "").into(t, &alerts)
	require.NotEmpty(t, alerts.Alerts)
	s.alert = strconv.FormatInt(alerts.Alerts[0].ID, 10)
	var link keyturn.LinkView
	must("POST", "/v1/checkout-links", linkOfMerchant(name, "4")).into(t, &link)
	s.link, s.payment = link.ID, b.beginPayment(t, link.ID)
	report, err := json.Marshal(keyturn.AuditReport{Violations: 1, Checked: 1, Invariants: []keyturn.InvariantResult{{
		ID: "A1", Checked: true, Violations: 1,
		Listed: []keyturn.AuditViolation{{OrderID: name + ":1", What: "it is " + name}},
	}}})
	require.NoError(t, err)
	s.audit, err = b.db.SaveAudit(t.Context(), db.Audit{StartedAt: time.Now(), Report: string(report)}, db.AuditFindings{})
	require.NoError(t, err)
	return s
}

// fill puts what the stall has into what a reach says.
func (s stall) fill() *strings.Replacer {
	return strings.NewReplacer("{name}", s.name, "{fulfillment}", s.fulfillment, "{waiting}", s.waiting,
		"{batch}", s.batch, "{alert}", s.alert, "{audit}", s.audit, "ORDER", orderOf(s.name, "3"),
		"{link}", s.link, "{payment}", s.payment, "LINK", linkOfMerchant(s.name, "5"))
}

func linkOfMerchant(merchant, number string) string {
	return `{"orderId": "` + merchant + `:` + number + `", "currency": "EUR", "lineItems": [
		{"productId": "` + merchant + `:app", "name": "App", "unitPrice": "5"}],
		"customer": {"email": "jean@buyer.test"}}`
}

// reach is how a request tries to reach what the stall has.
type reach struct {
	path, body string
	// status of the answer to another merchant; 200: a list, in which nothing of the stall may be
	status int
	// own is the answer to the merchant itself; 0: the other's status is as good
	own int
}

// reaches are how each route would reach what another merchant has. {name} and the rest stand for what the stall has.
var reaches = map[string]reach{
	"POST /v1/orders":                   {"/v1/orders", "ORDER", 403, 201},
	"GET /v1/orders/{id}":               {"/v1/orders/{name}:1", "", 404, 200},
	"GET /v1/orders/{id}/evidence":      {"/v1/orders/{name}:1/evidence", "", 404, 200},
	"GET /v1/orders":                    {"/v1/orders", "", 200, 200},
	"POST /v1/orders/{id}/cancellation": {"/v1/orders/{name}:3/cancellation", `{}`, 404, 202},
	"GET /v1/orders/{id}/events":        {"/v1/orders/{name}:3/events", "", 404, 200},
	"GET /v1/fulfillments/{id}":         {"/v1/fulfillments/{fulfillment}", "", 404, 200},
	"POST /v1/fulfillments/{id}/refund/confirmation": {
		"/v1/fulfillments/{fulfillment}/refund/confirmation", `{"reference": "bank-1", "reason": "paid back"}`, 404, 0,
	},
	"GET /v1/fulfillments/{id}/replay": {"/v1/fulfillments/{fulfillment}/replay", "", 404, 0},
	"POST /v1/fulfillments/{id}/resend": {
		"/v1/fulfillments/{fulfillment}/resend", `{"email": "me@m42.test"}`, 404,
		202,
	},
	"GET /v1/fulfillments/{id}/deliverables": {"/v1/fulfillments/{fulfillment}/deliverables", "", 404, 200},
	"GET /v1/fulfillments/{id}/deliverables/files/{no}": {
		"/v1/fulfillments/{fulfillment}/deliverables/files/0", "", 404, 0,
	},
	"POST /v1/fulfillments/{id}/resolution": {
		"/v1/fulfillments/{waiting}/resolution", `{"action": "refund", "reason": "mine"}`, 404, 503,
	},
	"POST /v1/fulfillments/{id}/replacement": {
		"/v1/fulfillments/{fulfillment}/replacement", `{"reason": "leaked"}`, 404, 202,
	},
	"POST /v1/pools/{id}/batches":             {"/v1/pools/{name}:keys/batches", "KEY-9", 404, 200},
	"GET /v1/pools/{id}/batches/{batchId}":    {"/v1/pools/{name}:keys/batches/{batch}", "", 404, 200},
	"DELETE /v1/pools/{id}/batches/{batchId}": {"/v1/pools/{name}:keys/batches/{batch}", "", 404, 409},
	"POST /v1/pools/{id}/batches/{batchId}/recall": {
		"/v1/pools/{name}:keys/batches/{batch}/recall", `{"reason": "x"}`,
		404, 200,
	},
	"POST /v1/pools/{id}/keys/lookup": {
		"/v1/pools/{name}:keys/keys/lookup", `{"key": "KEY-{name}-1"}`, 404,
		200,
	},
	"POST /v1/pools/{id}/keys/quarantine": {
		"/v1/pools/{name}:keys/keys/quarantine",
		`{"key": "KEY-{name}-1", "reason": "x"}`, 404, 409,
	},
	"POST /v1/pools/{id}/keys/replacement": {
		"/v1/pools/{name}:keys/keys/replacement",
		`{"key": "KEY-{name}-1", "reason": "x"}`, 404, 200,
	},
	"POST /v1/checkout-links":     {"/v1/checkout-links", "LINK", 403, 201},
	"GET /v1/checkout-links/{id}": {"/v1/checkout-links/{link}?include=customer", "", 404, 200},
	"GET /v1/checkout-links":      {"/v1/checkout-links", "", 200, 200},
	"POST /v1/checkout-links/{id}/cancellation": {
		"/v1/checkout-links/{link}/cancellation", `{"reason": "x"}`, 404, 409,
	},
	"POST /v1/checkout-links/{id}/reopening": {
		"/v1/checkout-links/{link}/reopening", `{"reason": "x"}`, 404, 0,
	},
	"GET /v1/payments/{id}":          {"/v1/payments/{payment}", "", 404, 200},
	"GET /v1/payments":               {"/v1/payments", "", 200, 200},
	"POST /v1/payments/{id}/refresh": {"/v1/payments/{payment}/refresh", "", 404, 202},
	"POST /v1/payments/{id}/resolution": {
		"/v1/payments/{payment}/resolution", `{"action": "accept", "reason": "x"}`, 404, 409,
	},
	"GET /v1/customers/{id}/licenses": {"/v1/customers/user-1/licenses", "", 200, 200},
	"DELETE /v1/customers/{id}/data":  {"/v1/customers/user-1/data", "", 404, 409},
	"GET /v1/licenses/{id}":           {"/v1/licenses/{fulfillment}", "", 404, 200},
	"POST /v1/licenses/{id}/operations": {
		"/v1/licenses/{fulfillment}/operations", `{"operation": "pause"}`,
		404, 201,
	},
	"PUT /v1/products/{id}": {
		"/v1/products/{name}:app2",
		`{"name": "App", "sources": [{"type": "manual"}]}`, 403, 201,
	},
	"GET /v1/products/{id}":    {"/v1/products/{name}:app", "", 404, 200},
	"GET /v1/products":         {"/v1/products", "", 200, 200},
	"DELETE /v1/products/{id}": {"/v1/products/{name}:suite", "", 404, 204},
	"PUT /v1/pools/{id}":       {"/v1/pools/{name}:keys2", `{}`, 403, 201},
	"GET /v1/pools/{id}":       {"/v1/pools/{name}:keys", "", 404, 200},
	"GET /v1/pools":            {"/v1/pools", "", 200, 200},
	"DELETE /v1/pools/{id}":    {"/v1/pools/{name}:keys", "", 404, 409},
	"PUT /v1/integrations/{id}": {
		"/v1/integrations/{name}:other", `{"baseUrl": "https://p.test"}`, 403,
		201,
	},
	"GET /v1/integrations/{id}":    {"/v1/integrations/{name}:acme", "", 404, 200},
	"GET /v1/integrations":         {"/v1/integrations", "", 200, 200},
	"DELETE /v1/integrations/{id}": {"/v1/integrations/{name}:acme", "", 404, 409},
	"PUT /v1/webhooks/{id}": {
		"/v1/webhooks/{name}:other", `{"url": "https://shop.test", "events": ["order.*"]}`, 403, 201,
	},
	"GET /v1/webhooks/{id}":                       {"/v1/webhooks/{name}:hook", "", 404, 200},
	"GET /v1/webhooks":                            {"/v1/webhooks", "", 200, 200},
	"GET /v1/webhooks/{id}/deliveries":            {"/v1/webhooks/{name}:hook/deliveries", "", 404, 200},
	"POST /v1/webhooks/{id}/deliveries/{n}/retry": {"/v1/webhooks/{name}:hook/deliveries/1/retry", "", 404, 0},
	"POST /v1/webhooks/{id}/replay": {
		"/v1/webhooks/{name}:hook/replay", `{"from": "2026-01-01T00:00:00Z"}`, 404, 202,
	},
	"GET /v1/webhooks/{id}/events":    {"/v1/webhooks/{name}:hook/events", "", 404, 200},
	"POST /v1/webhooks/{id}/test":     {"/v1/webhooks/{name}:hook/test", "", 404, 503},
	"POST /v1/webhooks/{id}/rotation": {"/v1/webhooks/{name}:hook/rotation", "", 404, 200},
	"DELETE /v1/webhooks/{id}":        {"/v1/webhooks/{name}:hook", "", 404, 0},
	"POST /v1/mails/preview":          {"/v1/mails/preview", `{"productId": "{name}:app"}`, 404, 200},
	"POST /v1/mails/test":             {"/v1/mails/test", `{"productId": "{name}:app", "email": "a@b.test"}`, 404, 200},
	"PUT /v1/shop":                    {"/v1/shop", `{}`, 404, 404},
	"GET /v1/shop":                    {"/v1/shop", "", 404, 404},
	"GET /v1/alerts":                  {"/v1/alerts?all=true", "", 200, 200},
	"POST /v1/alerts/{id}/close":      {"/v1/alerts/{alert}/close", `{"reason": "mine"}`, 404, 409},
	"GET /v1/audits":                  {"/v1/audits", "", 200, 200},
	"GET /v1/audits/{id}":             {"/v1/audits/{audit}", "", 200, 200},
	"POST /v1/audits":                 {"/v1/audits", "", 404, 0},
}

// Every route that the router has, with the token of one merchant, towards what another one has: nothing is there. The
// owner's own token goes the same way to show that it leads there.
func TestAMerchantReachesNothingOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.ResolvePayment = func(context.Context, string, keyturn.PaymentResolution, string) error {
			return keyturn.Errorf(keyturn.KindConflict, "nothing to decide")
		}
	})
	other := b.open(t, "m43")
	own := b.merchant(t, "m42")
	fill := other.fill()
	b.must(t, "POST", "/v1/orders", orderOf("m43", "3"), "Idempotency-Key", "3", "Authorization", other.token)

	var routes []api.Route
	for _, route := range b.api.Routes() {
		if len(route.Scopes) > 0 {
			routes = append(routes, route)
			require.Contains(t, reaches, route.Pattern, "say how %s would reach what another merchant has", route.Pattern)
		}
	}
	require.Len(t, reaches, len(routes), "the table has routes that are gone")
	for _, route := range routes {
		r := reaches[route.Pattern]
		method, _, _ := strings.Cut(route.Pattern, " ")
		a := b.asMerchant(t, own, method, fill.Replace(r.path), fill.Replace(r.body))
		require.Equal(t, r.status, a.status, "%s: %s", route.Pattern, a.body)
		shown := strings.ReplaceAll(a.body, fill.Replace(r.path), "")
		for _, secret := range []string{
			"m43:", "KEY-m43", other.fulfillment, other.waiting, other.batch, "it is m43", other.link, other.payment,
		} {
			require.NotContains(t, shown, secret, route.Pattern)
		}
		if r.status == 403 {
			require.Contains(t, a.body, "begin with m42:", route.Pattern)
		}
	}

	var v keyturn.OrderView // nothing of the other merchant's was touched
	b.must(t, "GET", "/v1/orders/m43:1", "").into(t, &v)
	require.Equal(t, keyturn.OrderCompleted, v.Status)
	for _, route := range routes {
		r := reaches[route.Pattern]
		if r.own == 0 || strings.HasPrefix(route.Pattern, "DELETE /v1/products") {
			continue
		}
		method, _, _ := strings.Cut(route.Pattern, " ")
		if strings.HasSuffix(route.Pattern, "/events") {
			continue // it has no end
		}
		body := strings.Replace(fill.Replace(r.body), "m43:3", "m43:4", 1)
		a := b.asMerchant(t, other.token, method, fill.Replace(r.path), body)
		require.Equal(t, r.own, a.status, "the owner at %s: %s", route.Pattern, a.body)
	}
}

// What a merchant makes may not lead to what another one has, and its lists show all of its own.
func TestAMerchantMakesNothingOfAnothers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other, own := b.open(t, "m43"), b.open(t, "m42")
	product := func(source string) string { return `{"name": "Trick", "sources": [` + source + `]}` }
	as := []string{"Authorization", own.token, "Idempotency-Key", "k"}
	order := func(line string) string {
		return strings.Replace(orderOf("m42", "9"), `"lineItems": [`, `"lineItems": [`+line+`, `, 1)
	}
	renewal := func(how string) string {
		return order(`{"productId": "m42:app", "quantity": 2, "grossPrice": "1", "operation": "renew", ` + how + `}`)
	}
	b.play(t, []scenario{
		{
			"a product of another's pool", "PUT", "/v1/products/m42:x", as, product(`{"type": "pool", "pool": "m43:keys"}`),
			422,
			[]string{`"sources[0].pool"`, "names m43:keys, which is not in the catalog"},
			nil,
		},
		{
			"a dry run of it", "PUT", "/v1/products/m42:x?dryRun=true", as,
			product(`{"type": "pool", "pool": "m43:keys"}`), 422,
			[]string{"names m43:keys, which is not in the catalog"},
			nil,
		},
		{
			"a product of another's partner", "PUT", "/v1/products/m42:x", as,
			product(`{"type": "endpoint", "integration": "m43:acme"}`), 422,
			[]string{`"sources[0].integration"`},
			nil,
		},
		{
			"another's product", "POST", "/v1/orders", as, order(`{"productId": "m43:app", "quantity": 1, "grossPrice": "1"}`),
			422,
			[]string{`"lineItems[0].productId"`, "not in the catalog: m43:app"},
			nil,
		},
		{
			"another's licence", "POST", "/v1/orders", as, renewal(`"licenseId": "` + other.fulfillment + `"`),
			422,
			[]string{`"lineItems[0].licenseId"`, "names no licence of this customer"},
			nil,
		},
		{
			"an upgrade to another's product", "POST", "/v1/licenses/" + own.fulfillment + "/operations", as,
			`{"operation": "upgrade", "productId": "m43:suite"}`, 422,
			[]string{`"productId"`},
			nil,
		},
		{
			"a customer of both", "DELETE", "/v1/customers/user-1/data", as, "", 409,
			[]string{"has orders beyond m42:"},
			[]string{"m43:"},
		},
		{"its own licences", "GET", "/v1/customers/user-1/licenses", as, "", 200, []string{"KEY-m42-1"}, []string{"m43"}},
		{"a stranger's licences", "GET", "/v1/customers/nobody/licenses", as, "", 200, []string{`"licenses":[]`}, nil},
		{"its orders", "GET", "/v1/orders", as, "", 200, []string{"m42:1", "m42:2"}, []string{"m43"}},
		{
			"its orders in trouble", "GET", "/v1/orders?status=PARTIAL_COMPLETED", as, "", 200,
			[]string{"m42:2"},
			[]string{"m43", "m42:1"},
		},
		{"its alerts", "GET", "/v1/alerts", as, "", 200, []string{"m42:2"}, []string{"m43"}},
		{
			"its audits", "GET", "/v1/audits/" + own.audit, as, "", 200,
			[]string{"it is m42", `"violations":1`},
			[]string{"m43"},
		},
	})
	// The order of an operation is the merchant's own.
	a := b.asMerchant(t, own.token, "POST", "/v1/licenses/"+own.fulfillment+"/operations", `{"operation": "pause"}`)
	require.Equal(t, 201, a.status, a.body)
	var v keyturn.OrderView
	a.into(t, &v)
	require.Regexp(t, `^m42:op-`, v.ID)
	require.Equal(t, 200, b.asMerchant(t, own.token, "GET", "/v1/orders/"+v.ID, "").status)

	var all keyturn.OrderPage
	b.must(t, "GET", "/v1/orders", "").into(t, &all)
	require.Len(t, all.Orders, 5, "a token without a prefix sees everything")
}

// A merchant's list has pages of its own, whatever lies between its orders.
func TestAMerchantsListHasPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	own := b.open(t, "m42")
	b.open(t, "m4")
	for _, number := range []string{"3", "4", "5"} {
		require.Equal(t, 201, b.asMerchant(t, own.token, "POST", "/v1/orders", orderOf("m42", number)).status)
	}
	var ids []string
	cursor := ""
	for {
		var page keyturn.OrderPage
		a := b.asMerchant(t, own.token, "GET", "/v1/orders?limit=2&cursor="+cursor, "")
		require.Equal(t, 200, a.status, a.body)
		a.into(t, &page)
		for _, o := range page.Orders {
			ids = append(ids, o.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"m42:5", "m42:4", "m42:3", "m42:2", "m42:1"}, ids)
}
