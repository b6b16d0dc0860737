package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
)

func TestWhatIsWrongWithARequestIsRefusedBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(goodOrder))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	key := []string{"Idempotency-Key", "k"}
	with := func(headers ...string) []string { return append(headers, key...) }
	order := func(old, new string) string {
		require.Contains(t, goodOrder, old)
		return strings.Replace(goodOrder, old, new, 1)
	}
	post := func(name, body string, status int, contains ...string) scenario {
		return scenario{name, "POST", "/v1/orders", key, body, status, contains, nil}
	}
	b.play(t, []scenario{
		{"wrong method", "PATCH", "/v1/orders", nil, "", 405, []string{"GET", "POST"}, nil},
		{"no such address", "GET", "/v1/nothing", nil, "", 404, nil, nil},
		{"dots in the address", "GET", "/v1/../v1/orders", nil, "", 404, nil, nil},
		{"dots as an ID", "GET", "/v1/orders/..", nil, "", 404, nil, nil},
		{"escaped dots as an ID", "GET", "/v1/products/%2e%2e%2fpools", nil, "", 404, nil, nil},
		{"NUL in an ID", "GET", "/v1/orders/a%00b", nil, "", 400, []string{`"path"`}, nil},
		{"broken text in an ID", "GET", "/v1/orders/%ff", nil, "", 400, []string{`"path"`}, nil},
		{"an ID that is too long", "GET", "/v1/orders/" + strings.Repeat("a", 300), nil, "", 400, []string{`"id"`}, nil},

		{"no media type", "POST", "/v1/orders", with("Content-Type", ""), goodOrder, 415, nil, nil},
		{
			"another media type", "POST", "/v1/orders", with("Content-Type", "text/plain"), goodOrder, 415,
			[]string{"application/json"},
			nil,
		},
		{
			"another character set", "POST", "/v1/orders", with("Content-Type", "application/json; charset=latin1"), goodOrder,
			415,
			[]string{"UTF-8"},
			nil,
		},
		{
			"compressed", "POST", "/v1/orders", with("Content-Encoding", "gzip"), zipped.String(), 415,
			[]string{"compressed"},
			nil,
		},
		{"too large", "POST", "/v1/orders", key, `{"id": "` + strings.Repeat("a", 5<<20) + `"}`, 413, []string{"4MiB"}, nil},

		post("no body", "", 415),
		{"an empty body", "POST", "/v1/orders", with("Content-Type", "application/json"), "", 400, []string{"required"}, nil},
		post("white space", " \n", 400, "required"),
		post("byte-order mark", "\xEF\xBB\xBF"+goodOrder, 400, "byte-order mark"),
		post("broken text", order("Jean", "Je\xffan"), 400, "UTF-8"),
		post("trailing bytes", goodOrder+" trailing", 400, "unexpected data after it"),
		post("two documents", goodOrder+goodOrder, 400, "unexpected data after it"),
		post("cut off", goodOrder[:100], 400, "unexpected end"),
		post("not JSON", "id=1&currency=EUR", 400, "syntax error at byte 1"),
		post("nested 33 deep", strings.Repeat("[", 33)+strings.Repeat("]", 33), 400, "32 levels"),
		post("nested 10001 deep", strings.Repeat(`{"a":`, 10001)+"1"+strings.Repeat("}", 10001), 400, "nested"),
		post("a list", "[]", 422, `"body"`, "must be an object"),
		post("unknown field", order(`"currency"`, `"colour": 1, "currency"`), 422, `"colour"`),
		post("unknown field inside", order(`"quantity"`, `"colour": 1, "quantity"`), 422, `"lineItems[0].colour"`),
		post("field in another case", order(`"id": "ORD-1"`, `"ID": "ORD-1"`), 422, `"ID"`, "did you mean id?"),
		post("duplicate field", order(`"currency": "EUR"`, `"currency": "EUR", "currency": "USD"`), 422, `"currency"`,
			"duplicate field"),
		post("duplicate field by escape", order(`"currency": "EUR"`, `"currency": "EUR", "\u0063urrency": "USD"`), 422,
			"duplicate field"),
		post("a hidden field", order(`"quantity"`, `"fulfillmentId": "x", "quantity"`), 422, `"lineItems[0].fulfillmentId"`),

		post("NUL", order("Jean", `Je\u0000an`), 422, "customer.firstName", "NUL"),
		post("NUL in a name", order(`"currency"`, `"cur\u0000rency": 1, "currency"`), 422, "NUL"),
		post("half a surrogate pair", order("Jean", `\ud83d`), 422, "customer.firstName", "surrogate"),
		post("a surrogate pair the wrong way round", order("Jean", `\ude00\ud83d`), 422, "surrogate"),
		post("name of a megabyte", order("Jean", strings.Repeat("a", 1<<20)), 422, "customer.firstName"),
		post("card number", order("Jean", "4111 1111 1111 1111"), 422, "customer.firstName", "card"),

		post("price as a number", order(`"29.99"`, `29.99`), 422, "lineItems[0].grossPrice",
			"must be a string, not a number"),
		post("price of too many digits", order(`"29.99"`, `"29.999"`), 422, "lineItems[0].grossPrice"),
		post("price below zero", order(`"29.99"`, `"-1.00"`), 422, "lineItems[0].grossPrice"),
		post("price minus zero", order(`"29.99"`, `"-0"`), 422, "lineItems[0].grossPrice"),
		post("price with an exponent", order(`"29.99"`, `"1e400"`), 422, "lineItems[0].grossPrice"),
		post("price that is none", order(`"29.99"`, `"NaN"`), 422, "lineItems[0].grossPrice"),
		post("price beyond measure", order(`"29.99"`, `"99999999999999999999"`), 422, "lineItems[0].grossPrice"),
		post("yen with decimals", strings.Replace(order(`"29.99"`, `"29.90"`), "EUR", "JPY", 1), 422,
			"lineItems[0].grossPrice", "0 digits"),
		post("no such currency", order("EUR", "EURO"), 422, `"currency"`),
		post("no units", order(`"quantity": 2`, `"quantity": 0`), 422, "lineItems[0].quantity"),
		post("units below zero", order(`"quantity": 2`, `"quantity": -1`), 422, "lineItems[0].quantity"),
		post("units beyond measure", order(`"quantity": 2`, `"quantity": 1000000000`), 422, "lineItems[0].quantity"),
		post("units of a huge number", order(`"quantity": 2`, `"quantity": 9007199254740993000000`), 422,
			"lineItems[0].quantity"),
		post("units with a fraction", order(`"quantity": 2`, `"quantity": 2.0`), 422, "lineItems[0].quantity"),
		post("units with an exponent", order(`"quantity": 2`, `"quantity": 1e400`), 422, "lineItems[0].quantity"),
		post("units as text", order(`"quantity": 2`, `"quantity": "2"`), 422, "lineItems[0].quantity",
			"must be a number, not a string"),
		post("no lines", order(`[{"productId": "acme-pro", "quantity": 2, "grossPrice": "29.99"}]`, `[]`), 422,
			`"lineItems"`),
		post("lines of null", order(`[{"productId": "acme-pro", "quantity": 2, "grossPrice": "29.99"}]`, `[null]`), 422,
			"lineItems[0].productId"),
		post("unknown product", order("acme-pro", "acme-none"), 422, "lineItems[0].productId", "not in the catalog"),
		post("every mistake at once", order("EUR", "EURO")[:0]+`{"id": "", "currency": "x", "lineItems": [{"quantity": 0}]}`,
			422,
			`"id"`, `"currency"`, "payment.provider", "customer.email", "lineItems[0].productId", "lineItems[0].quantity"),

		{"NUL in a query", "GET", "/v1/orders?cursor=a%00b", nil, "", 400, []string{`"query"`}, nil},
		{"broken text in a query", "GET", "/v1/orders?status=%ff", nil, "", 400, []string{`"query"`}, nil},
		{"a broken escape in a query", "GET", "/v1/orders?status=%zz", nil, "", 400, []string{`"query"`}, nil},
		{"page size below one", "GET", "/v1/orders?limit=-1", nil, "", 400, []string{`"limit"`}, nil},
		{"page size beyond measure", "GET", "/v1/orders?limit=1000000000", nil, "", 400, []string{`"limit"`}, nil},
		{"page size that is none", "GET", "/v1/orders?limit=many", nil, "", 400, []string{`"limit"`}, nil},
		{"forged cursor", "GET", "/v1/orders?cursor=eyJhIjoxfQ", nil, "", 400, []string{`"cursor"`}, nil},
		{"cursor that is no base64", "GET", "/v1/orders?cursor=%25%25", nil, "", 400, []string{`"cursor"`}, nil},
		{"no such status", "GET", "/v1/orders?status=DONE", nil, "", 400, []string{`"status"`}, nil},
		{"unknown query parameter", "GET", "/v1/orders?colour=red", nil, "", 400, []string{`"colour"`}, nil},
		{"fulfillment that is no UUID", "GET", "/v1/fulfillments/1", nil, "", 404, nil, nil},
		{
			"fulfillment in braces", "GET", "/v1/fulfillments/%7B99999999-8888-7777-6666-555555555555%7D", nil, "", 404, nil,
			nil,
		},
		{
			"fulfillment as a URN", "GET", "/v1/fulfillments/urn:uuid:99999999-8888-7777-6666-555555555555", nil, "", 404, nil,
			nil,
		},
		{"fulfillment without dashes", "GET", "/v1/fulfillments/99999999888877776666555555555555", nil, "", 404, nil, nil},
		{"unknown fulfillment", "GET", "/v1/fulfillments/99999999-8888-7777-6666-555555555555", nil, "", 404, nil, nil},
		{"unknown order", "GET", "/v1/orders/ORD-0", nil, "", 404, []string{"ORD-0"}, nil},
		{"unknown customer", "GET", "/v1/customers/nobody/licenses", nil, "", 404, nil, nil},
	})
	require.Zero(t, b.starts.count())
	require.Equal(t, 200, b.do(t, "GET", "/v1/orders", "").status)
	require.NotContains(t, b.do(t, "GET", "/v1/orders", "").body, "ORD-1", "nothing was stored")
}

