package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
)

func TestTheAPIDescribesItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			RequestBody struct {
				Content map[string]struct{ Schema map[string]any }
			}
			Responses map[string]any
		}
		Components struct{ Schemas map[string]any }
	}
	text := b.must(t, "GET", "/openapi.json", "", "Authorization", "").body
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1"))
	require.Equal(t, keyturn.Version, doc.Info.Version)
	for path, methods := range map[string]string{
		"/v1/orders": "get post", "/v1/orders/{id}": "get", "/v1/orders/{id}/cancellation": "post",
		"/v1/orders/{id}/events": "get", "/v1/orders/{id}/evidence": "get", "/v1/checkout-links": "get post", "/v1/checkout-links/{id}": "get",
		"/v1/checkout-links/{id}/cancellation": "post", "/v1/payments": "get", "/v1/payments/{id}": "get",
		"/v1/payments/{id}/refresh": "post",
		"/v1/fulfillments/{id}":     "get", "/v1/fulfillments/{id}/resolution": "post", "/v1/fulfillments/{id}/resend": "post",
		"/v1/fulfillments/{id}/deliverables": "get", "/v1/pools/{id}/batches": "post", "/v1/customers/{id}/licenses": "get",
		"/v1/customers/{id}/data": "delete", "/v1/audits": "get post", "/v1/audits/{id}": "get",
		"/v1/licenses/{id}": "get", "/v1/licenses/{id}/operations": "post",
		"/v1/products/{id}": "put get delete", "/v1/pools/{id}": "put get delete", "/v1/integrations/{id}": "put get delete",
		"/v1/products": "get", "/v1/pools": "get", "/v1/integrations": "get", "/livez": "get", "/readyz": "get",
	} {
		for method := range strings.FieldsSeq(methods) {
			require.Contains(t, doc.Paths[path], method, path)
			require.NotEmpty(t, doc.Paths[path][method].Responses, path)
		}
	}
	require.Equal(t, "#/components/schemas/Order",
		doc.Paths["/v1/orders"]["post"].RequestBody.Content["application/json"].Schema["$ref"])
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(text, -1) {
		require.Contains(t, doc.Components.Schemas, ref[1])
	}
	require.Contains(t, text, "Idempotency-Key")

	var asYAML map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(b.must(t, "GET", "/openapi.yaml", "").body), &asYAML))
	require.Equal(t, doc.OpenAPI, asYAML["openapi"])
}

func TestTheDescriptionForPeopleNeedsNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.must(t, "GET", "/docs", "", "Authorization", "")
	require.Contains(t, a.header.Get("Content-Type"), "text/html")
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotContains(t, a.body, "<script")
	require.NotRegexp(t, `(src|href)="(https?:)?//`, a.body)
	require.Contains(t, a.body, "/v1/orders/{id}/cancellation")
	require.Contains(t, a.body, "orders:write or ops")
	require.Contains(t, a.body, "<tr><td><code>OutOfStock</code></td><td>warning</td>"+
		"<td>the pool has too few keys for the line</td>", "tables are shown as tables")
	require.NotContains(t, a.body, "|---|")
	require.NotRegexp(t, "`[A-Za-z]+`", regexp.MustCompile(`(?s)<pre.*?</pre>`).ReplaceAllString(a.body, ""), "code is shown as code")
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	b.must(t, "GET", "/openapi.json", "").into(t, &doc)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			require.Contains(t, a.body, `<article id="`+op.OperationID+`">`, "%s %s is not on the page", method, path)
		}
	}
	root := b.do(t, "GET", "/", "", "Authorization", "")
	require.Equal(t, []any{302, "/docs"}, []any{root.status, root.header.Get("Location")})
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		require.Contains(t, a.body, `id="`+link[1]+`"`)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(t, []scenario{
		{"alive", "GET", "/livez", []string{"Authorization", ""}, "", 200, []string{`{"status":"ok"}`}, nil},
		{"ready", "GET", "/readyz", []string{"Authorization", ""}, "", 200, []string{`"database":"ok"`}, nil},
		{"asked by HEAD", "HEAD", "/livez", nil, "", 200, nil, nil},
	})
	h, err := b.client().Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ok", h.Database)
	require.NoError(t, b.db.Close())
	require.Equal(t, 503, b.do(t, "GET", "/readyz", "").status)
	require.Equal(t, 200, b.do(t, "GET", "/livez", "").status)
	a := b.do(t, "GET", "/v1/orders", "")
	require.Equal(t, 503, a.status)
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.NotContains(t, a.body, "closed")
	require.Contains(t, a.body, starterProblem("unavailable"))
}

func starterProblem(kind string) string { return `"type":"https://keyturn.dev/problems/` + kind + `"` }

func TestTheClientTellsWhatAnsweredIfItIsNotKeyturn(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.DevToken = "other" })
	_, err := b.client().Products(t.Context())
	require.ErrorContains(t, err, "token")
	_, err = (&client.Client{BaseURL: "http://127.0.0.1:1"}).Products(t.Context())
	require.ErrorContains(t, err, "does not answer")
}
