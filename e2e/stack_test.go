package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/worker"
)

// TestMain runs more tests at the same time than there are processors: most of what they do is wait for a policy.
func TestMain(m *testing.M) {
	testkit.AtOnce(8)
	testkit.Main(m)
}

// stack is everything that a merchant runs, in one process, with a database, a task queue and servers of the test's
// own.
type stack struct {
	t        *testing.T
	dsn      string
	db       *db.DB
	reader   *sql.DB // connections of the test's own, as an auditor would have
	temporal client.Client
	queue    string
	inbox    *inbox.Server
	partner  *emulator.Server
	acts     *activities.Activities
	starter  *starter.Starter
	worker   sdkworker.Worker
	slots    int // of the worker
	logger   *slog.Logger
	logs     logs
	sender   *mail.Sender
	orders   atomic.Int64

	pages   *httptest.Server // order pages, checkout pages and the sandbox's
	sandbox payment.Sandbox

	startStarter func() // for a test that began without one
}

// logs keeps what the application logs: the test scans it for secrets, and shows it when it fails.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// warnings are the last lines that say more than that all goes well.
func (l *logs) warnings() string {
	var lines []string
	for line := range strings.SplitSeq(l.String(), "\n") {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

type options struct {
	noWorker, noRelay, eager bool
	dsn                      func(dsn string) string // the database's address as the application sees it: a proxy's
	temporal                 string                  // address; default: the tests' server
	slots                    int                     // of the worker; 0: its default
	skew                     time.Duration           // how far the database's clock is ahead of everybody else's
	mails                    string                  // folder for more e-mails than an inbox in memory keeps
}

func start(t *testing.T, o options) *stack {
	t.Helper()
	t.Parallel()
	return begin(t, o)
}

// begin is start for a test that runs several.
func begin(t *testing.T, o options) *stack {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stack{t: t, slots: o.slots, queue: "test-" + strings.ReplaceAll(t.Name(), "/", "-") + "-" + rand.Text()[:6]}
	s.logger = slog.New(slog.NewTextHandler(&s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.skew == 0 {
		s.dsn = testkit.Postgres(t, "keyturn", func(dsn string) error {
			_, err := db.Migrate(context.Background(), dsn)
			return err
		})
	} else {
		s.dsn = skewedPostgres(t, o.skew)
	}
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	s.reader, err = sql.Open("postgres", s.dsn)
	require.NoError(t, err)
	appDSN := s.dsn
	if o.dsn != nil {
		appDSN = o.dsn(s.dsn)
	}
	s.db, err = db.Open(ctx, appDSN, keys)
	require.NoError(t, err)
	direct := o.temporal == ""
	if direct {
		o.temporal = testkit.Temporal(t)
	}
	// Lazy: Keyturn starts and accepts orders while Temporal is down.
	s.temporal, err = client.NewLazyClient(client.Options{
		HostPort: o.temporal, Identity: "e2e",
		Logger: log.NewStructuredLogger(s.logger),
	})
	require.NoError(t, err)
	if direct { // as each worker does when it starts: the server may have been started by another build
		_, err = starter.EnsureSearchAttributes(ctx, s.temporal, "default")
		require.NoError(t, err)
	}

	s.inbox = inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: o.mails})
	require.NoError(t, s.inbox.Start())
	s.partner = emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, s.partner.Start())
	s.sender, err = mail.NewSender(mail.Config{Addr: s.inbox.SMTPAddr(), TLS: mail.TLSNone, Timeout: 20 * time.Second})
	require.NoError(t, err)
	s.acts = &activities.Activities{
		DB: s.db, Caller: endpoint.NewCaller(endpoint.Options{}), Mail: s.sender, Logger: s.logger,
		Letters: activities.Letters{
			From: "shop@keyturn.test", SenderName: "The Shop",
			PublicURL: "http://127.0.0.1",
		},
	}
	s.openPages(keys)
	s.starter = starter.New(starter.Config{
		DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Eager: o.eager,
		Logger: s.logger,
	})
	done := make(chan struct{})
	s.startStarter = sync.OnceFunc(func() {
		go func() {
			defer close(done)
			s.starter.Run(ctx)
		}()
	})
	if !o.noRelay {
		s.startStarter()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.logs.warnings())
		}
		cancel()
		s.startStarter()
		<-done
		if s.worker != nil {
			s.worker.Stop()
		}
		s.pages.Close()
		s.temporal.Close()
		require.NoError(t, s.db.Close())
		_ = s.reader.Close()
		_ = s.sender.Close()
		_ = s.inbox.Close()
		_ = s.partner.Close()
	})
	if !o.noWorker {
		s.startWorker()
	}
	go (&worker.Housekeeping{
		DB: s.db, Mail: s.sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: s.logger,
		Every:       200 * time.Millisecond,
		HistoryLink: func(string) string { return "http://127.0.0.1:8233" }, RenderKeys: s.acts.Letters.Render,
		RenderLibrary: s.acts.Letters.RenderLibrary,
	}).Run(ctx)
	return s
}

