package endpoint_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

func secretOf(text string) *keyturn.SecretRef { return &keyturn.SecretRef{Value: text} }

func complete(t *testing.T) keyturn.Integration {
	t.Helper()
	ca := newAuthority(t)
	cert, key := ca.issue(t, nil)
	return keyturn.Integration{
		ID: "acme-licenses", BaseURL: "https://partner.test/licensing",
		Auth: keyturn.Auth{Type: "basic", Username: "shop", Password: secretOf("p:w d")},
		TLS:  keyturn.TLS{CA: ca.pem, ClientCert: cert, ClientKey: secretOf(key)},
		Limits: keyturn.Limits{
			MaxConcurrent: 20, PerSecond: 50, Timeout: keyturn.Duration(15 * time.Second),
			MaxReplyBytes: 1 << 20,
		},
		PermanentErrors: keyturn.PermanentErrors{
			HTTPStatus: []int{410}, ErrorCodes: []string{"PRODUCT_UNKNOWN"},
			ErrorMessages: []string{"no such product"},
		},
		HTTPHeaders:     map[string][]keyturn.HeaderValue{"X-Shop": keyturn.Texts("acme")},
		AllowedNetworks: []string{"10.20.0.0/16", "fd00:1234::/32"},
		Operations: map[string]keyturn.Operation{
			"create": {
				URLComplement: "/licenses/new", BodyTemplate: `{"ref":"{{.LicenseID}}","sig":"{{signature}}"}`,
				ResponsePaths: map[string]keyturn.ResponsePath{
					"activationCode": {Path: "$.licenses[*].key+"},
					"errorCode":      {Path: "$.error.code"},
				},
				Signature: &keyturn.Signature{
					Enabled:      true,
					SignedFields: []string{"$.checkout.orderId", "$.product.variables.any"}, InjectInBody: true,
					Secret: &keyturn.SecretRef{Set: true},
				},
			},
			"suspend":  {URLComplement: "/suspend"},
			"fallback": {URLComplement: "/{{.Operation}}"},
		},
	}
}

