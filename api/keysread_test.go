package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
)

// The address of an order's page is a key to its keys: it is in the answer to a new order, for the customer, and for
// tokens that may read keys. Nothing else that a token without keys:read may ask for has it.
func TestThePageIsForWhoMayReadKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	shop := b.token(t, "shop", api.ScopeOrdersWrite, api.ScopeOrdersRead, api.ScopeCatalogWrite, api.ScopeKeysWrite,
		api.ScopeOps)
	reader := b.token(t, "reader", api.ScopeOrdersWrite, api.ScopeOrdersRead, api.ScopeKeysRead)
	first := b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k", "Authorization", shop)
	require.Contains(t, first.body, "shop.test/o/")
	again := b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k", "Authorization", shop)
	require.Equal(t, first.body, again.body)
	id := b.fulfillmentOf(t, "ORD-1")
	b.deliver(t, id)

	for _, path := range []string{
		"/v1/orders/ORD-1", "/v1/orders", "/v1/fulfillments/" + id, "/v1/customers/user-1/licenses", "/v1/licenses/" + id,
		"/v1/alerts?all=true",
	} {
		a := b.must(t, "GET", path, "", "Authorization", shop)
		require.NotContains(t, a.body, "/o/", path)
		require.NotContains(t, a.body, "KEY-1", path)
	}
	for _, path := range []string{"/v1/orders/ORD-1", "/v1/orders"} {
		require.Contains(t, b.must(t, "GET", path, "", "Authorization", reader).body, "shop.test/o/", path)
	}
	// The page of an operation shows the licence's keys, whoever ordered it.
	operate := func(token, key string) string {
		return b.must(t, "POST", "/v1/licenses/"+id+"/operations", `{"operation": "renew"}`, "Idempotency-Key", key,
			"Authorization", token).body
	}
	require.NotContains(t, operate(shop, "op-1"), "/o/")
	require.Contains(t, operate(reader, "op-2"), "shop.test/o/")
	a := b.must(t, "POST", "/v1/orders/ORD-1/cancellation", `{"reason": "x"}`, "Authorization", shop)
	require.NotContains(t, a.body, "/o/")
}

func TestKeysGoToAnotherAddressOnlyForWhoMayReadThem(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	b.deliver(t, id)
	ops, both := b.token(t, "ops", api.ScopeOps), b.token(t, "both", api.ScopeOps, api.ScopeKeysRead)
	at, body := "/v1/fulfillments/"+id+"/resend", `{"email": "new@buyer.test"}`
	b.play(t, []scenario{
		{"to the order's address", "POST", at, []string{"Authorization", ops}, "", 202, []string{"deliveryId"}, nil},
		{"to another one", "POST", at, []string{"Authorization", ops}, body, 403, []string{"keys:read"}, nil},
		{"with both scopes", "POST", at, []string{"Authorization", both}, body, 202, []string{"deliveryId"}, nil},
		{"with both, to none", "POST", at, []string{"Authorization", both}, `{"email": "x"}`, 422, []string{`"email"`}, nil},
	})
}
