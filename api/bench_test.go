package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) {
	testkit.AtOnce(4) // they wait for the database and for Temporal much of the time
	testkit.Main(m)
}

const devToken = "test-token-with-every-scope"

// bench is a server with a database of its own.
type bench struct {
	*httptest.Server
	api    *api.API
	db     *db.DB
	dsn    string
	keys   *vault.Keys
	starts *starts
	log    *lockedBuffer
}

// starts is a Starter that only takes note.
type starts struct {
	mu      sync.Mutex
	offered []db.Start
	pokes   int
}

func (s *starts) Enqueue(o []db.Start) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = append(s.offered, o...)
}

func (s *starts) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pokes++
}

func (s *starts) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.offered)
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newBench(t *testing.T, change ...func(*api.Config)) *bench {
	t.Helper()
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keysFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keysFile))
	keys, err := vault.LoadKeys(keysFile)
	require.NoError(t, err)
	d, err := db.Open(t.Context(), dsn, keys)
	require.NoError(t, err)
	b := &bench{db: d, dsn: dsn, keys: keys, starts: &starts{}, log: &lockedBuffer{}}
	c := api.Config{
		Payments: []string{"sandbox"}, Processors: []string{"sandbox"},
		ReturnOrigins: []string{"https://shop.example"},
		DB:            d, Starter: b.starts, PublicURL: "https://shop.test/", TemporalUIURL: "http://temporal.test",
		DevToken:   devToken,
		Logger:     slog.New(slog.NewJSONHandler(b.log, nil)),
		RenderKeys: func(f db.MailFacts) ([]byte, error) { return []byte("to " + f.To), nil },
		RenderSample: activities.Letters{
			From: "keys@shop.test", SenderName: "The Shop", PublicURL: "https://shop.test",
		}.RenderSample,
		SendMail: func(context.Context, mail.Message) error { return nil },
	}
	for _, fn := range change {
		fn(&c)
	}
	b.api = api.New(c)
	b.Server = httptest.NewUnstartedServer(nil)
	b.Config = b.api.Server()
	b.Start()
	t.Cleanup(func() {
		b.Close()
		require.NoError(t, d.Close())
	})
	return b
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as the development token, unless the headers say otherwise. JSON is the media type of a body.
func (b *bench) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+devToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

// must sends a request that has to succeed.
func (b *bench) must(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a := b.do(t, method, path, body, headers...)
	require.Less(t, a.status, 300, a.body)
	return a
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

const poolProduct = `{"id": "acme-pro", "name": "Acme Pro", "sources": [{"type": "pool", "pool": "keys"}]}`

// sell makes a pool with keys and a product that delivers from it.
func (b *bench) sell(t *testing.T, keys ...string) {
	t.Helper()
	b.must(t, "PUT", "/v1/pools/keys", `{"name": "Keys", "threshold": 1}`)
	b.must(t, "PUT", "/v1/products/acme-pro", poolProduct)
	if len(keys) > 0 {
		b.must(t, "POST", "/v1/pools/keys/batches", strings.Join(keys, "\n"), "Content-Type", "text/plain")
	}
}

const goodOrder = `{"id": "ORD-1", "currency": "EUR", "payment": {"provider": "sandbox", "reference": "pay_81"},
	"customer": {"id": "user-1", "email": "jean@buyer.test", "country": "FR", "locale": "fr-FR", "firstName": "Jean", "lastName": "Dupont"},
	"lineItems": [{"productId": "acme-pro", "quantity": 2, "grossPrice": "29.99"}]}`

// fulfillmentOf is the fulfillment of the order's first line.
func (b *bench) fulfillmentOf(t *testing.T, order string) string {
	t.Helper()
	var v keyturn.OrderView
	b.must(t, "GET", "/v1/orders/"+order, "").into(t, &v)
	return v.LineItems[0].FulfillmentID
}
