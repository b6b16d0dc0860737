package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
)

// A person whose data was erased is gone from every answer, without a fault, and the books still balance.
func TestAnErasedPersonIsGoneFromEveryAnswer(t *testing.T) {
	s := start(t, options{})
	api := s.operator()
	ctx := context.Background()
	s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, "KEY-01")
	s.product(keyturn.Product{ID: "studio", Sources: sources(fromEndpoint("studio"))})
	s.product(keyturn.Product{ID: "rare", Sources: sources(fromPool("rare-keys"))})
	order := s.order("editor", "studio")
	s.await(order, keyturn.OrderCompleted)
	waiting := s.order("rare")
	s.await(waiting, keyturn.OrderPartialCompleted)
	customer := order.Order.Customer.ID
	require.Equal(t, customer, waiting.Order.Customer.ID, "both orders are one customer's")

	_, err := api.EraseCustomer(ctx, customer)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.ErrorContains(t, err, waiting.Order.ID+" (a line is WAITING_FOR_STOCK)")
	require.NotContains(t, err.Error(), order.Order.ID+" ")
	s.decide(waiting.Starts[0].FulfillmentID, keyturn.Resolution{
		Action: keyturn.ActionRefund,
		Reason: "they asked for it",
	})
	s.await(waiting, keyturn.OrderCanceled)
	s.atRest()

	e, err := api.EraseCustomer(ctx, customer)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, []int{e.Orders, e.Lines})
	again, err := api.EraseCustomer(ctx, customer)
	require.NoError(t, err)
	require.True(t, again.Repeated)

	statusOf := func(method, path, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, api.BaseURL+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+api.Token)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	for _, start := range order.Starts {
		at := "/v1/fulfillments/" + start.FulfillmentID
		require.Equal(t, http.StatusGone, statusOf("GET", at+"/deliverables", ""))
		require.Equal(t, http.StatusGone, statusOf("POST", at+"/resend", "{}"))
		require.Equal(t, http.StatusOK, statusOf("GET", at, ""))
	}
	require.Equal(t, http.StatusOK, statusOf("GET", "/v1/orders/"+order.Order.ID, ""))
	require.Equal(t, http.StatusOK, statusOf("GET", "/v1/customers/"+customer+"/licenses?keys=true", ""))
	require.Equal(t, http.StatusNotFound, statusOf("DELETE", "/v1/customers/nobody/data", ""))

	list, err := s.db.Erasures(ctx)
	require.NoError(t, err)
	r := s.books(func(e *audit.Evidence) { e.Erasures = list })
	require.True(t, r.OK)
	require.EqualValues(t, 1, looked(r, "erased customers"))
}