func TestAddressesOfCustomersFollowOurOwnRule(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	for _, address := range []string{
		`a@b.c\r\nBcc: x@y.test`, `\"x y\"@b.test`, "a@[127.0.0.1]", "a@b", "ü@b.test",
		strings.Repeat("a", 400) + "@b.test",
		"Name <a@b.test>", "a@b.test,c@d.test", "", "@", "a@127.0.0.1",
	} {
		a := b.do(t, "POST", "/v1/orders", strings.Replace(goodOrder, "jean@buyer.test", address, 1), "Idempotency-Key", "k")
		require.Equal(t, 422, a.status, address)
		require.Contains(t, a.body, "customer.email")
	}
}

func TestAFaultOfOursShowsAReferenceAndNothingElse(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.Pages = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the secret of the house") })
	})
	a := b.do(t, "GET", "/o/secret-of-a-page", "")
	require.Equal(t, 500, a.status)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.Contains(t, a.body, a.header.Get("X-Request-Id"))
	require.NotContains(t, a.body, "secret")
	require.Contains(t, b.log.String(), "the secret of the house")
	require.NotContains(t, b.log.String(), "secret-of-a-page", "a page's address is as good as a key")
	require.Equal(t, 500, b.do(t, "GET", "/library/secret-of-a-link", "").status)
	require.NotContains(t, b.log.String(), "secret-of-a-link")
	require.Equal(t, 500, b.do(t, "GET", "/library", "").status, "it is a page, too")
}

