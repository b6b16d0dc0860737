package paymentemulator_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/paymentemulator"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/payment"
)

func start(t *testing.T, journal string) *paymentemulator.Server {
	t.Helper()
	s := paymentemulator.New(paymentemulator.Config{Addr: "127.0.0.1:0", Journal: journal, Token: "till-token"})
	require.NoError(t, s.Start())
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func capture(t *testing.T, s *paymentemulator.Server, reference, amount string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/captures", strings.NewReader(
		`{"reference": "`+reference+`", "orderId": "ORD-1", "amount": "`+amount+`", "currency": "EUR"}`))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func refund(reference, key string, minor int64) payment.Refund {
	return payment.Refund{
		IdempotencyKey: key, Reference: reference, OrderID: "ORD-1",
		Amount: keyturn.Money{Minor: minor, Currency: "EUR"},
	}
}

func gatewayTo(t *testing.T, address string) payment.Gateway {
	t.Helper()
	g, err := payment.ParseGateway(strings.Replace(address, "://", "://:till-token@", 1)+"/", false)
	require.NoError(t, err)
	return g
}

func TestRefundsArePaidOnceUnderTheirKey(t *testing.T) {
	t.Parallel()
	s := start(t, "")
	g := gatewayTo(t, s.URL())
	capture(t, s, "pay_1", "20.00")
	ask := func(r payment.Refund) (string, keyturn.Kind) {
		id, err := g.Refund(t.Context(), r)
		return id, keyturn.KindOf(err)
	}
	for range 3 {
		id, kind := ask(refund("pay_1", "refund-a", 1500))
		require.Empty(t, kind)
		require.Equal(t, "re_1", id)
	}
	for name, r := range map[string]payment.Refund{
		"more than was captured":    refund("pay_1", "refund-b", 501),
		"another amount, same key":  refund("pay_1", "refund-a", 500),
		"a payment that is unknown": refund("pay_2", "refund-c", 1),
	} {
		_, kind := ask(r)
		require.Equal(t, keyturn.KindRejected, kind, name)
	}
	id, kind := ask(refund("pay_1", "refund-b", 500))
	require.Empty(t, kind, "a refused refund may be paid later")
	require.Equal(t, "re_2", id)

	capture(t, s, "refund-fails-2", "1.00")
	capture(t, s, "refund-declined", "1.00")
	var kinds []keyturn.Kind
	for range 3 {
		_, kind := ask(refund("refund-fails-2", "refund-d", 100))
		kinds = append(kinds, kind)
	}
	require.Equal(t, []keyturn.Kind{keyturn.KindUnavailable, keyturn.KindUnavailable, ""}, kinds)
	_, kind = ask(refund("refund-declined", "refund-e", 100))
	require.Equal(t, keyturn.KindRejected, kind)

	g.Token = "another"
	_, kind = ask(refund("pay_1", "refund-a", 1500))
	require.Equal(t, keyturn.KindRejected, kind)
}

func TestALostAnswerAndARestartPayOnce(t *testing.T) {
	t.Parallel()
	journal := filepath.Join(t.TempDir(), "payments.jsonl")
	s := start(t, journal)
	capture(t, s, "pay_1", "20.00")
	p, err := faultproxy.Start("127.0.0.1:0", strings.TrimPrefix(s.URL(), "http://"), faultproxy.HTTP)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	g := gatewayTo(t, "http://"+p.Addr())
	_, err = g.Refund(t.Context(), refund("pay_2", "refund-x", 1)) // the connection is kept, so net/http might ask again
	require.Equal(t, keyturn.KindRejected, keyturn.KindOf(err))
	asked := len(s.Entries())
	time.Sleep(50 * time.Millisecond) // until it is back in the pool
	p.Lose(faultproxy.Loss{})
	_, err = g.Refund(t.Context(), refund("pay_1", "refund-a", 2000))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.Len(t, s.Entries(), asked+1, "one attempt is one request")
	require.NoError(t, s.Close())

	again := start(t, journal)
	p.Target(strings.TrimPrefix(again.URL(), "http://"))
	id, err := g.Refund(t.Context(), refund("pay_1", "refund-a", 2000))
	require.NoError(t, err)
	require.Equal(t, "re_1", id)
	paid := 0
	for _, e := range again.Entries() {
		if e.Op == "refund" && e.Applied {
			paid++
		}
	}
	require.Equal(t, 1, paid)
}

func TestGatewaySaysWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	var status int
	var body string
	l := startAnswering(t, &status, &body)
	for _, c := range []struct {
		status int
		body   string
		kind   keyturn.Kind
	}{
		{200, `{"id": "re_1"}`, ""},
		{201, `{"id": "re_1"}`, ""},
		{200, `<html>`, keyturn.KindUnavailable},
		{200, `{}`, keyturn.KindUnavailable},
		{302, ``, keyturn.KindUnavailable},
		{402, `{"error": "no money, Jean"}`, keyturn.KindRejected},
		{409, ``, keyturn.KindUnavailable},
		{429, ``, keyturn.KindUnavailable},
		{500, `{"id": "re_1"}`, keyturn.KindUnavailable},
	} {
		status, body = c.status, c.body
		_, err := payment.Gateway{URL: l}.Refund(t.Context(), refund("pay_1", "k", 1))
		require.Equal(t, c.kind, keyturn.KindOf(err), "%d %s", c.status, c.body)
		if err != nil {
			require.NotContains(t, err.Error(), "Jean", "what a provider says stays with it")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err := payment.Gateway{URL: l}.Refund(ctx, refund("pay_1", "k", 1))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
}

func TestGatewayAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "pay.example.com", "ftp://pay.example.com", "https://pay.example.com?a=b"} {
		_, err := payment.ParseGateway(bad, false)
		require.Error(t, err, bad)
	}
	_, err := payment.ParseGateway("http://pay.example.com", true)
	require.ErrorContains(t, err, "https")
	g, err := payment.ParseGateway("https://:secret@pay.example.com/v1/", true)
	require.NoError(t, err)
	require.Equal(t, "https://pay.example.com/v1", g.URL)
	require.Equal(t, "secret", g.Token.Reveal())
}
