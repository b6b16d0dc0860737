package e2e_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/devstack/paymentemulator"
	stripeemulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/worker"
)

// world is what outlives a process: the database, Temporal, mail server, partner and payment provider.
type world struct {
	t       *testing.T
	queue   string
	dsn     string
	keys    *vault.Keys
	sql     *sql.DB
	inbox   *inbox.Server
	partner *emulator.Server
	till    *paymentemulator.Server
	stripe  *stripeemulator.Server
	journal string // of the till
	books   *db.DB

	toPartner *faultproxy.Proxy // the partner's address outlives a process: requests are stored with it
	mu        sync.Mutex
	lives     *life // who speaks through it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, queue: "crash-" + rand.Text()[:12], journal: filepath.Join(t.TempDir(), "payments.jsonl")}
	w.dsn = testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	file := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(file))
	var err error
	w.keys, err = vault.LoadKeys(file)
	require.NoError(t, err)
	w.sql, err = sql.Open("postgres", w.dsn)
	require.NoError(t, err)
	w.books, err = db.Open(context.Background(), w.dsn, w.keys)
	require.NoError(t, err)
	w.inbox = inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, w.inbox.Start())
	w.partner = emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, w.partner.Start())
	w.till = paymentemulator.New(paymentemulator.Config{Addr: "127.0.0.1:0", Journal: w.journal})
	require.NoError(t, w.till.Start())
	w.stripe = stripeemulator.New(stripeemulator.Config{})
	require.NoError(t, w.stripe.Start())
	w.toPartner, err = faultproxy.Start("127.0.0.1:0", strings.TrimPrefix(w.partner.URL(), "http://"), faultproxy.HTTP)
	require.NoError(t, err)
	w.toPartner.Watch(func(name string, answered bool) bool {
		w.mu.Lock()
		l := w.lives
		w.mu.Unlock()
		return l != nil && l.passes("partner", name, answered)
	})
	t.Cleanup(func() {
		for _, c := range []interface{ Close() error }{w.sql, w.books, w.inbox, w.partner, w.till, w.stripe, w.toPartner} {
			_ = c.Close()
		}
	})
	return w
}

// life is one process: everything that it says to the world goes through its own proxies. When one of them sees the
// point at which the process is to die, none of them forwards anything any more. To everybody else that is the same as
// kill -9, and what still computes here computes for nobody.
type life struct {
	w       *world
	proxies map[string]*faultproxy.Proxy
	db      *db.DB
	starter *starter.Starter
	api     *client.Client
	desk    *checkout.Desk
	sandbox payment.Sandbox // its books are behind the database's proxy, so a dead process sells nothing more
	worker  sdkworker.Worker
	temp    temporalclient.Client
	acts    *activities.Activities
	logs    logs
	over    []func()

	mu   sync.Mutex
	dead bool
	died chan struct{}
	seen []string // effects, as they happened
	dies func(point string) bool
}

// crashPatience bounds what a dead process does before it notices.
const crashPatience = 3 * time.Second

// live begins a process. dies names the point of its death; nil: it lives.
func (w *world) live(dies func(point string) bool) *life {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{w: w, proxies: map[string]*faultproxy.Proxy{}, died: make(chan struct{}), dies: dies}
	dsn, err := url.Parse(w.dsn)
	require.NoError(w.t, err)
	dsn.Host = l.through("PostgreSQL", dsn.Host, faultproxy.Postgres)
	temporal := l.through("Temporal", testkit.Temporal(w.t), faultproxy.GRPC)
	smtp := l.through("SMTP", w.inbox.SMTPAddr(), faultproxy.SMTP)
	till := l.through("payment", strings.TrimPrefix(w.till.URL(), "http://"), faultproxy.HTTP)
	atStripe := w.processor("http://" + l.through("Stripe", strings.TrimPrefix(w.stripe.URL(), "http://"), faultproxy.HTTP))
	w.mu.Lock()
	w.lives = l
	w.mu.Unlock()

	logger := slog.New(slog.NewTextHandler(&l.logs, nil))
	for range 10 { // a process that finds no database is started again
		if l.db, err = db.Open(ctx, dsn.String(), w.keys); err == nil || l.isDead() {
			break
		}
	}
	require.NoError(w.t, err)
	l.temp, err = temporalclient.NewLazyClient(temporalclient.Options{
		HostPort: temporal, Identity: "crash",
		Logger: log.NewStructuredLogger(logger),
	})
	require.NoError(w.t, err)
	sender, err := mail.NewSender(mail.Config{Addr: smtp, TLS: mail.TLSNone, Timeout: 20 * time.Second})
	require.NoError(w.t, err)
	l.acts = &activities.Activities{
		DB: l.db, Caller: endpoint.NewCaller(endpoint.Options{}), Mail: sender, Logger: logger,
		Letters: activities.Letters{
			From: "shop@keyturn.test", SenderName: "The Shop",
			PublicURL: "http://127.0.0.1",
		},
		Providers: payment.Providers{"till": payment.Gateway{URL: "http://" + till}},
	}
	l.starter = starter.New(starter.Config{DB: l.db, Temporal: l.temp, TaskQueue: w.queue, Logger: logger})
	l.sell(logger, atStripe)
	server := httptest.NewUnstartedServer(nil)
	server.Config = api.New(api.Config{
		Payments: []string{"till"}, Processors: []string{payment.SandboxName, stripe.Name}, PublicURL: crashURL,
		DB: l.db, Temporal: l.temp, Starter: l.starter, TaskQueue: w.queue, DevToken: "dev",
		RenderKeys: l.acts.Letters.Render, Logger: logger,
	}).Server()
	server.Start()
	l.api = &client.Client{BaseURL: server.URL, Token: "dev"}
	var loops sync.WaitGroup
	loops.Go(func() { l.starter.Run(ctx) })
	loops.Go(func() {
		(&worker.Housekeeping{
			DB: l.db, Mail: sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: logger,
			Every:       300 * time.Millisecond,
			HistoryLink: func(string) string { return "" }, RenderKeys: l.acts.Letters.Render,
		}).Run(ctx)
	})
	l.over = append(l.over, func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
		_ = l.db.Close()
		l.temp.Close()
		_ = sender.Close()
		loops.Wait()
	})
	return l
}

