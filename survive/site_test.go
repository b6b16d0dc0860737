package survive_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/internal/testkit"
)

// site is a merchant's installation: every part a process of its own, but for the mailbox and the partners, which are
// the test's witnesses and stay alive.
type site struct {
	t       *testing.T
	dir     string
	stack   *devstack.Dir
	env     []string
	api     *client.Client
	sql     *sql.DB
	inbox   *inbox.Server
	partner *emulator.Server

	mu       sync.Mutex
	postgres *devstack.Postgres
	temporal *devstack.Temporal
	process  map[string]*process // api, worker-1, …
	ports    struct{ postgres, temporal, temporalUI, api int }
	kills    map[string]int
	again    atomic.Int64 // starts of processes that had found no database
}

// stock is how many keys the pool begins with.
const stock = 1500

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := testkit.Folder("keyturn-survive-")
	require.NoError(t, err)
	s := &site{t: t, dir: dir, process: map[string]*process{}, kills: map[string]int{}}
	s.stack, err = devstack.Open(dir)
	require.NoError(t, err)
	t.Cleanup(s.close)
	base := freePorts(t, 4)
	s.ports.postgres, s.ports.temporal, s.ports.temporalUI, s.ports.api = base, base+1, base+2, base+3
	s.inbox = inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, s.inbox.Start())
	s.partner = emulator.New(emulator.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, s.partner.Start())
	s.startPostgres()
	s.startTemporal()
	require.NoError(t, s.postgres.CreateDatabase(t.Context(), "keyturn"))
	s.sql, err = sql.Open("postgres", s.postgres.DSN("keyturn"))
	require.NoError(t, err)

	api := fmt.Sprintf("127.0.0.1:%d", s.ports.api)
	s.env = []string{
		"KEYTURN_DEVELOPMENT=1", "KEYTURN_DATABASE_URL=" + s.postgres.DSN("keyturn"), "KEYTURN_KEYS=" +
			filepath.Join(dir, "keys.json"),
		"KEYTURN_PUBLIC_URL=http://" + api, "KEYTURN_SMTP_URL=smtp+plain://" + s.inbox.SMTPAddr(),
		"KEYTURN_MAIL_FROM=keys@shop.test",
		"KEYTURN_OPERATIONS_MAIL=ops@shop.test", "TEMPORAL_ADDRESS=" + s.temporal.Address(), "KEYTURN_LISTEN=" + api,
		"KEYTURN_API=http://" + api,
	}
	must(t, s.env, "keys", "create", filepath.Join(dir, "keys.json"))
	must(t, s.env, "migrate")
	token := must(t, s.env, "token", "create", "survive", "--scope",
		"orders:write,orders:read,catalog:write,keys:write,ops")
	s.env = append(s.env, "KEYTURN_TOKEN="+token)
	s.api = &client.Client{BaseURL: "http://" + api, Token: token}
	s.startKeyturn("api")
	s.ready()
	s.catalog()
	return s
}

var nextPorts atomic.Int64

// freePorts finds ports in a row that stay ours over a restart: below those that the kernel gives to any connection,
// and below those of freeOffset, because a port that was found free may be taken by a test beside this one before it is
// used.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 1000 {
		base := 10_000 + int(nextPorts.Add(1)*200+int64(os.Getpid())*7)%10_000
		var ports []devstack.Port
		for i := range n {
			ports = append(ports, devstack.Port{Name: "a test", Number: base + i})
		}
		if devstack.CheckPorts(0, ports...) == nil {
			return base
		}
	}
	t.Fatal("there are no free ports")
	return 0
}

// catalog sells one product of every kind. Only `gone` and `lost` have deadlines that an outage cannot reach before
// them.
func (s *site) catalog() {
	s.t.Helper()
	file := filepath.Join(s.dir, "catalog.yaml")
	require.NoError(s.t, os.WriteFile(file, []byte(strings.ReplaceAll(catalog, "{PARTNER}", s.partner.URL())), 0o600))
	must(s.t, s.env, "apply", "-f", file)
	var keys strings.Builder
	for i := range stock {
		fmt.Fprintf(&keys, "POOL-%06d\n", i)
	}
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "keys.txt"), []byte(keys.String()), 0o600))
	must(s.t, s.env, "pool", "import", "editor-keys", filepath.Join(s.dir, "keys.txt"))
}

