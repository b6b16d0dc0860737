package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

// patiently bounds what takes seconds on a machine with nothing else to do.
const patiently = time.Minute

// statusOf asks an address, and says how it was answered.
func statusOf(t *testing.T, address string) (status int, retryAfter string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patiently)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer dev")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err, "%s is not answered", address)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode, answer.Header.Get("Retry-After")
}

// PostgreSQL's connections fall silent without being closed. Who asks the API hears within seconds to come again,
// /readyz says that the process can do no work and /livez that nobody has to restart it. When the database can be
// reached again, so can the API, by other connections.
func TestTheAPIWhileTheDatabaseIsSilent(t *testing.T) {
	var p *faultproxy.Proxy
	s := start(t, options{noWorker: true, noRelay: true, dsn: func(dsn string) string {
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		p = newProxy(t, u.Host, faultproxy.Postgres)
		u.Host = p.Addr()
		return u.String()
	}})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	server := s.api()
	shop := &client.Client{BaseURL: server.URL, Token: "dev"}
	const orders = 6
	place := func(n int) error {
		ctx, cancel := context.WithTimeout(context.Background(), patiently)
		defer cancel()
		id := fmt.Sprintf("SILENT-%d", n)
		_, _, err := shop.CreateOrder(ctx, id, keyturn.Order{
			ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_1"},
			Customer:  keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "fr-FR"},
			LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "1.00"}},
		})
		return err
	}
	require.NoError(t, place(0))
	status, _ := statusOf(t, server.URL+"/readyz")
	require.Equal(t, http.StatusOK, status)

	silent := time.Now()
	p.Swallow(true)
	t.Cleanup(func() { p.Swallow(false) })
	answers := make([]error, orders)
	var asked sync.WaitGroup
	for n := range orders {
		asked.Go(func() { answers[n] = place(n) }) // 0 was accepted before, and is asked for again
	}
	status, _ = statusOf(t, server.URL+"/livez")
	require.Equal(t, http.StatusOK, status, "nobody has to restart it")
	status, _ = statusOf(t, server.URL+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status, "it can do no work")
	asked.Wait()
	for _, err := range answers {
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
	}
	status, after := statusOf(t, server.URL+"/v1/orders")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "1", after)
	t.Logf("all had their answer %s after the database fell silent", time.Since(silent).Round(100*time.Millisecond))
	status, _ = statusOf(t, server.URL+"/livez")
	require.Equal(t, http.StatusOK, status)

	p.Swallow(false)
	s.eventually(func() (bool, string) {
		status, _ := statusOf(t, server.URL+"/readyz")
		return status == http.StatusOK, fmt.Sprint("it is not ready again: ", status)
	})
	for n := range orders {
		again(t, func() error { return place(n) })
	}
	require.Equal(t, orders, s.count(`SELECT count(*) FROM orders`))
	s.eventually(func() (bool, string) {
		kept := s.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'keyturn' AND backend_start < $1`, silent)
		return kept == 0, fmt.Sprintf("%d of the silent connections are still there", kept)
	})
}