// crashURL is of the pages, which outlive a process.
const crashURL = "http://shop.test"

// processor is Stripe at an address.
func (w *world) processor(url string) payment.Processor {
	x, err := stripe.New(stripe.Config{
		Key: stripeemulator.Key, Authorize: stripe.DefaultAuthorize, Installation: "crash", URL: url,
		PageOrigin: w.stripe.PageURL(),
	})
	require.NoError(w.t, err)
	return x
}

// sell makes the sandbox and Stripe the processors of checkout links.
func (l *life) sell(logger *slog.Logger, atStripe payment.Processor) {
	l.desk = &checkout.Desk{
		DB: l.db, Processors: payment.Processors{}, Providers: l.acts.Providers, PublicURL: crashURL, Logger: logger,
		Accepted: l.starter.Enqueue,
	}
	l.sandbox = payment.Sandbox{
		Ledger: l.db, Sessions: l.db, PublicURL: crashURL, Secret: l.w.keys.MAC("sandbox"),
		OnEvent: func(ctx context.Context, e payment.Event) { _ = l.desk.Tell(ctx, payment.SandboxName, e) },
	}
	l.desk.Processors[payment.SandboxName], l.acts.Providers[payment.SandboxName] = l.sandbox, l.sandbox
	l.desk.Processors[stripe.Name], l.acts.Providers[stripe.Name] = atStripe, atStripe
	l.acts.Desk = l.desk
}

// work starts its worker.
func (l *life) work() {
	l.worker = worker.New(l.temp, l.acts, worker.Options{TaskQueue: l.w.queue})
	err := l.worker.Start()
	if l.isDead() { // before it began
		return
	}
	require.NoError(l.w.t, err)
	// a dead one's activities end by their own deadlines
	l.over = append([]func(){func() { go l.worker.Stop() }}, l.over...)
}

func (l *life) isDead() bool {
	select {
	case <-l.died:
		return true
	default:
		return false
	}
}

// mayDieWithin says whether it dies within a time, which is waited for if that may be.
func (l *life) mayDieWithin(d time.Duration) bool {
	if l.dies == nil {
		return false
	}
	select {
	case <-l.died:
		return true
	case <-time.After(d):
		return false
	}
}

// end ends a process that lived.
func (l *life) end() {
	for _, f := range l.over {
		f()
	}
	for _, p := range l.proxies {
		go func() { _ = p.Close() }() // what is under way ends with it
	}
}

func (l *life) through(boundary, to string, speaks faultproxy.Protocol) string {
	p, err := faultproxy.Start("127.0.0.1:0", to, speaks)
	require.NoError(l.w.t, err)
	l.proxies[boundary] = p
	p.Watch(func(name string, answered bool) bool { return l.passes(boundary, name, answered) })
	return p.Addr()
}

// passes notes an effect that is about to happen or has just happened, and says whether the process dies of it.
func (l *life) passes(boundary, name string, answered bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return true
	}
	effect := effectName(boundary, name)
	if effect == "" {
		return false
	}
	when := "before "
	if answered {
		when = "after "
	}
	point := when + effect
	l.seen = append(l.seen, point)
	if l.dies == nil || !l.dies(point) {
		return false
	}
	l.dead = true
	close(l.died)
	for _, p := range l.proxies {
		p.Target("")
		go p.Cut(false) // their connections ask us before they forward anything, so nothing passes
	}
	go l.w.toPartner.Cut(false)
	return true
}

