package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/endpoint"
)

// tried is a folder with a catalog file whose integration has the emulator as its test server.
func tried(t *testing.T, catalog string) (file, partner string) {
	t.Helper()
	s := emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	t.Setenv("ACME_PASSWORD", "canary-password")
	t.Setenv("ACME_API_KEY", "canary-api-key")
	t.Setenv("ACME_HMAC", "canary-hmac")
	file = filepath.Join(t.TempDir(), "catalog.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(catalog, "{PARTNER}", s.URL())), 0o600))
	return file, s.URL()
}

const triedCatalog = `integrations:
  - id: acme
    baseUrl: https://live.partner.test
    testBaseUrl: "{PARTNER}/p/acme"
    auth: {type: basic, username: shop, password: {env: ACME_PASSWORD}}
    httpHeaders: {X-Api-Key: [{env: ACME_API_KEY}]}
    operations:
      create:
        urlComplement: /licenses/new
        bodyTemplate: '{"fulfillmentId":"{{.LicenseID}}","checkout":{"orderId":"{{.Checkout.OrderID}}","lineItemId":"{{.Checkout.LineItemID}}"},"product":{"publisherProductId":"{{.Product.PublisherProductID}}"}}'
        responsePaths:
          activationCode: $.activationCode+
          errorCode: $.errorCode
        signature: {enabled: true, signedFields: [$.checkout.orderId], secret: {env: ACME_HMAC}}
`

func TestIntegrationCheckSendsInTestModeAndExplains(t *testing.T) {
	file, _ := tried(t, triedCatalog)
	out, err := execute(t, "integration", "check", file, "--send")
	require.NoError(t, err, out)
	for _, step := range []string{
		"operations.create", "POST http://127.0.0.1:", "{\"$.checkout.orderId\":\"SO-2201\"}",
		"X-Nexway-Signature", "HTTP 200", "[redacted 1]", "Success: accepted", "the customer would get an activation code",
	} {
		require.Contains(t, out, step)
	}
	require.Contains(t, out, "production would refuse:\n   testBaseUrl", "it is not https")
	require.NotContains(t, out, "canary")

	out, err = execute(t, "integration", "check", file, "--send", "--units", "3", "--output", "json")
	require.ErrorContains(t, err, "1 of 3 activation codes")
	var c checked
	require.NoError(t, json.Unmarshal([]byte(out), &c), out)
	require.Equal(t, string(endpoint.Retryable), c.Reply.Outcome)
	require.Equal(t, 200, c.Reply.HTTPStatus)
	require.Equal(t, "create", c.Request.Definition)
	require.NotContains(t, out, "canary")

	own := filepath.Join(t.TempDir(), "order.json")
	require.NoError(t, os.WriteFile(own, []byte(`{"product":{"publisherProductId":"X-drill:always-500"}}`), 0o600))
	out, err = execute(t, "integration", "check", file, "--send", "--data", own)
	require.ErrorContains(t, err, "HTTP 500")
	require.Contains(t, out, "it would be tried again")
}

// A check renders with a product's own values, and finds the integration that delivers it.
func TestIntegrationCheckOfAProduct(t *testing.T) {
	file, _ := tried(t, triedCatalog+`  - id: beta
    baseUrl: https://beta.partner.test
products:
  - id: cad
    name: CAD "Pro"
    publisherProductId: CAD-PRO-1Y
    variables: {region: APAC}
    sources: [{type: endpoint, integration: acme}]
  - id: game
    name: Game
    sources: [{type: pool, pool: keys}]
pools: [{id: keys}]
`)
	out, err := execute(t, "integration", "check", file, "--product", "cad")
	require.NoError(t, err, out)
	require.Contains(t, out, "create of acme uses operations.create")
	require.Contains(t, out, `"publisherProductId":"CAD-PRO-1Y"`)
	out, err = execute(t, "integration", "check", file, "--product", "cad", "--integration", "beta")
	require.NoError(t, err, out)
	for _, own := range []string{`CAD \"Pro\"`, "CAD-PRO-1Y", "APAC"} {
		require.Contains(t, out, own)
	}
	require.NotContains(t, out, "ORB-STU-1Y", "nothing of the made-up product is left")
	_, err = execute(t, "integration", "check", file, "--product", "nothing")
	require.ErrorContains(t, err, "no product nothing; it has cad, game")
	_, err = execute(t, "integration", "check", file, "--product", "game")
	require.ErrorContains(t, err, "the file has several integrations; choose one with --integration: acme, beta")
}

func TestIntegrationCheckExplainsAReplyFromAFile(t *testing.T) {
	file, _ := tried(t, triedCatalog)
	reply := filepath.Join(t.TempDir(), "reply.json")
	require.NoError(t, os.WriteFile(reply, []byte(`{"activationCode":["CANARY-1","CANARY-2"],"note":"CANARY-1"}`), 0o600))
	out, err := execute(t, "integration", "check", file, "--reply", reply, "--units", "2")
	require.NoError(t, err, out)
	require.Contains(t, out, "2: [redacted 1] · [redacted 2]")
	require.NotContains(t, out, "CANARY")
	out, err = execute(t, "integration", "check", file, "--reply", reply)
	require.NoError(t, err, out)
	require.Contains(t, out, "the customer would get 1 of the 2 activation codes (the others go to nobody)")
	_, err = execute(t, "integration", "check", file, "--reply", reply, "--status", "410")
	require.ErrorContains(t, err, "HTTP 410")
	out, err = execute(t, "integration", "check", file)
	require.NoError(t, err)
	require.Contains(t, out, "4. not sent")
}

func TestIntegrationCheckNeedsSecretsOnlyToSend(t *testing.T) {
	file, _ := tried(t, strings.ReplaceAll(triedCatalog, "ACME_HMAC", "ACME_NOT_SET"))
	out, err := execute(t, "integration", "check", file)
	require.NoError(t, err, out)
	require.Contains(t, out, "replaced by a placeholder (a signature made with it is not the partner's): ACME_NOT_SET\n")
	_, err = execute(t, "integration", "check", file, "--send")
	require.ErrorContains(t, err, "the environment variable ACME_NOT_SET, which is not set")
}

func TestIntegrationCheckNamesTheLineOfAMistake(t *testing.T) {
	file, partner := tried(t, strings.Replace(triedCatalog, "$.activationCode+", "$..activationCode", 1))
	_, err := execute(t, "integration", "check", file)
	require.ErrorContains(t, err, "line 12, integrations[0].operations.create.responsePaths.activationCode cannot use ..")

	file, _ = tried(t, strings.Replace(triedCatalog, "    testBaseUrl: \"{PARTNER}/p/acme\"\n", "", 1))
	_, err = execute(t, "integration", "check", file, "--send")
	require.ErrorContains(t, err, "no testBaseUrl", "the live server is not called")
	out, err := execute(t, "integration", "check", file, "--address", partner+"/p/acme")
	require.NoError(t, err, out)
	_, err = execute(t, "integration", "check", file, "--integration", "other")
	require.ErrorContains(t, err, "acme")
	_, err = execute(t, "integration", "check", file, "--operation", "renew")
	require.ErrorContains(t, err, "defines neither renew nor fallback")
}
