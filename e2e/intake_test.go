package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/inbox"
)

// api serves the stack's API, to a token of every scope.
func (s *stack) api(change ...func(*api.Config)) *httptest.Server {
	s.t.Helper()
	c := api.Config{
		Payments: []string{"sandbox"},
		DB:       s.db, Temporal: s.temporal, Starter: s.starter, PublicURL: "http://127.0.0.1", DevToken: "dev",
		TaskQueue: s.queue, RenderKeys: s.acts.Letters.Render, Logger: s.logger,
	}
	for _, fn := range change {
		fn(&c)
	}
	server := httptest.NewServer(api.New(c).Handler())
	s.t.Cleanup(server.Close)
	return server
}

// storedCustomer opens what is kept of an order's customer.
func (s *stack) storedCustomer(orderID string) keyturn.Customer {
	s.t.Helper()
	var id string
	var wrapped, sealed []byte
	require.NoError(s.t, s.reader.QueryRow(`
		SELECT o.customer_id, c.data_key, o.customer FROM orders o JOIN customers c ON c.id = o.customer_id
		WHERE o.id = $1`, orderID).Scan(&id, &wrapped, &sealed))
	c, err := s.db.OpenCustomer(wrapped, id, orderID, sealed)
	require.NoError(s.t, err)
	return c
}

func countTo(messages []inbox.Summary, address string) int {
	n := 0
	for _, m := range messages {
		if slices.Equal(m.To, []string{address}) {
			n++
		}
	}
	return n
}

// Orders of real shops are accepted as they come, and what was paid is delivered.
func TestPaidOrdersAreNotRefusedForWhatDeliveryDoesNotNeed(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "plain", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "plain"}}},
		"K-01", "K-02", "K-03", "K-04", "K-05", "K-06", "K-07", "K-08", "K-09", "K-10")
	server := s.api()
	shop := &client.Client{BaseURL: server.URL, Token: "dev"}
	for file, want := range map[string]struct {
		price, mailed string
		stored        func(t *testing.T, c keyturn.Customer)
	}{
		"order-idn-domain.json": {"10.00", "joerg@xn--mllershop-q9a.example", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, "joerg@müllershop.example", c.Email)
		}},
		"order-locale-extension.json": {"10.00", "jean@buyer.test", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, "en-US", c.Locale)
		}},
		"order-phone-with-direction-marks.json": {"10.00", "jean@buyer.test", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, "+49 30 1234567", c.Phone)
		}},
		"order-street-of-two-lines.json": {"10.00", "jean@buyer.test", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, "12 Rue des Lilas, Bâtiment B", c.Street)
		}},
		"order-trailing-zeros.json": {"29.99", "jean@buyer.test", func(*testing.T, keyturn.Customer) {}},
		"order-siret.json": {"10.00", "jean@buyer.test", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, "Boulangerie Dupain SIRET 732 829 320 00074", c.CompanyName)
		}},
		"order-carrier-address.json": {"10.00", ".a..b.@docomo.ne.jp", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, ".a..b.@docomo.ne.jp", c.Email)
		}},
		"order-number-sign.json": {"10.00", "jean@buyer.test", func(t *testing.T, c keyturn.Customer) {
			t.Helper()
			require.Equal(t, keyturn.Customer{ID: "user-1", Email: "jean@buyer.test", FirstName: "Zoé 🎈"}, c,
				"empty and null fields are none")
		}},
	} {
		t.Run(file, func(t *testing.T) {
			before := s.inbox.Messages()
			body, err := os.ReadFile(filepath.Join("testdata", "orders", file))
			require.NoError(t, err)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/orders", bytes.NewReader(body))
			require.NoError(t, err)
			req.Header = http.Header{
				"Content-Type": {"application/json"}, "Authorization": {"Bearer dev"}, "Idempotency-Key": {`"` + file + `"`},
			}
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, http.StatusCreated, res.StatusCode)
			var v keyturn.OrderView
			require.NoError(t, json.NewDecoder(res.Body).Decode(&v))
			require.Equal(t, want.price, v.GrossPrice)
			require.Equal(t, want.price, v.LineItems[0].GrossPrice)
			require.Equal(t, "/v1/orders/"+url.PathEscape(v.ID), v.Links.Self)

			s.await(&db.Accepted{Order: keyturn.Order{ID: v.ID}}, keyturn.OrderCompleted)
			want.stored(t, s.storedCustomer(v.ID))
			shown, err := shop.Order(t.Context(), v.ID)
			require.NoError(t, err)
			require.Equal(t, want.price, shown.GrossPrice)
			after := s.inbox.Messages()
			require.Len(t, after, len(before)+1)
			require.Equal(t, 1, countTo(after, want.mailed)-countTo(before, want.mailed))
		})
	}
}
