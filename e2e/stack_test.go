package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
	"keyturn.dev/keyturn/devstack/devtest"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/worker"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// stack is everything that a merchant runs, in one process, with a database, a task queue and servers of the test's own.
type stack struct {
	t        *testing.T
	dsn      string
	db       *db.DB
	temporal client.Client
	queue    string
	inbox    *inbox.Server
	partner  *emulator.Server
	acts     *activities.Activities
	starter  *starter.Starter
	worker   sdkworker.Worker
	logger   *slog.Logger
	orders   atomic.Int64
}

type options struct {
	noWorker, noRelay, eager bool
}

func start(t *testing.T, o options) *stack {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stack{t: t, queue: "test-" + strings.ReplaceAll(t.Name(), "/", "-"), logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	s.dsn = devtest.Postgres(t, "keyturn", func(dsn string) error { _, err := db.Migrate(context.Background(), dsn); return err })
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, db.CreateKeys(keyFile))
	keys, err := db.LoadKeys(keyFile)
	require.NoError(t, err)
	s.db, err = db.Open(ctx, s.dsn, keys)
	require.NoError(t, err)
	s.temporal, err = client.Dial(client.Options{HostPort: devtest.Temporal(t), Logger: log.NewStructuredLogger(s.logger)})
	require.NoError(t, err)

	s.inbox = inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, s.inbox.Start())
	s.partner = emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, s.partner.Start())
	sender, err := mail.NewSender(mail.Config{Addr: s.inbox.SMTPAddr(), TLS: mail.TLSNone})
	require.NoError(t, err)
	s.acts = &activities.Activities{
		DB: s.db, Caller: endpoint.NewCaller(endpoint.Options{}), Mail: sender, Logger: s.logger,
		Letters:   activities.Letters{From: "shop@keyturn.test", SenderName: "The Shop", OrderPage: func(token string) string { return "http://127.0.0.1/o/" + token }},
		Providers: payment.Providers{payment.SandboxName: payment.Sandbox{Ledger: s.db}},
	}
	s.starter = starter.NewStarter(starter.StarterConfig{DB: s.db, Temporal: s.temporal, TaskQueue: s.queue, Eager: o.eager, Logger: s.logger})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !o.noRelay {
			s.starter.Run(ctx)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if s.worker != nil {
			s.worker.Stop()
		}
		s.temporal.Close()
		require.NoError(t, s.db.Close())
		_ = sender.Close()
		_ = s.inbox.Close()
		_ = s.partner.Close()
	})
	if !o.noWorker {
		s.startWorker()
	}
	go (&worker.Housekeeping{DB: s.db, Mail: sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: s.logger, Every: 200 * time.Millisecond,
		HistoryLink: func(string) string { return "http://127.0.0.1:8233" }}).Run(ctx)
	return s
}

func (s *stack) startWorker() {
	s.worker = worker.New(s.temporal, s.acts, worker.Options{TaskQueue: s.queue})
	require.NoError(s.t, s.worker.Start())
}

// product puts a product and its pools and integrations into the catalog.
func (s *stack) product(p keyturn.Product, keys ...string) {
	s.t.Helper()
	ctx := context.Background()
	if p.Name == "" {
		p.Name = strings.ToUpper(p.ID)
	}
	if p.Retry.GiveUpAfter == 0 {
		p.Retry = keyturn.RetryPolicy{Schedule: []keyturn.Duration{keyturn.Duration(300 * time.Millisecond)}, GiveUpAfter: keyturn.Duration(time.Minute)}
	}
	for _, src := range p.Sources {
		switch src.Type {
		case keyturn.SourcePool:
			_, _, err := s.db.PutPool(ctx, keyturn.Pool{ID: src.Pool})
			require.NoError(s.t, err)
			if len(keys) > 0 {
				_, err := s.db.Import(ctx, src.Pool, strings.NewReader(strings.Join(keys, "\n")), "test", false)
				require.NoError(s.t, err)
			}
		case keyturn.SourceEndpoint:
			_, _, err := s.db.PutIntegration(ctx, keyturn.Integration{ID: src.Integration, BaseURL: s.partner.PartnerURL(src.Integration)})
			require.NoError(s.t, err)
		case keyturn.SourceDynamicURL, keyturn.SourceManual:
		}
	}
	require.NoError(s.t, p.Check())
	_, _, err := s.db.PutProduct(ctx, p)
	require.NoError(s.t, err)
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
	n := s.orders.Add(1)
	o := keyturn.Order{
		ID: fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(s.t.Name()), n), Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: reference},
		Customer:  keyturn.Customer{ID: "user-1", Email: "jean@buyer.test", Country: "FR", Locale: "en-GB", FirstName: "Jean", LastName: "Dupont"},
		LineItems: lines,
	}
	require.NoError(s.t, o.Check(mail.CheckAddress))
	a, _, err := s.db.Accept(context.Background(), db.AcceptInput{
		Order: o, Client: "test", IdempotencyKey: o.ID, RequestHash: []byte(o.ID),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(s.t, err)
	s.starter.Offer(a.Starts)
	return a
}

// await waits until the order has the status.
func (s *stack) await(a *db.Accepted, want keyturn.OrderStatus) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		var got string
		require.NoError(s.t, s.sql(&got, `SELECT status || ' ' || (SELECT string_agg(status || ' ' || coalesce(failure, ''), ', ') FROM line_items WHERE order_id = $1) FROM orders WHERE id = $1`, a.Order.ID))
		return strings.HasPrefix(got, string(want)+" "), got
	})
}

func (s *stack) eventually(ok func() (bool, string)) {
	s.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("still not so after a minute: %s", state)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
