package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
)

// sends runs what sends events until the test ends.
func (s *poolShop) sends() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.sender.Every = 20 * time.Millisecond
	running.Go(func() { s.sender.Run(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
}

// awaitDelivery waits until a delivery of the webhook stands so, and gives it.
func (s *poolShop) awaitDelivery(webhook string, ok func(keyturn.EventDelivery) bool) (found keyturn.EventDelivery) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		page, err := s.api.EventDeliveries(s.t.Context(), webhook, "", 0, 200)
		assert.NoError(s.t, err)
		for _, d := range page.Deliveries {
			if ok(d) {
				found = d
				return true
			}
		}
		return false
	}, time.Minute, 20*time.Millisecond)
	return found
}

func TestWebhooksFromTheCommandLine(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "K-1\nK-2\nK-3\n"))
	shop := testkit.NewReceiver(t)
	t.Setenv("SHOP_HOOK", shop.Secret)
	away := httptest.NewServer(nil)
	away.Close()
	catalog := s.file("hooks.yaml", `webhooks:
  - {id: shop, url: "`+shop.URL+`", events: ["order.*", "line.delivered"], secret: {env: SHOP_HOOK}}
  - {id: books, url: "`+shop.URL+`", events: ["refund.*"]}
  - {id: away, url: "`+away.URL+`", events: ["refund.*"]}
  - {id: dev, events: ["*"]}
`)
	made := s.run("apply", "-f", catalog)
	require.Regexp(t, `books.*\n?.*whsec_[A-Za-z0-9+/=]{44}`, made, "one that Keyturn makes is shown")
	require.NotContains(t, made, shop.Secret)
	require.NotContains(t, s.run("apply", "-f", catalog), "whsec_", "and shown once")

	require.Regexp(t, `webhook.test +DELIVERED +1 .*HTTP 204 in \d+ ms`, s.run("webhook", "test", "shop"))
	require.Contains(t, s.run("webhook", "replay", "shop", "--from", "1h", "--to", "59m"), "no event")
	_, err := execute(t, "webhook", "test", "dev")
	require.ErrorContains(t, err, "its events are pulled")
	_, err = execute(t, "webhook", "test", "away")
	require.ErrorContains(t, err, "no answer: the receiver does not accept connections: nothing listens on its port")
	list := s.run("webhook", "list")
	require.Regexp(t, `shop +on +0 `, list)
	require.Regexp(t, `dev +to pull `, list)

	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	shop.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("no room for " + shop.Secret))
	})
	out, err := execute(t, "webhook", "test", "shop")
	require.ErrorContains(t, err, "the receiver has not taken the event: HTTP 502 in ")
	require.Regexp(t, `webhook.test +FAILED`, out)
	s.sends()
	s.sell()
	failed := s.awaitDelivery("shop", func(d keyturn.EventDelivery) bool {
		return d.Type == keyturn.EventLineDelivered && d.Attempts == 1 && d.HTTPStatus == http.StatusBadGateway
	})
	require.NotContains(t, failed.Answer, shop.Secret)
	require.Contains(t, failed.Answer, "no room for")
	id := strconv.FormatInt(failed.ID, 10)
	require.Regexp(t, id+` .*line.delivered +PENDING +1 .*HTTP 502`, s.run("webhook", "deliveries", "shop"))
	require.Contains(t, s.run("webhook", "deliveries", "shop", "--status", "FAILED"), "webhook.test")
	require.NotContains(t, s.run("webhook", "deliveries", "shop", "--status", "FAILED"), "line.delivered")
	newest := into[keyturn.EventDeliveryPage](s, "webhook", "deliveries", "shop", "--limit", "1")
	require.Len(t, newest.Deliveries, 1)
	require.NotContains(t, s.run("webhook", "deliveries", "shop", "--before", strconv.FormatInt(newest.NextBefore, 10)),
		newest.Deliveries[0].EventID)

	shop.Answer(nil)
	s.run("webhook", "retry", "shop", id)
	taken := s.awaitDelivery("shop", func(d keyturn.EventDelivery) bool {
		return d.ID == failed.ID && d.Status == keyturn.EventDelivered
	})
	require.Equal(t, failed.EventID, taken.EventID)
	_, err = execute(t, "webhook", "retry", "shop", id)
	require.ErrorContains(t, err, "keyturn webhook replay")
	_, err = execute(t, "webhook", "retry", "shop", "first")
	require.ErrorContains(t, err, "keyturn webhook deliveries")

	require.Contains(t, s.run("webhook", "replay", "shop", "--from", began, "--failed-only"),
		"2 events are sent once more")
	replayed := s.awaitDelivery("shop", func(d keyturn.EventDelivery) bool {
		return d.Replay && d.Type == keyturn.EventOrderCompleted && d.Status == keyturn.EventDelivered
	})
	require.Contains(t, string(replayed.Request), `{"replay":true,"type":"order.completed"`)
	require.Contains(t, s.run("webhook", "replay", "shop", "--from", "24h", "--to", "1h"), "no event")
	require.Contains(t, s.run("webhook", "replay", "shop", "--from", "24h", "--types", "line.*"), "1 event is")
	_, err = execute(t, "webhook", "replay", "shop", "--from", "yesterday")
	require.ErrorContains(t, err, "--from must be a time")

	rotated := s.run("webhook", "rotate", "shop")
	require.Regexp(t, `^whsec_\S+\nit is not shown again; until \d{4}-.* the secret before is good, too\n$`, rotated)
	s.run("webhook", "test", "shop") // which the receiver verifies by the one before
	all := shop.Got()
	require.Len(t, strings.Fields(all[len(all)-1].Header.Get("Webhook-Signature")), 2)
}