// Every mistake is refused at its place.
func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, endpoint.Check(complete(t), true))
	require.NoError(t, endpoint.Check(keyturn.Integration{ID: "a", BaseURL: "https://partner.test"}, true))
	require.NoError(t, endpoint.Check(keyturn.Integration{ID: "a", BaseURL: "http://localhost:8090/x"}, false))
	require.NoError(t, endpoint.Check(keyturn.Integration{ID: "a", BaseURL: "http://127.0.0.1:8090"}, false))
	ca := newAuthority(t)
	leaf, leafKey := ca.issue(t, nil)
	old, _ := ca.issue(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.NotAfter = true, true, time.Now().Add(-time.Minute)
	})
	edit := func(change func(op *keyturn.Operation)) func(*keyturn.Integration) {
		return func(in *keyturn.Integration) {
			op := in.Operations["create"]
			change(&op)
			in.Operations["create"] = op
		}
	}
	sign := func(change func(s *keyturn.Signature)) func(*keyturn.Integration) {
		return edit(func(op *keyturn.Operation) { change(op.Signature) })
	}
	path := func(p string) func(*keyturn.Integration) {
		return edit(func(op *keyturn.Operation) { op.ResponsePaths["activationCode"] = keyturn.ResponsePath{Path: p} })
	}
	oauth := func(change func(a *keyturn.Auth)) func(*keyturn.Integration) {
		return func(in *keyturn.Integration) {
			in.Auth = keyturn.Auth{
				Type: "oauth2ClientCredentials", ClientID: "c", ClientSecret: secretOf("s"),
				TokenURL: "https://auth.test/token?x=1",
			}
			change(&in.Auth)
		}
	}
	blank := " "
	for _, c := range []struct {
		at     string // "": nothing is wrong
		change func(in *keyturn.Integration)
	}{
		{"id", func(in *keyturn.Integration) { in.ID = "../x" }},
		{"status", func(in *keyturn.Integration) { in.Status = "On" }},
		{"testBaseUrl", func(in *keyturn.Integration) { in.Status = "TestMode" }},
		{"allowedNetworks[0]", func(in *keyturn.Integration) { in.AllowedNetworks = []string{"0.0.0.0/0"} }},
		{"allowedNetworks[0]", func(in *keyturn.Integration) { in.AllowedNetworks = []string{"10.1.2.3/16"} }},
		{"allowedNetworks[0]", func(in *keyturn.Integration) { in.AllowedNetworks = []string{"10.1.2.3"} }},
		{"auth.type", func(in *keyturn.Integration) { in.Auth.Type = "digest" }},
		{"auth.username", func(in *keyturn.Integration) { in.Auth.Username = "a:b" }},
		{"auth.username", func(in *keyturn.Integration) { in.Auth.Username = "a\r\nX: y" }},
		{"auth.username", func(in *keyturn.Integration) { in.Auth.Username = "ü" }},
		{"auth.username", func(in *keyturn.Integration) { in.Auth.Username = strings.Repeat("a", 10_000) }},
		{"auth.password", func(in *keyturn.Integration) { in.Auth.Password = &keyturn.SecretRef{} }},
		{"auth.password", func(in *keyturn.Integration) { in.Auth.Password = nil }},
		{"auth.password", func(in *keyturn.Integration) { in.Auth.Password = secretOf("a\nb") }},
		{"auth.token", func(in *keyturn.Integration) { in.Auth.Token = secretOf("x") }},
		{"auth.token", func(in *keyturn.Integration) { in.Auth = keyturn.Auth{Type: "bearer", Token: secretOf("a b")} }},
		{"", oauth(func(*keyturn.Auth) {})},
		{"auth.tokenUrl", oauth(func(a *keyturn.Auth) { a.TokenURL = "http://auth.test" })},
		{"auth.clientId", oauth(func(a *keyturn.Auth) { a.ClientID = "" })},
		{"auth.clientSecret", oauth(func(a *keyturn.Auth) { a.ClientSecret = nil })},
		{"auth.scopes[0]", oauth(func(a *keyturn.Auth) { a.Scopes = []string{"a b"} })},
		{"auth.values.grant_type", oauth(func(a *keyturn.Auth) {
			a.Values = map[string][]string{"grant_type": {"password"}}
		})},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = "not PEM" }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = leafKey }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = ca.pem + leafKey }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = leaf }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = old }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = weakAuthority(t) }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = strings.Repeat(ca.pem, 21) }},
		{"tls.ca", func(in *keyturn.Integration) { in.TLS.CA = ca.pem + "junk" }},
		{"tls.caFile", func(in *keyturn.Integration) { in.TLS.CA, in.TLS.CAFile = "", "ca.pem" }},
		{"tls.clientKey", func(in *keyturn.Integration) { in.TLS.ClientCert = "" }},
		{"tls.clientKey", func(in *keyturn.Integration) { in.TLS.ClientKey = secretOf(leafKey) }},
		{"tls.clientKey", func(in *keyturn.Integration) { in.TLS.ClientKey = nil }},
		{"", func(in *keyturn.Integration) { in.TLS.ClientKey = &keyturn.SecretRef{Set: true} }},
		{"limits.maxConcurrent", func(in *keyturn.Integration) { in.Limits.MaxConcurrent = -1 }},
		{"limits.perSecond", func(in *keyturn.Integration) { in.Limits.PerSecond = -1 }},
		{"limits.timeout", func(in *keyturn.Integration) { in.Limits.Timeout = keyturn.Duration(31 * time.Second) }},
		{"limits.maxReplyBytes", func(in *keyturn.Integration) { in.Limits.MaxReplyBytes = 9 << 20 }},
		{"permanentErrors.httpStatus[0]", func(in *keyturn.Integration) { in.PermanentErrors.HTTPStatus = []int{200} }},
		{"permanentErrors.errorCodes[0]", func(in *keyturn.Integration) { in.PermanentErrors.ErrorCodes = []string{""} }},
		{"httpHeaders.X Y", func(in *keyturn.Integration) { in.HTTPHeaders["X Y"] = keyturn.Texts("a") }},
		{"httpHeaders.authorization", func(in *keyturn.Integration) { in.HTTPHeaders["authorization"] = keyturn.Texts("a") }},
		{"httpHeaders.Host", func(in *keyturn.Integration) { in.HTTPHeaders["Host"] = keyturn.Texts("a") }},
		{"httpHeaders.x-shop", func(in *keyturn.Integration) { in.HTTPHeaders["x-shop"] = keyturn.Texts("a") }},
		{"httpHeaders.X-A[0]", func(in *keyturn.Integration) { in.HTTPHeaders["X-A"] = keyturn.Texts("a\r\nB: c") }},
		{"httpHeaders.X-A", func(in *keyturn.Integration) { in.HTTPHeaders["X-A"] = nil }},
		{"httpHeaders.X-Api-Key[0]", func(in *keyturn.Integration) {
			in.HTTPHeaders["X-Api-Key"] = keyturn.Texts("in the clear")
		}},
		{"httpHeaders.X-Auth-Token[1]", func(in *keyturn.Integration) {
			in.HTTPHeaders["X-Auth-Token"] = []keyturn.HeaderValue{
				{SecretRef: keyturn.SecretRef{Set: true}},
				{SecretRef: keyturn.SecretRef{Value: "a\r\nB: c"}},
			}
		}},
		{"httpHeaders.X-A", func(in *keyturn.Integration) {
			in.HTTPHeaders["X-A"] = []keyturn.HeaderValue{{Text: "a"}, {SecretRef: keyturn.SecretRef{Set: true}}}
		}},
		{"", func(in *keyturn.Integration) {
			in.HTTPHeaders["X-Api-Key"] = []keyturn.HeaderValue{{SecretRef: keyturn.SecretRef{Value: "a b"}}}
			in.HTTPHeaders["Idempotency-Key"] = keyturn.Texts("{{.LicenseID}}")
		}},
		{"httpHeaders.X-A[0]", func(in *keyturn.Integration) { in.HTTPHeaders["X-A"] = keyturn.Texts("{{.Nope}}") }},
		{"operations.create.httpHeaders.X-A[0]", edit(func(op *keyturn.Operation) {
			op.HTTPHeaders = map[string][]keyturn.HeaderValue{"X-A": keyturn.Texts("{{.Nope}}")}
		})},
		{"operations.explode", func(in *keyturn.Integration) { in.Operations["explode"] = keyturn.Operation{} }},
		{"operations.suspend", func(in *keyturn.Integration) { in.Operations["pause"] = keyturn.Operation{} }},
		{"operations.create.urlComplement", edit(func(op *keyturn.Operation) { op.URLComplement = "/../x" })},
		{"operations.create.urlComplement", edit(func(op *keyturn.Operation) { op.URLComplement = "/{{.Nope}}" })},
		{"operations.create.bodyTemplate", edit(func(op *keyturn.Operation) { op.BodyTemplate = `{{signature}} x` })},
		{"operations.create.bodyTemplate", edit(func(op *keyturn.Operation) { op.BodyTemplate = `{{` })},
		{"operations.fallback.bodyTemplate", func(in *keyturn.Integration) {
			in.Operations["fallback"] = keyturn.Operation{BodyTemplate: `{{if eq .Operation "resume"}}x{{else}}1{{end}}`}
		}},
		{"operations.create.responsePaths.activationCode", path("")},
		{"operations.create.responsePaths.activationCode", path("a.b")},
		{"operations.create.responsePaths.activationCode", path("$..key")},
		{"operations.create.responsePaths.activationCode", path("$[?@.a==1]")},
		{"", func(in *keyturn.Integration) {
			in.AllowDescendants, in.AllowFilters = true, true
			path("$..licenses[?@.state=='on'].key+")(in)
		}},
		{"operations.create.signature.signedFields[0]", func(in *keyturn.Integration) {
			in.AllowDescendants = true
			sign(func(s *keyturn.Signature) { s.SignedFields = []string{"$..orderId"} })(in)
		}},
		{"operations.create.responsePaths.activationCode", path("$" + strings.Repeat("(", 20_000))},
		{"operations.create.responsePaths.activationCode", path("$" + strings.Repeat(".a", 40))},
		{"operations.create.responsePaths.a b", edit(func(op *keyturn.Operation) {
			op.ResponsePaths["a b"] = keyturn.ResponsePath{Path: "$.a"}
		})},
		{"operations.create.responsePaths.x.conversionTemplate", edit(func(op *keyturn.Operation) {
			op.ResponsePaths["x"] = keyturn.ResponsePath{Path: "$.a", ConversionTemplate: "{{.Foo}}"}
		})},
		{"operations.create.signature.signedFields", sign(func(s *keyturn.Signature) { s.SignedFields = nil })},
		{"operations.create.signature.signedFields[0]", sign(func(s *keyturn.Signature) {
			s.SignedFields = []string{"$.checkout.*"}
		})},
		{"operations.create.signature.signedFields[0]", sign(func(s *keyturn.Signature) {
			s.SignedFields = []string{"$.checkout.price"}
		})},
		{"operations.create.signature.signedFields[0]", sign(func(s *keyturn.Signature) {
			s.SignedFields = []string{"$.checkout.orderID"}
		})},
		{"operations.create.signature.signedFields[0]", sign(func(s *keyturn.Signature) {
			s.SignedFields = []string{"checkout.orderId"}
		})},
		{"operations.create.signature.secret", sign(func(s *keyturn.Signature) { s.Secret = nil })},
		{"operations.create.signature.injectInBody", edit(func(op *keyturn.Operation) {
			op.BodyTemplate = `{"a":"signature"}`
		})},
		{"operations.create.signature", sign(func(s *keyturn.Signature) { s.HeaderName, s.InjectInBody = &blank, false })},
		{"operations.create.signature.headerName", sign(func(s *keyturn.Signature) { h := "Host"; s.HeaderName = &h })},
	} {
		in := complete(t)
		c.change(&in)
		err := endpoint.Check(in, true)
		if c.at == "" {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), c.at)
		e, _ := errors.AsType[*keyturn.Error](err)
		require.Len(t, e.Fields, 1, "%s: %v", c.at, err)
		require.Equal(t, c.at, e.Fields[0].Location, "%v", err)
		require.NotContains(t, err.Error(), "PRIVATE KEY-----")
	}
	require.Len(t, endpoint.Certificates(complete(t).TLS), 2)
	require.Len(t, endpoint.Certificates(keyturn.TLS{CA: ca.pem})[0].Fingerprint, 64)
	require.Equal(t, "ca", endpoint.Certificates(keyturn.TLS{CA: ca.pem})[0].Use)
	pinned, _ := selfSigned(t, newKey(t), nil)
	require.Equal(t, "server", endpoint.Certificates(keyturn.TLS{CA: pinned})[0].Use)
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	check := func(url string, production bool, allowed ...string) error {
		return endpoint.Check(keyturn.Integration{ID: "a", BaseURL: url, AllowedNetworks: allowed}, production)
	}
	for _, url := range []string{
		"https://partner.test", "https://partner.test/a/b", "https://partner.test:8443/x", "https://partner.test:443",
		"https://xn--bcher-kva.test",
		"https://8.8.8.8", "https://[2606:4700::1111]/x", "https://a_b.partner.test",
	} {
		require.NoError(t, check(url, true), url)
	}
	for _, url := range []string{
		"", "partner.test", "http://partner.test", "ftp://partner.test", "https://", "https:///x", "https:partner.test",
		"javascript:alert(1)",
		"https://u:p@partner.test", "https://u@partner.test", "https://partner.test/#f", "https://partner.test/?a=b",
		"https://partner.test/?",
		"https://partner.test:22", "https://partner.test:25", "https://partner.test:", "https://partner.test:99999",
		"https://partner.test:0",
		"https://0x7f000001", "https://2130706433", "https://127.1", "https://0177.0.0.1", "https://1.2.3.4.5",
		"https://0x7f.1", "https://010.0.0.1",
		"https://[::ffff:127.0.0.1]", "https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]", "https://100.64.0.1",
		"https://169.254.169.254",
		"https://192.0.0.192", "https://localhost", "https://localhost.", "https://a.localhost", "https://partner.test.",
		"https://bücher.test",
		"https://раураl.test", "https://" + strings.Repeat("a", 2050) + ".test", "https://partner.test/\r\nX: y",
		"https://partner.test/a b",
		"https://postgres:5432", "https://[::1]", "https://[fe80::1%25eth0]", "https://10.0.0.1", "https://partner.test/../x",
		"https://part%6eer.test",
		"https://-a.test", "https://a..test", "https://partner.test/{{.User.ID}}", "https://0.0.0.0",
		"https://255.255.255.255", "https://224.0.0.1",
	} {
		require.Error(t, check(url, true), url)
	}
	require.NoError(t, check("https://10.20.3.4", true, "10.20.0.0/16"))
	require.Error(t, check("https://10.21.3.4", true, "10.20.0.0/16"))
	require.NoError(t, check("https://licenses:8443", true, "10.20.0.0/16"))
	require.NoError(t, check("http://[::1]:8090", false))
	require.Error(t, check("http://10.0.0.1", false))
	require.Error(t, check("http://u:p@localhost:8090", false))
}

func TestWithDefaults(t *testing.T) {
	t.Parallel()
	given := keyturn.Integration{
		ID: "a",
		Operations: map[string]keyturn.Operation{"create": {Signature: &keyturn.Signature{SignedFields: []string{
			"$.b", "$.a",
			"$.b",
		}}}},
	}
	in := endpoint.WithDefaults(given)
	require.Equal(t, []string{"$.a", "$.b"}, in.Operations["create"].Signature.SignedFields)
	// the input stays as it is
	require.Equal(t, []string{"$.b", "$.a", "$.b"}, given.Operations["create"].Signature.SignedFields)
	require.Equal(t, keyturn.Limits{
		MaxConcurrent: 20, PerSecond: 50, Timeout: keyturn.Duration(15 * time.Second),
		MaxReplyBytes: 1 << 20,
	}, in.Limits)
	require.Equal(t, "Enable", in.Status)
	require.Equal(t, "none", in.Auth.Type)
}