const catalog = `
integrations:
  - {id: good, baseUrl: "{PARTNER}/p/good", limits: {timeout: 2s}}
  - {id: slow, baseUrl: "{PARTNER}/p/slow", limits: {timeout: 3s}}
  - {id: flaky, baseUrl: "{PARTNER}/p/flaky", limits: {timeout: 2s}}
  - {id: gone, baseUrl: "{PARTNER}/p/gone", limits: {timeout: 2s}}
  - {id: lost, baseUrl: "{PARTNER}/p/lost", limits: {timeout: 1s}}
pools:
  - {id: editor-keys, threshold: 5}
products:
  - id: editor
    name: Editor
    sources: [{type: pool, pool: editor-keys}]
    retry: &soon {schedule: [300ms, 1s], giveUpAfter: 10m}
  - id: studio
    name: Studio
    sources: [{type: endpoint, integration: good}]
    retry: *soon
  - id: wallpaper
    name: Wallpaper
    sources: [{type: dynamicurl, url: "{PARTNER}/dynamic"}]
    retry: *soon
  - id: render
    name: Render
    publisherProductId: REN-drill:fail-2-then-ok
    sources: [{type: endpoint, integration: flaky}]
    retry: *soon
  - id: sluggish
    name: Sluggish
    publisherProductId: SLU-drill:slow:1s
    sources: [{type: endpoint, integration: slow}]
    retry: *soon
  - id: ghost
    name: Ghost
    publisherProductId: GHO-drill:always-500
    sources: [{type: endpoint, integration: gone}]
    retry: {schedule: [500ms, 1s], giveUpAfter: 6s}
  - id: lost
    name: Lost
    publisherProductId: LOS-drill:timeout-after-issuing
    sources: [{type: endpoint, integration: lost}]
    retry: {schedule: [500ms, 1s], giveUpAfter: 6s}
`

// refunded are the products that nobody ever gets.
var refunded = map[string]bool{"ghost": true, "lost": true}

func (s *site) startPostgres() {
	pg, err := devstack.StartPostgres(context.Background(), s.stack, devstack.PostgresOptions{
		Port: s.ports.postgres,
		// The kernel keeps what a killed process wrote; only the machine's end would lose it.
		Settings: map[string]string{"fsync": "off"},
	})
	require.NoError(s.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postgres = pg
}

func (s *site) startTemporal() {
	temporal, err := devstack.StartTemporal(context.Background(), s.stack,
		devstack.TemporalOptions{Port: s.ports.temporal, UIPort: s.ports.temporalUI})
	require.NoError(s.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.temporal = temporal
}

// startKeyturn starts `api` or a `worker-N`.
func (s *site) startKeyturn(name string) *process {
	verb, _, _ := strings.Cut(name, "-")
	s.mu.Lock()
	defer s.mu.Unlock()
	var p *process
	p = supervise(s.t, func() {
		s.mu.Lock()
		current := s.process[name] == p && !p.wanted.Load()
		s.mu.Unlock()
		if current {
			s.again.Add(1)
			s.startKeyturn(name)
		}
	}, name, s.dir, s.env, verb)
	s.process[name] = p
	return p
}

// kill is kill -9 for a part of the site.
func (s *site) kill(name string) {
	s.mu.Lock()
	s.kills[name]++
	p, pg, temporal := s.process[name], s.postgres, s.temporal
	s.mu.Unlock()
	switch name {
	case "postgres":
		pg.Kill()
	case "temporal":
		temporal.Kill()
	default:
		p.kill()
	}
}

// stop asks a keyturn process to end, as a deploy does; it lets what runs come to its end.
func (s *site) stop(name string) {
	s.mu.Lock()
	p := s.process[name]
	s.mu.Unlock()
	code, took := p.end(syscall.SIGTERM, 45*time.Second)
	// the signal came before main did: nothing was begun, and nobody was there to end it in order
	early := code == -1 && p.silent()
	if code != 0 && !early && !strings.HasPrefix(p.lastLines(1), databaseDown) {
		s.t.Errorf("%s, asked to end, ended after %s with code %d:\n%s", name, took, code, p.lastLines(10))
	}
}

// restart starts a part that was killed.
func (s *site) restart(name string) {
	switch name {
	case "postgres":
		s.startPostgres()
	case "temporal":
		s.startTemporal()
	default:
		s.startKeyturn(name)
	}
}

// ready waits until the API accepts orders.
func (s *site) ready() {
	s.t.Helper()
	s.within(time.Minute, "the API is ready", func() string {
		if _, err := s.api.Health(context.Background()); err != nil {
			return err.Error()
		}
		return ""
	})
}

// within polls until still is empty.
func (s *site) within(d time.Duration, what string, still func() string) {
	s.t.Helper()
	start := time.Now()
	for {
		why := still()
		if why == "" {
			return
		}
		if time.Since(start) > d {
			s.t.Fatalf("%s: not so after %s: %s", what, d, why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// dial connects to Temporal as an operator would.
func (s *site) dial() temporalclient.Client {
	s.t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{
		HostPort: s.temporal.Address(),
		Logger:   log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(s.t, err)
	return c
}

// close ends what is left, the workers first, and keeps the logs of a test that failed.
func (s *site) close() {
	s.mu.Lock()
	for _, p := range s.process {
		p.kill()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if s.sql != nil {
		_ = s.sql.Close()
	}
	if s.temporal != nil {
		_ = s.temporal.Stop(ctx)
	}
	home := ""
	if s.postgres != nil {
		_ = s.postgres.Stop(ctx)
		home = s.postgres.Home()
	}
	if s.inbox != nil {
		_ = s.inbox.Close()
	}
	if s.partner != nil {
		_ = s.partner.Close()
	}
	_ = s.stack.Close()
	if s.t.Failed() {
		s.t.Logf("logs are kept in %s", s.dir)
		return
	}
	_ = os.RemoveAll(s.dir)
	_ = os.RemoveAll(home)
}
