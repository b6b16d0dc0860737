package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
)

// multiplied are the tables that grow with what is sold, in the order of their references, and those that grow with
// time. Events come first: what is copied after them writes events of its own.
var multiplied = []string{
	"events", "event_deliveries",
	"customers", "orders", "idempotency_keys", "line_items", "line_log", "partner_requests", "attempts", "deliverables",
	"deliveries", "refunds", "revocations", "licenses", "alerts", "access_log", "pool_keys", "batches", "key_log",
	"outbox", "merchant_payments", "checkout_links", "link_log", "payments", "payment_log", "audits",
}

// erasedCopies: what is copied belongs to customers whose data was erased, because nobody could open it under new IDs.
// A link has one payment that can be paid.
var erasedCopies = map[string]string{
	"customers.data_key": "NULL", "customers.erased_at": "now()", "orders.customer": "''",
	"payments.status": "'EXPIRED'", "payments.ended_at": "now()",
	"events.number": "number + 10000 * g", "events.public_id": "CASE WHEN number > 0 THEN gen_random_uuid() END",
	"event_deliveries.replay": "replay + g", "event_deliveries.status": "'DELIVERED'",
	"event_deliveries.next_at": "NULL", "event_deliveries.done_at": "now()",
}

// someQueries are the values of every parameter that a route which reads takes in its query: those that many have, and
// those that none has.
var someQueries = map[string][]string{
	"listOrders status":           textsOf(keyturn.OrderStatuses),
	"listCheckoutLinks status":    textsOf(keyturn.LinkStatuses),
	"listCheckoutLinks reference": {"CRM-m43", "CRM-of-none"},
	"listPayments status":         textsOf(keyturn.PaymentStatuses),
	"listAlerts all":              {"true"},
	"listAlerts cause":            {string(keyturn.AlertOutOfStock), string(keyturn.AlertClockSkew)},
	"listAlerts before":           {"3"},
	"listLicenses keys":           {"true", "false"},
	"getLicense keys":             {"true", "false"},
	"include":                     {"customer"},
	"replayFulfillment attempt":   {"1"},
	"followOrder follow":          {"false"}, // with true it has no end
	"listEventDeliveries status":  textsOf(keyturn.EventStatuses),
	"listEventDeliveries before":  {"3"},
	"pullEvents after":            {"3"},
	"pullEvents types":            {"order.*", "payment.lost"},
	"limit":                       {"2"},
}

func textsOf[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// querying is a route that reads, with the parameters of its query.
type querying struct {
	id, pattern string
	params      []string
}

// queryingRoutes are all of them, as the API describes itself.
func (b *bench) queryingRoutes(t *testing.T) (out []querying) {
	t.Helper()
	var doc struct {
		Paths map[string]struct {
			Get *struct {
				OperationID string
				Security    []any
				Parameters  []struct{ Name, In string }
			}
		}
	}
	b.must(t, "GET", "/openapi.json", "").into(t, &doc)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		op := doc.Paths[path].Get
		if op == nil || len(op.Security) == 0 {
			continue
		}
		q := querying{id: op.OperationID, pattern: "GET " + path}
		for _, p := range op.Parameters {
			if p.In == "query" {
				q.params = append(q.params, p.Name)
			}
		}
		out = append(out, q)
	}
	return out
}

// queries are the queries of a route: none, each parameter alone, each pair of parameters, with each of their values.
// A cursor comes with page 2.
func (q querying) queries(t *testing.T) []url.Values {
	t.Helper()
	var all []url.Values
	for _, name := range q.params {
		if name == "cursor" {
			continue
		}
		values := someQueries[q.id+" "+name]
		if values == nil {
			values = someQueries[name]
		}
		require.NotEmpty(t, values, "name values of the parameter %s of %s: one that many have, and one that none has",
			name, q.id)
		for _, query := range all {
			for _, value := range values {
				if len(query) == 1 {
					pair := maps.Clone(query)
					pair.Set(name, value)
					all = append(all, pair)
				}
			}
		}
		for _, value := range values {
			all = append(all, url.Values{name: {value}})
		}
	}
	return append(all, url.Values{})
}

// However much was sold, no route reads more than it shows: not a list under any of its filters, on its first page or
// its second, for a token without a prefix, one of the merchant that sold all of it, or one that sold nothing. A new
// parameter without values in someQueries fails, and so does a new route without a path in reaches.
func TestNoRouteReadsAWholeTable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.open(t, "m43")
	tokens := map[string]string{
		"nobody": "Bearer " + devToken, "m43": s.token, "m42": b.merchant(t, "m42"),
	}
	routes := b.queryingRoutes(t)
	link := strings.Replace(linkOfMerchant("m43", "6"), "{", `{"reference": "CRM-m43", `, 1)
	b.must(t, "POST", "/v1/checkout-links", link, "Idempotency-Key", "6")
	b.refund(t, s)
	_, _, err := b.db.NumberEvents(t.Context())
	require.NoError(t, err)
	b.Close()
	require.NoError(t, b.db.Close())
	testkit.Multiply(t, b.dsn, 3000, multiplied, erasedCopies)

	fill := s.fill()
	reads := testkit.WatchReads(t, b.dsn)
	asked := 0
	for who, token := range tokens {
		for _, route := range routes {
			reach, ok := reaches[route.pattern]
			require.True(t, ok, "say in reaches how %s is reached", route.pattern)
			status := []int{reach.own}
			if reach.own == 0 || who == "m42" {
				status = []int{reach.status}
			}
			if who == "nobody" { // what is the installation's is there for it alone
				status = append(status, 200)
			}
			ask := func(query url.Values) string {
				asked++
				path, _, _ := strings.Cut(fill.Replace(strings.Replace(reach.path, "{name}:3", "{name}:1", 1)), "?")
				path += "?" + query.Encode()
				a := b.once(t, token, path)
				require.Contains(t, status, a.Code, "%s as %s: %s", path, who, a.Body)
				for _, r := range reads.More(t, 500) {
					t.Errorf("%s as %s: %s", path, who, r)
				}
				var page struct{ NextCursor string }
				_ = json.Unmarshal(a.Body.Bytes(), &page) // not each is a list
				return page.NextCursor
			}
			for _, query := range route.queries(t) {
				if cursor := ask(query); cursor != "" {
					query.Set("cursor", cursor)
					ask(query)
				}
			}
		}
	}
	t.Log(asked, "requests")
}

// refund has a line given up, whose money is on its way back.
func (b *bench) refund(t *testing.T, s stall) {
	t.Helper()
	var v keyturn.OrderView
	b.asMerchant(t, s.token, "POST", "/v1/orders", orderOf(s.name, "7")).into(t, &v)
	_, err := b.db.Resolve(t.Context(), v.LineItems[0].FulfillmentID, keyturn.Resolution{
		Action: keyturn.ActionRefund, By: "ops", Reason: "the customer asks for it",
	})
	require.NoError(t, err)
}

// once is a process that answers one request, with the connections to the database that it makes for it.
func (b *bench) once(t *testing.T, token, path string) *httptest.ResponseRecorder {
	t.Helper()
	d, err := db.Open(t.Context(), b.dsn, b.keys)
	require.NoError(t, err)
	b.api.DB = d
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	b.api.Handler().ServeHTTP(w, r)
	require.NoError(t, d.Close())
	return w
}
