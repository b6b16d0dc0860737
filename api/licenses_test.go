package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
)

func TestLicencesAreShownAndOperatedOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	b.must(t, "PUT", "/v1/products/acme-suite",
		`{"id": "acme-suite", "name": "Acme Suite", "sources": [{"type": "pool", "pool": "keys"}]}`)
	id := b.order(t, "ORD-1", "acme-pro")
	at := "/v1/licenses/" + id
	b.play(t, []scenario{
		{"before it is delivered", "GET", at, nil, "", 404, []string{"under way"}, nil},
		{"no UUID", "GET", "/v1/licenses/none", nil, "", 404, nil, nil},
	})
	b.deliver(t, id)
	reader := b.token(t, "reader", api.ScopeOrdersRead)
	post := func(name, body string, status int, contains ...string) scenario {
		return scenario{name, "POST", at + "/operations", []string{"Idempotency-Key", "k-" + strings.ReplaceAll(name, " ",
			"-")}, body, status, contains, nil}
	}
	b.play(t, []scenario{
		{"with keys", "GET", at, nil, "", 200, []string{
			`"status":"Running"`, `"activationCodes":["KEY-1","KEY-2"]`,
			`"source":"pool/keys"`, `"quantity":2`, `"operations":[]`,
		}, nil},
		{"without", "GET", at + "?keys=false", nil, "", 200, []string{`"status":"Running"`}, []string{"KEY-1"}},
		{"for who may not see keys", "GET", at, []string{"Authorization", reader}, "", 200, nil, []string{"KEY-1"}},
		{
			"keys for who may not see them", "GET", at + "?keys=true",
			[]string{"Authorization", reader},
			"", 403, nil,
			[]string{"KEY-1"},
		},
		{
			"no idempotency key", "POST", at + "/operations", nil, `{"operation": "pause"}`, 400,
			[]string{"Idempotency-Key"},
			nil,
		},
		post("unknown operation", `{"operation": "delete"}`, 422, `"operation"`),
		post("a create", `{"operation": "create"}`, 422, `"operation"`),
		post("an unknown field", `{"operation": "pause", "price": "1"}`, 422, "price"),
		post("upgrade without a product", `{"operation": "upgrade"}`, 422, `"productId"`),
		post("upgrade to no product", `{"operation": "upgrade", "productId": "none"}`, 422, `"productId"`),
		post("upgrade to itself", `{"operation": "upgrade", "productId": "acme-pro"}`, 422, `"productId"`),
		post("pause with a product", `{"operation": "pause", "productId": "acme-suite"}`, 422, `"productId"`),
		post("pause with a term", `{"operation": "pause", "expiresAt": "2030-01-01T00:00:00Z"}`, 422, `"expiresAt"`),
		post("resume of a running one", `{"operation": "resume"}`, 422, `"operation"`, "Running",
			"cancel, pause, renew, upgrade"),
		{
			"of no licence", "POST", "/v1/licenses/0198c2d4-0000-7000-8000-000000000001/operations",
			[]string{"Idempotency-Key", "k"},
			`{"operation": "pause"}`, 404, nil, nil,
		},
	})
	require.Equal(t, 1, b.starts.count(), "nothing of it was accepted")

	first := b.must(t, "POST", at+"/operations", `{"operation": "pause"}`, "Idempotency-Key", "pause-1")
	var order keyturn.OrderView
	first.into(t, &order)
	require.Equal(t, 201, first.status)
	require.Equal(t, []any{"0.00", keyturn.OpPause, id},
		[]any{order.GrossPrice, order.LineItems[0].Operation, order.LineItems[0].LicenseID})
	again := b.must(t, "POST", at+"/operations", `{"operation": "pause"}`, "Idempotency-Key", "pause-1")
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, 422, b.do(t, "POST", at+"/operations", `{"operation": "cancel"}`, "Idempotency-Key",
		"pause-1").status, "another request under the key")
	require.Equal(t, 2, b.starts.count())

	v, err := b.client().License(t.Context(), id, false)
	require.NoError(t, err)
	require.Len(t, v.Operations, 1)
	require.Equal(t, []any{keyturn.OpPause, keyturn.LinePending, order.ID},
		[]any{v.Operations[0].Operation, v.Operations[0].Status, v.Operations[0].OrderID})
	o, err := b.client().OperateLicense(t.Context(), "cancel-1", id, keyturn.LicenseOperation{Operation: keyturn.OpCancel})
	require.NoError(t, err)
	require.Equal(t, keyturn.OpCancel, o.LineItems[0].Operation)
	_, err = b.client().OperateLicense(t.Context(), "renew-1", id, keyturn.LicenseOperation{Operation: keyturn.OpRenew})
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
}

// An order line that acts on a licence: what is wrong with it is said with its place.
func TestOrderLinesThatActOnLicences(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	b.deliver(t, id)
	order := func(number, line string) string {
		return `{"id": "` + number + `", "currency": "EUR", "payment": {"provider": "sandbox", "reference": "pay"},
			"customer": {"id": "user-1", "email": "jean@buyer.test", "country": "FR", "locale": "fr-FR"}, "lineItems": [` + line + `]}`
	}
	line := func(rest string) string {
		return `{"productId": "acme-pro", "quantity": 2, "grossPrice": "9.00", ` + rest + `}`
	}
	post := func(name, rest string, status int, contains ...string) scenario {
		return scenario{
			name, "POST", "/v1/orders",
			[]string{"Idempotency-Key", "k"},
			order("ORD-2", line(rest)), status,
			contains, nil,
		}
	}
	b.play(t, []scenario{
		post("no licence", `"operation": "renew"`, 422, "lineItems[0].licenseId", "subscriptionId"),
		post("unknown subscription", `"operation": "renew", "subscriptionId": "s"`, 422, "lineItems[0].subscriptionId",
			"no licence of this customer"),
		post("unknown licence", `"operation": "renew", "licenseId": "0198c2d4-0000-7000-8000-000000000001"`, 422,
			"lineItems[0].licenseId", "no licence of this customer"),
		post("a create with one", `"licenseId": "`+id+`"`, 422, "lineItems[0].licenseId"),
		post("no time", `"operation": "renew", "licenseId": "`+id+`", "expiresAt": "tomorrow"`, 422, "expiresAt"),
		post("good", `"operation": "renew", "licenseId": "`+id+`", "expiresAt": "2030-01-01T00:00:00Z"`, 201,
			`"operation":"renew"`, `"licenseId":"`+id+`"`),
	})
}