// effectName names what changes something outside of the process; "" is all the rest.
func effectName(boundary, name string) string {
	switch boundary {
	case "PostgreSQL":
		if tables, ok := strings.CutPrefix(name, faultproxy.Commit+" "); ok {
			return "commit of " + tables
		}
	case "Temporal":
		for _, verb := range []string{
			"StartWorkflow", "SignalWorkflow", "UpdateWorkflow", "RespondWorkflowTaskCompleted",
			"RespondActivityTask",
		} {
			if strings.HasPrefix(name, verb) {
				return "Temporal's " + name
			}
		}
	case "SMTP":
		if name == faultproxy.FinalDot {
			return "an e-mail's final dot"
		}
	case "payment":
		return "the refund at the provider"
	case "Stripe":
		if strings.HasPrefix(name, "POST ") {
			return "Stripe's " + name[strings.LastIndex(name, "/")+1:]
		}
	case "partner":
		verb := name[strings.LastIndex(name, "/")+1:]
		verb, _, _ = strings.Cut(verb, "?")
		return "the partner's " + verb
	}
	return ""
}

// rest waits until nothing is left to do, and audits with every evidence.
func (w *world) rest(now func() *life, within time.Duration) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for {
		l := now()
		var left int
		err := w.sql.QueryRow(`SELECT (SELECT count(*) FROM line_items
			WHERE status NOT IN ('DELIVERED', 'CANCELED') OR wake_at IS NOT NULL) + (SELECT count(*) FROM outbox)
			+ (SELECT count(*) FROM revocations WHERE status = 'OWED') + (SELECT count(*) FROM deliveries WHERE status <> 'SENT')
			+ (SELECT count(*) FROM attempts WHERE outcome = 'running') + (SELECT count(*) FROM alerts
				WHERE mailed_at IS NULL)
			+ (SELECT count(*) FROM payments WHERE ended_at IS NULL OR look_at IS NOT NULL)
			+ (SELECT count(*) FROM payment_refunds WHERE status <> 'DONE')
			+ (SELECT count(*) FROM payment_mails WHERE due_at IS NOT NULL)`).Scan(&left)
		require.NoError(w.t, err)
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			var state string
			err := w.sql.QueryRow(`SELECT coalesce(string_agg(t, E'\n'), '') FROM (
				SELECT concat_ws(' ', 'line', status, failure, 'next', next_attempt_at, 'wake', wake_at) AS t FROM line_items
				UNION ALL SELECT concat_ws(' ', 'payment', status, failure, 'look', look_at, 'lease', capture_until) FROM payments
				UNION ALL SELECT concat_ws(' ', 'outbox', to_jsonb(o)) FROM outbox o
				UNION ALL SELECT concat_ws(' ', 'delivery', kind, status, 'lease', lease_until, 'attempts', attempts, error)
					FROM deliveries WHERE status <> 'SENT'
				UNION ALL SELECT concat_ws(' ', 'alert', cause, opened_at, 'closed', closed_at) FROM alerts WHERE mailed_at IS NULL
				UNION ALL SELECT concat_ws(' ', 'attempt', source, operation, outcome, deadline_at) FROM attempts
					WHERE outcome = 'running') AS s (t)`).Scan(&state)
			require.NoError(w.t, err)
			w.t.Fatalf("%d things are still to be done after %s: %s\n%s", left, within, state, l.logs.warnings())
		}
		time.Sleep(100 * time.Millisecond)
	}
	mailbox, err := audit.OpenMailbox("http://" + w.inbox.HTTPAddr())
	require.NoError(w.t, err)
	partner, err := audit.OpenPartnerLog(w.partner.URL() + "/_emulator/log")
	require.NoError(w.t, err)
	till, err := audit.OpenPaymentLog("till", w.journal)
	require.NoError(w.t, err)
	r, err := audit.Run(context.Background(), audit.Evidence{
		DB: w.books, Mailbox: mailbox, Partner: partner,
		Payments: []audit.Payments{audit.SandboxPayments{}, till}, Quiescent: true,
		Processors: payment.Processors{stripe.Name: w.processor(w.stripe.URL())},
	})
	require.NoError(w.t, err)
	for _, res := range r.Invariants {
		for _, v := range res.Listed {
			w.t.Errorf("%s violated: %s: %s", res.ID, res.Meaning, v)
		}
	}
}

// capture takes the money of an order, as its checkout did before.
func (w *world) capture(o keyturn.Order, minor int64) {
	w.t.Helper()
	require.NoError(w.t, w.till.Capture(o.Payment.Reference, o.ID, keyturn.Money{Minor: minor, Currency: o.Currency}))
}

func (w *world) one(query string) string {
	w.t.Helper()
	var v string
	require.NoError(w.t, w.sql.QueryRow(query).Scan(&v))
	return v
}