func TestTheLogHoldsNoPersonalDatum(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "SECRET-KEY")
	b.must(t, "POST", "/v1/orders", goodOrder, "Idempotency-Key", "k")
	b.do(t, "GET", "/v1/customers/user-1/licenses?keys=true", "")
	require.Contains(t, b.log.String(), "POST /v1/orders")
	for _, text := range []string{"jean@buyer.test", "Dupont", "user-1", "SECRET-KEY", devToken} {
		require.NotContains(t, b.log.String(), text)
	}
}

// An order of ten thousand wrong lines gets an answer that can be read.
func TestTenThousandWrongLinesAreNotTenThousandErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	line := `{"productId": "acme-pro", "quantity": 0, "grossPrice": "29.99"}`
	unknown := `{"productId": "acme-pro", "quantity": 1, "grossPrice": "29.99", "colour": "red"}`
	for name, of := range map[string]string{"wrong": line, "unknown": unknown} {
		body := goodOrder[:strings.Index(goodOrder, `[{`)] + "[" + strings.Repeat(of+",", 9_999) + of + "]}"
		a := b.do(t, "POST", "/v1/orders", body, "Idempotency-Key", name)
		require.Equal(t, 422, a.status)
		require.Equal(t, 50, strings.Count(a.body, `"location"`), name)
		require.Contains(t, a.body, "the first 50 errors, and 9950 more")
	}
}

// What a client breaks off is its own doing: nothing of it is counted as a fault of ours.
func TestABodyThatIsCutShortIsTheClientsFault(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	conn, err := net.Dial("tcp", b.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn,
		"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: cut\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", devToken, len(goodOrder), goodOrder[:40])
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 400, res.StatusCode, string(text))
	require.Contains(t, string(text), "cut off")
}