func (s *stack) startWorker() {
	var err error
	for range 100 { // after an outage the connection comes back by and by
		s.worker = worker.New(s.temporal, s.acts, worker.Options{TaskQueue: s.queue, Slots: s.slots})
		(&worker.Auditor{DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Logger: s.logger}).Register(s.worker)
		if err = s.worker.Start(); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.t.Fatal(err)
}

// product puts a product and its pools and integrations into the catalog.
func (s *stack) product(p keyturn.Product, keys ...string) {
	s.t.Helper()
	ctx := context.Background()
	if p.Name == "" {
		p.Name = strings.ToUpper(p.ID)
	}
	if p.Retry.GiveUpAfter == 0 {
		p.Retry = keyturn.RetryPolicy{
			Schedule:    []keyturn.Duration{keyturn.Duration(300 * time.Millisecond)},
			GiveUpAfter: keyturn.Duration(10 * time.Minute),
		}
	}
	for _, src := range p.Sources {
		switch src.Type {
		case keyturn.SourcePool:
			_, _, err := s.db.PutPool(ctx, keyturn.Pool{ID: src.Pool})
			require.NoError(s.t, err)
			if len(keys) > 0 {
				s.load(src.Pool, keys...)
			}
		case keyturn.SourceEndpoint:
			if _, err := s.db.Integration(ctx, src.Integration); err != nil { // unless the test made its own
				s.integration(keyturn.Integration{ID: src.Integration})
			}
		case keyturn.SourceDynamicURL, keyturn.SourceManual:
		}
	}
	require.NoError(s.t, p.Check())
	_, _, err := s.db.PutProduct(ctx, p)
	require.NoError(s.t, err)
}

// integration puts an integration with the emulator's partner of the same name into the catalog. Its calls time out
// soon, but not on a machine that is merely busy.
func (s *stack) integration(in keyturn.Integration) {
	s.t.Helper()
	if in.BaseURL == "" {
		in.BaseURL = s.partner.PartnerURL(in.ID)
	}
	if in.Limits.Timeout == 0 {
		in.Limits.Timeout = keyturn.Duration(4 * time.Second)
	}
	require.NoError(s.t, endpoint.Check(in, false))
	_, _, err := s.db.PutIntegration(context.Background(), in)
	require.NoError(s.t, err)
}

// load imports keys and says how many waiting lines they served.
func (s *stack) load(pool string, keys ...string) int {
	s.t.Helper()
	r, err := s.db.Import(context.Background(), pool, strings.NewReader(strings.Join(keys, "\n")), "test", false)
	require.NoError(s.t, err)
	require.Equal(s.t, len(keys), r.Accepted)
	return r.Served
}

// order accepts an order of one unit of each product and starts its lines.
func (s *stack) order(products ...string) *db.Accepted {
	s.t.Helper()
	var lines []keyturn.LineItem
	for _, p := range products {
		lines = append(lines, keyturn.LineItem{ProductID: p, Quantity: 1, GrossPrice: "29.99"})
	}
	return s.accept(lines, "pay_1")
}

func (s *stack) accept(lines []keyturn.LineItem, reference string) *db.Accepted {
	s.t.Helper()
	a := s.store(keyturn.Order{Payment: keyturn.Payment{Provider: "sandbox", Reference: reference}, LineItems: lines})
	s.starter.Enqueue(a.Starts)
	return a
}

// store accepts an order and starts nothing. What the order leaves open is filled in.
func (s *stack) store(o keyturn.Order) *db.Accepted {
	s.t.Helper()
	n := s.orders.Add(1)
	o.ID, o.Currency = fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(s.t.Name()), n), "EUR"
	if o.Payment.Provider == "" {
		o.Payment = keyturn.Payment{Provider: "sandbox", Reference: "pay_1"}
	}
	if o.Customer.ID == "" {
		o.Customer = keyturn.Customer{
			ID: "user-1", Email: buyer, Country: "FR", Locale: "en-GB", FirstName: "Jean",
			LastName: "Dupont",
		}
	}
	require.NoError(s.t, o.Check(mail.CheckAddress))
	a, _, err := s.db.Accept(context.Background(), acceptInput(o))
	require.NoError(s.t, err)
	return a
}

func acceptInput(o keyturn.Order) db.AcceptInput {
	return db.AcceptInput{
		Order: o, Client: "test", IdempotencyKey: o.ID, RequestHash: []byte(o.ID),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	}
}

const buyer = "jean@buyer.test"

// await waits until the order has the status.
func (s *stack) await(a *db.Accepted, want keyturn.OrderStatus) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		var got string
		require.NoError(s.t, s.sql(&got,
			`SELECT status || ' ' || (SELECT string_agg(status || ' ' || coalesce(failure, ''), ', ') FROM line_items WHERE order_id = $1) FROM orders WHERE id = $1`, a.Order.ID))
		return strings.HasPrefix(got, string(want)+" "), got
	})
}

func (s *stack) eventually(ok func() (bool, string)) {
	s.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("still not so after three minutes: %s", state)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