// sealed is the output of a command that goes on.
type sealed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *sealed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *sealed) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// On their own machine, developers see events as they come, and get them as a receiver would, signed.
func TestListeningForwardsEvents(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "K-1\nK-2\n"))
	s.run("apply", "-f", s.file("hooks.yaml", `webhooks: [{id: dev, events: ["order.*"]}]`))
	s.sell() // before anybody listens
	s.sends()
	type request struct {
		header http.Header
		body   []byte
	}
	requests := make(chan request, 10)
	mine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		requests <- request{r.Header, body}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	t.Cleanup(mine.Close)
	require.Eventually(t, func() bool { // what came before has its numbers
		page, err := s.api.PullEvents(t.Context(), "dev", 0, 100)
		return assert.NoError(t, err) && len(page.Events) == 2
	}, time.Minute, 20*time.Millisecond)

	for want, args := range map[string][]string{
		"there is no webhook none":             {"none", "--forward", mine.URL},
		"--forward must be an address such as": {"dev", "--forward", "127.0.0.1:3000"},
		"--secret must be whsec_":              {"dev", "--forward", mine.URL, "--secret", "whsec_short"},
	} {
		said, err := execute(t, append([]string{"webhook", "listen"}, args...)...)
		require.ErrorContains(t, err, want)
		require.Empty(t, said, "nothing is promised first")
	}

	ctx, stop := context.WithCancel(t.Context())
	var out sealed
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs([]string{"webhook", "listen", "dev", "--forward", mine.URL})
	done := make(chan error)
	go func() { done <- root.ExecuteContext(ctx) }()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "signed with whsec_") }, time.Minute,
		10*time.Millisecond)
	s.sell()
	verifier, err := standardwebhooks.NewWebhook(regexp.MustCompile(`whsec_\S+`).FindString(out.String()))
	require.NoError(t, err)
	for _, want := range []keyturn.EventType{keyturn.EventOrderCreated, keyturn.EventOrderCompleted} {
		got := <-requests
		require.NoError(t, verifier.Verify(got.body, got.header))
		require.Contains(t, string(got.body), `"type":"`+string(want)+`"`)
	}
	require.Eventually(t, func() bool { return strings.Count(out.String(), "→ 302 Found") == 2 }, time.Minute,
		10*time.Millisecond, "a redirect is shown, not followed")
	stop()
	require.NoError(t, <-done)
	require.Regexp(t, `(?m)^\d\d:\d\d:\d\d  evt_\S+  order.completed  \{"orderId":`, out.String())
	require.Empty(t, requests)
}

// pair is a certificate for 127.0.0.1 that signs itself, and its key.
func pair(t *testing.T) (cert, key string, both tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(100 * 24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	both, err = tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	return cert, key, both
}

// A receiver is reached as a partner is: with its own authority, a client's certificate and a password, each by
// reference; without one of them it takes nothing. None of them is shown.
func TestAReceiverIsReachedAsAPartnerIs(t *testing.T) {
	s := newPoolShop(t)
	serverCert, _, server := pair(t)
	clientCert, clientKey, _ := pair(t)
	known := x509.NewCertPool()
	require.True(t, known.AppendCertsFromPEM([]byte(clientCert)))
	shop := testkit.NewReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known,
	})
	shop.Answer(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "keyturn" || password != "CANARY-PASSWORD" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte("not " + password))
		}
	})
	s.file("server.pem", serverCert)
	s.file("client.pem", clientCert)
	s.file("client.key", clientKey)
	s.file("password", "CANARY-PASSWORD\n")
	s.file("wrong", "CANARY-WRONG\n")
	t.Setenv("SHOP_HOOK", shop.Secret)
	apply := func(password, tls string) {
		s.run("apply", "-f", s.file("hooks.yaml", `
webhooks:
  - id: shop
    url: "`+shop.URL+`"
    events: ["*"]
    secret: {env: SHOP_HOOK}
    auth: {type: basic, username: keyturn, password: {file: `+password+`}}
    tls: `+tls+`
    allowedNetworks: [127.0.0.0/8]
`))
	}
	both := `{caFile: server.pem, clientCertFile: client.pem, clientKey: {file: client.key}}`
	apply("password", both)
	require.Contains(t, s.run("webhook", "test", "shop"), "HTTP 200")
	for what, change := range map[string][2]string{
		"HTTP 401":                         {"wrong", both},
		"wants another client certificate": {"password", `{caFile: server.pem}`},
		"self-signed":                      {"password", `{clientCertFile: client.pem, clientKey: {file: client.key}}`},
	} {
		apply(change[0], change[1])
		_, err := execute(t, "webhook", "test", "shop")
		require.ErrorContains(t, err, what)
	}
	shown := s.run("--output", "json", "webhook", "list") + s.run("--output", "json", "webhook", "deliveries", "shop")
	for _, secret := range []string{"CANARY", shop.Secret, "PRIVATE KEY"} {
		require.NotContains(t, shown, secret)
	}
}
