package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
)

const integration = `{"id": "acme", "baseUrl": "https://partner.test/licensing", "auth": {"type": "basic", "username": "shop", "password": {"value": "s3cr3t-1"}},
	"operations": {"create": {"bodyTemplate": "{\"ref\":\"{{.LicenseID}}\"}", "responsePaths": {"activationCode": "$.key"}}}}`

func TestTheCatalogRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Production = true })
	b.sell(t)
	put := func(name, path, body string, status int, contains ...string) scenario {
		return scenario{name, "PUT", "/v1/" + path, nil, body, status, contains, []string{"s3cr3t"}}
	}
	product := func(old, new string) string {
		require.Contains(t, poolProduct, old)
		return strings.Replace(poolProduct, old, new, 1)
	}
	b.play(t, []scenario{
		put("another ID than the address", "products/other", poolProduct, 422, `"id"`, "match the ID in the URL"),
		put("an ID that is none", "products/a%20b", `{"name": "x", "sources": [{"type": "manual"}]}`, 422, `"id"`),
		put("no sources", "products/acme-pro", product(`[{"type": "pool", "pool": "keys"}]`, `[]`), 422, `"sources"`),
		put("unknown pool", "products/acme-pro", product(`"keys"`, `"none"`), 422, "sources[0].pool", "not in the catalog"),
		put("unknown integration", "products/acme-pro",
			product(`"pool", "pool": "keys"`, `"endpoint", "integration": "none"`), 422, "sources[0].integration"),
		put("unknown field", "products/acme-pro", product(`"name"`, `"colour": 1, "name"`), 422, `"colour"`),
		put("misspelt tag", "products/acme-pro", product(`"name"`, `"email": {"text": "Your {KEYY}"}, "name"`), 422,
			"email.text", "{KEY}"),
		put("bad retry", "products/acme-pro", product(`"name"`, `"retry": {"schedule": ["1ms"]}, "name"`), 422,
			"retry.schedule[0]"),
		put("bad duration", "products/acme-pro", product(`"name"`, `"retry": {"giveUpAfter": "soon"}, "name"`), 422,
			"retry.giveUpAfter", "such as 5s"),
		put("dynamic URL by http", "products/acme-pro",
			product(`"pool", "pool": "keys"`, `"dynamicurl", "url": "http://shop.test/x"`), 422, "sources[0].url", "https"),
		put("dynamic URL to here", "products/acme-pro",
			product(`"pool", "pool": "keys"`, `"dynamicurl", "url": "https://127.0.0.1/x"`), 422, "sources[0].url"),
		put("integration by http", "integrations/acme", strings.Replace(integration, "https:", "http:", 1), 422, "baseUrl"),
		put("integration to the metadata service", "integrations/acme",
			strings.Replace(integration, "partner.test", "169.254.169.254", 1), 422, "baseUrl"),
		put("integration with credentials in its address", "integrations/acme",
			strings.Replace(integration, "partner.test", "u:p@partner.test", 1), 422, "baseUrl"),
		put("template that runs for ever", "integrations/acme", strings.Replace(integration, `{\"ref\":\"{{.LicenseID}}\"}`,
			`{{range 100000000000}}{{end}}`, 1), 422, "operations.create.bodyTemplate"),
		put("path with two dots", "integrations/acme", strings.Replace(integration, `"$.key"`, `"$..key"`, 1), 422,
			"operations.create.responsePaths.activationCode"),
		put("path as a number", "integrations/acme", strings.Replace(integration, `"$.key"`, `1`, 1), 422,
			"operations.create.responsePaths.activationCode", "must be an object"),
		put("secret by name", "integrations/acme", strings.Replace(integration, `{"value": "s3cr3t-1"}`, `{"env": "ACME"}`,
			1), 422, "auth.password", "env"),
		put("secret that was never stored", "integrations/acme",
			strings.Replace(integration, `{"value": "s3cr3t-1"}`, `{"set": true}`, 1), 422, "auth.password"),
		put("secret as text", "integrations/acme", strings.Replace(integration, `{"value": "s3cr3t-1"}`, `"s3cr3t-1"`, 1),
			422, "auth.password", "must be an object"),
		put("pool in no currency", "pools/other", `{"currency": "EURO"}`, 422, `"currency"`),
		put("pool below zero", "pools/other", `{"threshold": -1}`, 422, `"threshold"`),
		put("pool with a pattern that is none", "pools/other", `{"pattern": "("}`, 422, `"pattern"`, "RE2"),
		put("pool with a pattern that no key matches", "pools/other", `{"pattern": "a$b"}`, 422, `"pattern"`,
			"can match no key"),
		put("product that refuses orders by a pool that it has not", "products/acme-pro",
			product(`[{"type": "pool", "pool": "keys"}]`, `[{"type": "manual"}], "sell": {"whenEmpty": "refuse"}`), 422,
			`"sell.whenEmpty"`, "source of type pool"),
		{"nothing of it is there", "GET", "/v1/pools/other", nil, "", 404, nil, nil},
		{"delete what is sold from", "DELETE", "/v1/pools/keys", nil, "", 409, []string{"acme-pro"}, nil},
		{"delete nothing", "DELETE", "/v1/pools/none", nil, "", 404, nil, nil},
		{"get nothing", "GET", "/v1/products/none", nil, "", 404, []string{"none"}, nil},
	})
}

