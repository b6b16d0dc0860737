package emulator

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestBasicAuth(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir(), Partners: map[string]Settings{"acme": {
		Username: "shop",
		Password: "pa55-canary",
	}}})
	url, request := s.PartnerURL("acme")+"/licenses/new", body("f-1", "o-1", "ORB")
	assert.Equal(t, 401, post(t, url, request).status)
	wrong := post(t, url, request, basic("shop", "wrong"))
	assert.Equal(t, 401, wrong.status)
	assert.Contains(t, wrong.header.Get("WWW-Authenticate"), "Basic")
	assert.Equal(t, 401, post(t, url, request, basic("", "")).status)
	assert.Empty(t, s.Issued())
	assert.Equal(t, 200, post(t, url, request, basic("shop", "pa55-canary")).status)
	assert.Equal(t, "shop", last(t, s).AuthUser)
	assert.NotContains(t, string(jsonLines(s.Log())), "pa55-canary")
	assert.NotContains(t, post(t, s.URL()+"/_emulator/partners", "").text+send(t, client(time.Second), http.MethodGet,
		s.URL()+"/_emulator/partners", "").text, "pa55-canary")
}

func TestBearerAndOAuth2(t *testing.T) {
	settings := Settings{
		Token: "fixed", ClientID: "keyturn", ClientSecret: "hush",
		TokenTTL: keyturn.Duration(time.Minute),
	}
	s := start(t, Config{Partners: map[string]Settings{"acme": settings}})
	create := func(token string) int {
		return post(t, s.PartnerURL("acme")+"/licenses/new", body("f-1", "o-1", "ORB"),
			header("Authorization", "Bearer "+token)).status
	}
	assert.Equal(t, 200, create("fixed"))
	assert.Equal(t, 401, create("invented"))

	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"keyturn"}, "client_secret": {"hush"},
		"scope": {"licenses"},
	}
	ask := func(form url.Values, options ...option) answer {
		return post(t, s.PartnerURL("acme")+"/oauth/token", form.Encode(), options...)
	}
	a := ask(form)
	require.Equal(t, 200, a.status)
	assert.Equal(t, []any{"Bearer", 60.0, "licenses"}, []any{a.json["token_type"], a.json["expires_in"], a.json["scope"]})
	token := a.json["access_token"].(string)
	assert.Equal(t, 200, create(token))
	assert.Equal(t, "oauth2:keyturn", last(t, s).AuthUser)
	s.RevokeTokens("acme")
	assert.Equal(t, 401, create(token))

	assert.Equal(t, 200, ask(url.Values{"grant_type": {"client_credentials"}}, basic("keyturn", "hush")).status)
	assert.Equal(t, "invalid_client", ask(form, basic("keyturn", "wrong")).json["error"])
	form.Set("grant_type", "password")
	assert.Equal(t, "unsupported_grant_type", ask(form).json["error"])

	token = ask(url.Values{"grant_type": {"client_credentials"}}, basic("keyturn", "hush")).json["access_token"].(string)
	settings.ClientSecret = "rotated"
	require.NoError(t, s.SetPartner("acme", settings))
	assert.Equal(t, 401, create(token), "tokens die with their credentials")

	settings.Drill, settings.DrillOps = "fail-1-then-ok", []string{"token"}
	require.NoError(t, s.SetPartner("acme", settings))
	assert.Equal(t, 500, ask(url.Values{"grant_type": {"client_credentials"}}, basic("keyturn", "rotated")).status)
	assert.Equal(t, 200, ask(url.Values{"grant_type": {"client_credentials"}}, basic("keyturn", "rotated")).status)
	assert.Equal(t, 5, s.Stats("acme").Requests, "token requests do not count")
}

// The first vector is Nexway's published one.
func TestSignatures(t *testing.T) {
	canonical := `{"$.checkout.orderId":"ORD-42","$.product.publisherProductId":"PRD-9","$.product.quantity":"3"}`
	published := "a66ccb600993e538aa50cc7b612785b8919bae518242dbd96c8fde8e4558cc9b"
	require.Equal(t, published, sign("s3cret", []byte(canonical)))

	fields := []string{"$.product.quantity", "$.checkout.orderId", "$.product.publisherProductId"}
	s := start(t, Config{Partners: map[string]Settings{
		"acme": {Signing: Signing{Secret: "s3cret", Fields: fields}},
		"body": {Signing: Signing{
			Secret: "s3cret", Fields: fields, BodyField: "sig",
			Sources: map[string]string{"$.checkout.orderId": "o"},
		}},
		"list": {Signing: Signing{Accepted: []string{"known"}}},
	}})
	request := `{"fulfillmentId":"f-1","checkout":{"orderId":"ORD-42"},"product":{"publisherProductId":"PRD-9","quantity":3.0}}`
	create := func(partner, request, signature string) int {
		return post(t, s.PartnerURL(partner)+"/licenses/new", request, header("X-Nexway-Signature", signature)).status
	}
	assert.Equal(t, 200, create("acme", request, published))
	assert.Equal(t, 401, create("acme", request, ""))
	assert.Equal(t, 401, create("acme", request, strings.ToUpper(published)))
	assert.Equal(t, 401, create("acme", strings.Replace(request, "ORD-42", "ORD-43", 1), published))
	inBody := `{"fulfillmentId":"f-1","o":"ORD-42","product":{"publisherProductId":"PRD-9","quantity":3},"sig":"` +
		published + `"}`
	assert.Equal(t, 200, create("body", inBody, ""))
	assert.Equal(t, 200, create("list", request, "known"))
	assert.Equal(t, 401, create("list", request, "unknown"))

	for text, want := range map[string]string{
		"3.0": "3", "1.50": "1.5", "20": "20", "100": "100", "1e6": "1000000",
		"0.0": "0", "9007199254740993": "9007199254740993",
	} {
		assert.Equal(t, want, plainNumber(text), text)
	}
}

func TestHTTPS(t *testing.T) {
	s := start(t, Config{
		TLSAddr: "127.0.0.1:0", ExpiredTLSAddr: "127.0.0.1:0",
		Partners: map[string]Settings{"mutual": {RequireClientCert: true}},
	})
	create := func(base, partner string, conf *tls.Config) answer {
		c := client(5 * time.Second)
		c.Transport = &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
		return send(t, c, http.MethodPost, base+"/p/"+partner+"/licenses/new", body("f-"+partner, "o-1", "ORB"))
	}
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(s.CAPEM()))
	trusting := &tls.Config{RootCAs: pool}
	require.ErrorContains(t, create(s.TLSURL(), "acme", nil).err, "unknown authority")
	assert.Equal(t, 200, create(s.TLSURL(), "acme", trusting).status)
	require.ErrorContains(t, create(s.ExpiredTLSURL(), "acme", trusting).err, "expired")

	assert.Equal(t, 401, create(s.TLSURL(), "mutual", trusting).status)
	cert, key, err := s.IssueClientCert("keyturn")
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	assert.Equal(t, 200, create(s.TLSURL(), "mutual",
		&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}).status)
	assert.Equal(t, string(s.CAPEM()), send(t, client(time.Second), http.MethodGet, s.URL()+"/_emulator/ca.pem", "").text)
}
