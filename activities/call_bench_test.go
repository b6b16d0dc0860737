package activities

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// BenchmarkCall measures what one call of a partner costs beyond the network: the transaction that books it, rendering
// and signing, sending over loopback, reading the reply, and the transaction that books the answer and makes the
// e-mail. How many integrations there are must not matter. app-µs is CPU of this process, in which the partner is, too.
//
//	bin/with go test ./activities -run - -bench Call -benchtime 2000x
func BenchmarkCall(b *testing.B) {
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, `{"licenses":[{"key":"ORB-%d","until":"2027-06-15T00:00:00Z"}]}`, time.Now().UnixNano())
	}))
	b.Cleanup(partner.Close)
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("integrations=%d", n), func(b *testing.B) {
			a := shop(b)
			const sold = 100 // of so many integrations, in turn
			for i := range n {
				id := fmt.Sprintf("partner-%d", i)
				_, _, err := a.DB.PutIntegration(b.Context(), signed(id, partner.URL))
				require.NoError(b, err)
				if i < sold {
					_, _, err = a.DB.PutProduct(b.Context(), keyturn.Product{
						ID: id, Name: id,
						Sources: []keyturn.Source{{Type: keyturn.SourceEndpoint, Integration: id}},
					})
					require.NoError(b, err)
				}
			}
			lines := make([]string, b.N)
			for i := range lines {
				lines[i] = accept(b, a.DB, i, fmt.Sprintf("partner-%d", i%min(n, sold)))
			}
			trips, before := a.DB.RoundTrips(), cpu(b)
			b.ResetTimer()
			for _, f := range lines {
				deliver(b, a, f)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "app-µs/op")
			b.ReportMetric(float64(a.DB.RoundTrips()-trips)/float64(b.N), "trips/op")
		})
	}
}

// deliver is what CallEndpoint does until the e-mail is to be sent.
func deliver(b *testing.B, a *Activities, fulfillment string) {
	b.Helper()
	call, _, _, err := a.begin(b.Context(), Step{FulfillmentID: fulfillment})
	require.NoError(b, err)
	result := a.call(b.Context(), call)
	require.Nil(b, result.Failed)
	next, err := a.DB.FinishCall(b.Context(), fulfillment, result, a.Letters.Render)
	require.NoError(b, err)
	require.Equal(b, keyturn.DoDeliver, next.Do)
}

func signed(id, url string) keyturn.Integration {
	return keyturn.Integration{
		ID: id, BaseURL: url, Limits: keyturn.Limits{PerSecond: 100_000, MaxConcurrent: 1000},
		Operations: map[string]keyturn.Operation{"create": {
			URLComplement: "/licenses",
			BodyTemplate:  `{"ref":"{{.LicenseID}}","sku":"{{.Product.ID}}","buyer":"{{.User.FirstName}} {{.User.LastName}}"}`,
			ResponsePaths: map[string]keyturn.ResponsePath{
				"activationCode": {Path: "$.licenses[*].key+"},
				"errorCode":      {Path: "$.error.code"}, "until": {Path: "$.licenses[0].until"},
			},
			Signature: &keyturn.Signature{
				Enabled: true, SignedFields: []string{"$.checkout.orderId", "$.product.quantity"},
				Secret: &keyturn.SecretRef{Value: "k3y"},
			},
		}},
	}
}

func shop(b *testing.B) *Activities {
	b.Helper()
	dsn := testkit.Postgres(b, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keyFile := filepath.Join(b.TempDir(), "keys.json")
	require.NoError(b, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(b, err)
	books, err := db.Open(b.Context(), dsn, keys)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, books.Close()) })
	return &Activities{
		DB: books, Caller: endpoint.NewCaller(endpoint.Options{}), Logger: slog.New(slog.DiscardHandler),
		Letters: Letters{
			From: "shop@keyturn.test", SenderName: "The Shop",
			PublicURL: "http://127.0.0.1",
		},
	}
}

func accept(b *testing.B, books *db.DB, n int, product string) string {
	b.Helper()
	id := fmt.Sprintf("%s-%d", strings.ReplaceAll(b.Name(), "/", "-"), n)
	a, _, err := books.Accept(b.Context(), db.AcceptInput{
		Order: keyturn.Order{
			ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_1"},
			Customer: keyturn.Customer{
				ID: "user-1", Email: "jean@buyer.test", Country: "FR", Locale: "en-GB",
				FirstName: "Jean", LastName: "Dupont",
			},
			LineItems: []keyturn.LineItem{{ProductID: product, Quantity: 1, GrossPrice: "29.99"}},
		},
		Client: "bench", IdempotencyKey: id, RequestHash: []byte(id),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(b, err)
	return a.Starts[0].FulfillmentID
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
