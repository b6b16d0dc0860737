package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
)

// What is wrong with an integration is refused with its place and reason, and what was valid before stays in force.
func TestAWrongIntegrationChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	partner := emulator.New(emulator.Config{TLSAddr: "127.0.0.1:0"})
	require.NoError(t, partner.Start())
	t.Cleanup(func() { _ = partner.Close() })
	ca, err := json.Marshal(string(partner.CAPEM()))
	require.NoError(t, err)
	leaf, key, err := partner.IssueClientCert("shop")
	require.NoError(t, err)
	quoted := func(text []byte) string {
		out, err := json.Marshal(string(text))
		require.NoError(t, err)
		return string(out)
	}
	good := strings.Replace(integration, `"auth"`, `"tls": {"ca": `+string(ca)+`}, "limits": {"perSecond": 10}, "auth"`, 1)
	b.play(t, []scenario{{"a good one", "PUT", "/v1/integrations/acme", nil, good, 201, nil, nil}})
	for name, c := range map[string]struct{ old, new, at, why string }{
		"mail's port":           {"partner.test", "partner.test:25", "baseUrl", "port"},
		"an address in hex":     {"partner.test", "0x7f000001", "baseUrl", "unusual form"},
		"an address as number":  {"partner.test", "2130706433", "baseUrl", "unusual form"},
		"a mapped address":      {"partner.test", "[::ffff:10.0.0.1]", "baseUrl", "reserved"},
		"an address by 6to4":    {"partner.test", "[2002:7f00:1::]", "baseUrl", "reserved"},
		"shared address space":  {"partner.test", "100.64.0.1", "baseUrl", "reserved"},
		"a fragment":            {"/licensing", "/licensing#x", "baseUrl", "fragment"},
		"a letter like another": {"partner.test", "pаrtner.test", "baseUrl", "xn--"},
		"a colon in the user":   {`"shop"`, `"sh:op"`, "auth.username", "':'"},
		"a line in the user":    {`"shop"`, `"shop\r\nX: 1"`, "auth.username", "printable"},
		"an empty password":     {`"s3cr3t-1"`, `""`, "auth.password", "empty"},
		"a password of 10 KB":   {`"s3cr3t-1"`, `"` + strings.Repeat("x", 10<<10) + `"`, "auth.password", "1024 bytes"},
		"no certificate":        {string(ca), `"hello"`, "tls.ca", "PEM"},
		"a key as authority":    {string(ca), quoted(key), "tls.ca", "private key"},
		"no authority":          {string(ca), quoted(leaf), "tls.ca", "neither a certificate authority"},
		"no rate":               {`{"perSecond": 10}`, `{"perSecond": -1}`, "limits.perSecond", "between"},
		"a time-out of an hour": {`{"perSecond": 10}`, `{"timeout": "1h"}`, "limits.timeout", "30s"},
		"too many at once":      {`{"perSecond": 10}`, `{"maxConcurrent": 5000}`, "limits.maxConcurrent", "1000"},
		"a look-up by PUT": {
			`{"create"`,
			`{"lookup": {"method": "PUT", "urlComplement": "/x", "responsePaths": {"activationCode": "$.k"}}, "create"`,
			"operations.lookup.method", "GET or POST",
		},
	} {
		require.Contains(t, good, c.old, name)
		b.play(t, []scenario{
			{
				name, "PUT", "/v1/integrations/acme", nil, strings.Replace(good, c.old, c.new, 1), 422,
				[]string{`"location":"` + c.at + `"`, c.why},
				[]string{"s3cr3t"},
			},
		})
	}
	b.play(t, []scenario{
		{"what was valid stays", "GET", "/v1/integrations/acme", nil, "", 200, []string{
			`"baseUrl":"https://partner.test/licensing"`, `"username":"shop"`, `"perSecond":10`,
			`"partner":{"breaker":"closed","failing":0,"running":0,"waiting":0}`, `"certificates":[{"use":"ca"`, `"notAfter"`,
		}, []string{"s3cr3t"}},
	})
	v, err := b.client().Integration(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, keyturn.BreakerClosed, v.Partner.Breaker)
	require.Len(t, v.Certificates, 1)
}
