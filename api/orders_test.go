package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestAnOrderIsAcceptedShownAndAnsweredAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "K-1", "K-2")

	first := b.do(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k-1")
	require.Equal(t, 201, first.status, first.body)
	require.Equal(t, "application/json", first.header.Get("Content-Type"))
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	var order keyturn.OrderView
	first.into(t, &order)
	require.Equal(t, "ORD-1", order.ID)
	require.Equal(t, keyturn.OrderPending, order.Status)
	require.Equal(t, "29.99", order.GrossPrice)
	require.Equal(t, "/v1/orders/ORD-1", order.Links.Self)
	require.Regexp(t, `^https://shop\.test/o/[A-Za-z0-9_-]{24}$`, order.Links.Page)
	require.Equal(t, "http://temporal.test/namespaces/default/workflows?query=OrderId%3D%22ORD-1%22", order.Links.History)
	require.Equal(t, keyturn.LinePending, order.LineItems[0].Status)
	require.Equal(t, 1, b.starts.count())

	again := b.do(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k-1")
	require.Equal(t, 201, again.status)
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, 1, b.starts.count())

	shown := b.do(t, "GET", "/v1/orders/ORD-1", "")
	require.Equal(t, 200, shown.status)
	var view keyturn.OrderView
	shown.into(t, &view)
	require.Equal(t, order.Links, view.Links)
	require.Equal(t, order.LineItems[0].FulfillmentID, view.LineItems[0].FulfillmentID)
	require.Equal(t, "pool/keys", view.LineItems[0].Source)
	require.NotNil(t, view.LineItems[0].GiveUpAt)
}

// An order that nothing can deliver now is accepted with a warning, or refused, as its product says.
func TestAnOrderOfAnEmptyPoolIsWarnedOfOrRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)

	a := b.do(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "warn")
	require.Equal(t, 201, a.status, a.body)
	var order keyturn.OrderView
	a.into(t, &order)
	require.Equal(t, []keyturn.Warning{{
		Location: "lineItems[0].productId", ProductID: "acme-pro", Shortage: keyturn.ShortageStock,
		Message: "product acme-pro is out of stock: the line waits, and is refunded if that does not end in time",
	}}, order.Warnings)
	a = b.do(t, "GET", "/v1/orders/ORD-1", "")
	require.Equal(t, 200, a.status)
	require.NotContains(t, a.body, "warnings", "only the answer to a new order warns")

	b.must(t, "PUT", "/v1/products/acme-pro",
		`{"name": "Acme Pro", "sources": [{"type": "pool", "pool": "keys"}], "sell": {"whenEmpty": "refuse"}}`)
	b.play(t, []scenario{
		{
			name: "refused", method: "POST", path: "/v1/orders", headers: []string{"Idempotency-Key", "refuse"},
			body: strings.Replace(goodOrder, "ORD-1", "ORD-2", 1), status: 409,
			contains: []string{`"lineItems[0].productId"`, "acme-pro is not sold now", "is out of stock"},
		},
		{name: "nothing of it is stored", method: "GET", path: "/v1/orders/ORD-2", status: 404},
	})
	require.Equal(t, 1, b.starts.count())
}
