package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
)

func TestIdempotencyKeysAreRequiredAndMeanOneThing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	bad := func(name, key string) scenario {
		return scenario{
			name, "POST", "/v1/orders",
			[]string{"Idempotency-Key", key},
			goodOrder, 400,
			[]string{"Idempotency-Key"},
			nil,
		}
	}
	b.play(t, []scenario{
		bad("absent", ""), bad("256 characters", strings.Repeat("k", 256)), bad("not ASCII", "clé"),
		bad("half a quote", `"k-1`), bad("empty quotes", `""`), bad("with parameters", `"k";a=1`),
		bad("with an escape", `k\1`), bad("a list", "k-1, k-2"), bad("white space", "k 1"), bad("only white space", " "),
		bad("tab", "k\t1"),
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/v1/orders", strings.NewReader(goodOrder))
	require.NoError(t, err)
	req.Header = http.Header{
		"Idempotency-Key": {"k-1", "k-2"}, "Content-Type": {"application/json"},
		"Authorization": {"Bearer " + devToken},
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 400, res.StatusCode, "two headers")
	require.Zero(t, b.starts.count())

	b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", strings.Repeat("k", 255))
	b.play(t, []scenario{
		{
			"another order under the key", "POST", "/v1/orders",
			[]string{"Idempotency-Key", strings.Repeat("k", 255)},
			strings.Replace(goodOrder, "ORD-1", "ORD-2", 1), 422,
			[]string{`"Idempotency-Key"`, "ORD-1"},
			nil,
		},
		{
			"the same order in other bytes", "POST", "/v1/orders",
			[]string{"Idempotency-Key", strings.Repeat("k", 255)},
			goodOrder + "\n", 422,
			[]string{`"Idempotency-Key"`},
			nil,
		},
		{
			"the order's number under another key", "POST", "/v1/orders",
			[]string{"Idempotency-Key", "other"},
			goodOrder, 409,
			[]string{"ORD-1"},
			nil,
		},
	})
	require.Equal(t, 1, b.starts.count())
}

func TestAKeyBelongsToItsClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	one, two := b.token(t, "one", api.ScopeOrdersWrite), b.token(t, "two", api.ScopeOrdersWrite)
	first := b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k", "Authorization", one)
	second := b.must(t, "POST", "/v1/orders", strings.Replace(goodOrder, "ORD-1", "ORD-2", 1), "Idempotency-Key", "k",
		"Authorization", two)
	require.NotContains(t, second.body, "ORD-1")
	require.Equal(t, first.body, b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k", "Authorization",
		one).body)
	// Somebody else's order gives nothing away, not even under the key it was sent with.
	stranger := b.do(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k2", "Authorization", two)
	require.Equal(t, 409, stranger.status)
	require.NotContains(t, stranger.body, "/o/")
}

func TestTheSameRequestManyTimesAtOnceIsOneOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	var mu sync.Mutex
	bodies := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a := b.do(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k")
			mu.Lock()
			defer mu.Unlock()
			if a.status == 201 {
				bodies[a.body]++
			} else {
				bodies[fmt.Sprint(a.status)]++
			}
		})
	}
	wg.Wait()
	delete(bodies, "409") // the first one was still being worked on
	require.Len(t, bodies, 1, bodies)
	require.Equal(t, 1, b.starts.count())
}

func TestAnOrderOfFiveThousandLinesIsAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	line := `{"productId": "acme-pro", "quantity": 1, "grossPrice": "1.00"},`
	big := strings.Replace(goodOrder, `[{`, "["+strings.Repeat(line, 4999)+"{", 1)
	a := b.must(t, "POST", "/v1/orders", big, "Idempotency-Key", "k")
	var v keyturn.OrderView
	a.into(t, &v)
	require.Len(t, v.LineItems, 5000)
	require.Equal(t, "5028.99", v.GrossPrice)
	b.must(t, "GET", "/v1/orders/ORD-1", "").into(t, &v)
	require.Len(t, v.LineItems, 5000)
}

func TestOrdersAreListedPageByPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	for i := range 5 {
		b.must(t, "POST", "/v1/orders", strings.Replace(goodOrder, "ORD-1", fmt.Sprintf("ORD/%d", i), 1), "Idempotency-Key",
			fmt.Sprint("k", i))
	}
	c := b.client()
	var ids []string
	cursor := ""
	for {
		page, err := c.Orders(t.Context(), "", cursor, 2)
		require.NoError(t, err)
		for _, o := range page.Orders {
			ids = append(ids, o.ID)
			require.Equal(t, 1, o.Lines.Total)
			require.NotEmpty(t, o.Links.Page)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"ORD/4", "ORD/3", "ORD/2", "ORD/1", "ORD/0"}, ids)
	page, err := c.Orders(t.Context(), keyturn.OrderCompleted, "", 0)
	require.NoError(t, err)
	require.Empty(t, page.Orders)
	page, err = c.Orders(t.Context(), keyturn.OrderPending, "", 1)
	require.NoError(t, err)
	_, err = c.Orders(t.Context(), keyturn.OrderCompleted, page.NextCursor, 1)
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "a cursor belongs to its list")

	o, err := c.Order(t.Context(), "ORD/3") // an ID with a slash has an address too
	require.NoError(t, err)
	require.Equal(t, "/v1/orders/ORD%2F3", o.Links.Self)
}

// token makes a token and gives the header that carries it.
func (b *bench) token(t *testing.T, name string, scopes ...string) string {
	t.Helper()
	text, err := b.db.CreateToken(context.Background(), db.Client{Name: name, Scopes: scopes})
	require.NoError(t, err)
	return "Bearer " + text
}

func (b *bench) client() *client.Client { return &client.Client{BaseURL: b.URL, Token: devToken} }

// The draft of the IETF has the key in quotes, most shops do not.
func TestAnIdempotencyKeyInQuotesIsTheSameKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	first := b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", `a`)
	again := b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", `"a"`)
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, 1, b.starts.count())
}

// Shops number their orders as they like; an address has the number percent-encoded.
func TestOrderNumbersOfShopsHaveAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	shop := b.client()
	for _, id := range []string{"#1001", "1001/2", "RE 2026-0001", "#1001-F1", "1+1"} {
		var order keyturn.Order
		require.NoError(t, json.Unmarshal([]byte(goodOrder), &order))
		order.ID = id
		created, _, err := shop.CreateOrder(t.Context(), id, order)
		require.NoError(t, err, id)
		_, replayed, err := shop.CreateOrder(t.Context(), id, order)
		require.NoError(t, err, id)
		require.True(t, replayed, id)
		require.Equal(t, "/v1/orders/"+url.PathEscape(id), created.Links.Self)
		var shown keyturn.OrderView
		b.must(t, "GET", created.Links.Self, "").into(t, &shown)
		require.Equal(t, id, shown.ID)
		shown, err = shop.Order(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, id, shown.ID)
		_, err = shop.CancelOrder(t.Context(), id, "withdrawal")
		require.NoError(t, err, id)
	}
}

// What a token's requests have of their own is passed over if it was made so, and refused otherwise.
func TestUnknownFieldsArePassedOverForATokenThatWasMadeSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	text, err := b.db.CreateToken(t.Context(), db.Client{
		Name: "lenient", Scopes: []string{api.ScopeOrdersWrite}, IgnoreUnknownFields: true,
	})
	require.NoError(t, err)
	own := strings.Replace(goodOrder, `"currency"`, `"shopSystem": {"name": "Own", "tags": ["a"]}, "currency"`, 1)
	b.play(t, []scenario{
		{
			"refused", "POST", "/v1/orders", []string{"Idempotency-Key", "k"}, own, 422, []string{`"shopSystem"`}, nil,
		},
		{
			"passed over", "POST", "/v1/orders",
			[]string{"Idempotency-Key", "k", "Authorization", "Bearer " + text},
			own, 201,
			[]string{"ORD-1"},
			nil,
		},
		{
			"a known field in another case", "POST", "/v1/orders",
			[]string{"Idempotency-Key", "k2", "Authorization", "Bearer " + text},
			strings.Replace(goodOrder, `"currency"`, `"Currency"`, 1), 422,
			[]string{"did you mean currency?"},
			nil,
		},
		{
			"a duplicate field", "POST", "/v1/orders",
			[]string{"Idempotency-Key", "k2", "Authorization", "Bearer " + text},
			strings.Replace(goodOrder, `"currency"`, `"x": 1, "x": 2, "currency"`, 1), 422,
			[]string{"duplicate"},
			nil,
		},
	})
}