func TestCatalogEntriesArePutShownComparedAndTakenOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.play(t, []scenario{
		{
			"try it", "PUT", "/v1/integrations/acme?dryRun=true", nil, integration, 200,
			[]string{`"change":"created"`, `"baseUrl"`, `{"location":"auth.password","to":"[a new secret]"}`},
			[]string{"s3cr3t"},
		},
		{"nothing was stored", "GET", "/v1/integrations/acme", nil, "", 404, nil, nil},
		{
			"create it", "PUT", "/v1/integrations/acme", nil, integration, 201,
			[]string{`"password":{"set":true}`},
			[]string{"s3cr3t"},
		},
		{"again", "PUT", "/v1/integrations/acme", nil, integration, 200, nil, []string{"s3cr3t"}},
		{
			"without the value", "PUT", "/v1/integrations/acme", nil,
			strings.Replace(integration, `"value": "s3cr3t-1"`, `"set": true`, 1), 200, nil, nil,
		},
		{
			"try the same", "PUT", "/v1/integrations/acme?dryRun=true", nil, integration, 200,
			[]string{`"change":"unchanged"`, `"differences":[]`},
			nil,
		},
		{
			"try another secret", "PUT", "/v1/integrations/acme?dryRun=true", nil,
			strings.Replace(integration, "s3cr3t-1", "s3cr3t-2", 1), 200,
			[]string{`"change":"changed"`, `[a new secret]`},
			[]string{"s3cr3t", "baseUrl"},
		},
		{
			"try another address", "PUT", "/v1/integrations/acme?dryRun=true", nil,
			strings.Replace(integration, "licensing", "v2", 1), 200,
			[]string{`{"location":"baseUrl","from":"\"https://partner.test/licensing\"","to":"\"https://partner.test/v2\""}`},
			[]string{"password"},
		},
		{"show it", "GET", "/v1/integrations/acme", nil, "", 200, []string{`"set":true`, "licensing"}, []string{"s3cr3t"}},
		{"list it", "GET", "/v1/integrations", nil, "", 200, []string{`"integrations":[{`}, []string{"s3cr3t"}},
		{"take it out", "DELETE", "/v1/integrations/acme", nil, "", 204, nil, nil},
		{"no products", "GET", "/v1/products", nil, "", 200, []string{`{"products":[]}`}, nil},
	})
	c := b.client()
	change, err := c.PutPool(t.Context(), keyturn.Pool{ID: "keys"}, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.Created, change.Change)
	p := keyturn.Product{ID: "p", Name: "P", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "keys"}}}
	for _, want := range []string{keyturn.Created, keyturn.Unchanged} {
		change, err = c.PutProduct(t.Context(), p, false)
		require.NoError(t, err)
		require.Equal(t, want, change.Change)
	}
	p.Name = "Q"
	change, err = c.PutProduct(t.Context(), p, true)
	require.NoError(t, err)
	require.Equal(t, keyturn.Change{
		Change:      keyturn.Changed,
		Differences: []keyturn.Difference{{Location: "name", From: `"P"`, To: `"Q"`}},
	}, change)
	got, err := c.Product(t.Context(), "p")
	require.NoError(t, err)
	require.Equal(t, "P", got.Name)
	require.NoError(t, c.DeleteProduct(t.Context(), "p"))
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(c.DeleteProduct(t.Context(), "p")))
	require.NoError(t, c.DeletePool(t.Context(), "keys"))
	pools, err := c.Pools(t.Context())
	require.NoError(t, err)
	require.Empty(t, pools)
}
