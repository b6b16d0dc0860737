//go:build chaos

package survive_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/vault"
)

// lab is a merchant's installation in which every part is a process of its own and every line between two of them goes
// through a proxy.
type lab struct {
	t     *testing.T
	seed  int64
	dir   string
	stack *devstack.Dir
	mount string // of PostgreSQL's small disk; "": this machine allows none
	ports struct{ postgres, temporal, temporalUI, api, smtp, inbox, partner, payment, hooks int }

	api    *client.Client
	direct *sql.DB // past the proxies, for whoever looks
	books  *db.DB
	env    []string // for commands
	load   *shoppers
	shop   shopState
	tally  *tally

	calm    bool // receivers of events fail no more
	parts   map[string]*part
	proxies map[string][]*faultproxy.Proxy          // by boundary
	own     map[string]map[string]*faultproxy.Proxy // by process and boundary

	mu       sync.Mutex
	postgres *devstack.Postgres
	temporal *devstack.Temporal
	process  map[string]*process
}

// The boundaries between Keyturn and its neighbours.
const (
	toPostgres = "PostgreSQL"
	toTemporal = "Temporal"
	toPartner  = "partner"
	toSMTP     = "SMTP"
	toPayment  = "payment"
)

// keyturns are the processes of Keyturn.
var keyturns = []string{"api", "worker-1", "worker-2", "worker-3"}

const (
	diskSize = 288 << 20
	labKeys  = 4000
	// The first keys come in small batches, so that some of what was sold can be recalled.
	smallBatch   = 30
	smallBatches = 25
)

func newLab(t *testing.T, seed int64) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyturn-chaos-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	l := &lab{
		t: t, seed: seed, dir: dir, process: map[string]*process{}, proxies: map[string][]*faultproxy.Proxy{},
		own:   map[string]map[string]*faultproxy.Proxy{},
		tally: newTally(),
	}
	l.stack, err = devstack.Open(dir)
	require.NoError(t, err)
	t.Cleanup(l.close)
	base := freePorts(t, 9)
	for i, p := range []*int{
		&l.ports.postgres, &l.ports.temporal, &l.ports.temporalUI, &l.ports.api, &l.ports.smtp,
		&l.ports.inbox, &l.ports.partner, &l.ports.payment, &l.ports.hooks,
	} {
		*p = base + i
	}
	l.smallDisk()
	l.parts = l.allParts()
	for _, name := range []string{"postgres", "temporal", "mail server", "partner", "payment provider", "receivers"} {
		l.parts[name].start()
	}
	require.NoError(t, l.postgres.CreateDatabase(t.Context(), "keyturn"))
	l.makeProxies()
	l.settle()
	return l
}

// smallDisk gives PostgreSQL a disk that can be filled.
func (l *lab) smallDisk() {
	where := l.stack.Path("postgres")
	require.NoError(l.t, os.MkdirAll(where, 0o700))
	if err := syscall.Mount("tmpfs", where, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		l.t.Logf("!!! NO FULL DISKS IN THIS RUN: a small file system cannot be mounted here: %v", err)
		return
	}
	l.mount = where
}

func (l *lab) makeProxies() {
	address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	start := func(boundary string, port int, speaks faultproxy.Protocol) *faultproxy.Proxy {
		p, err := faultproxy.Start("127.0.0.1:0", address(port), speaks)
		require.NoError(l.t, err)
		l.proxies[boundary] = append(l.proxies[boundary], p)
		return p
	}
	for _, name := range keyturns {
		l.own[name] = map[string]*faultproxy.Proxy{
			toPostgres: start(toPostgres, l.ports.postgres, faultproxy.Postgres),
			toTemporal: start(toTemporal, l.ports.temporal, faultproxy.GRPC),
			toSMTP:     start(toSMTP, l.ports.smtp, faultproxy.SMTP),
			toPayment:  start(toPayment, l.ports.payment, faultproxy.HTTP),
		}
	}
	for range 2 { // it moves from one address to the other
		start(toPartner, l.ports.partner, faultproxy.HTTP)
	}
}

// envOf are a process's settings: its neighbours are where its own proxies listen.
func (l *lab) envOf(name string) []string {
	own, api := l.own[name], fmt.Sprintf("127.0.0.1:%d", l.ports.api)
	dsn := strings.Replace(l.postgres.DSN("keyturn"), fmt.Sprintf("127.0.0.1:%d", l.ports.postgres),
		own[toPostgres].Addr(), 1)
	return []string{
		"KEYTURN_DEVELOPMENT=1", "KEYTURN_DATABASE_URL=" + dsn, "KEYTURN_KEYS=" + filepath.Join(l.dir, "keys.json"),
		"KEYTURN_PUBLIC_URL=http://" + api, "KEYTURN_SMTP_URL=smtp+plain://" + own[toSMTP].Addr(),
		"KEYTURN_MAIL_FROM=keys@shop.test",
		"KEYTURN_OPERATIONS_MAIL=ops@shop.test", "TEMPORAL_ADDRESS=" + own[toTemporal].Addr(), "KEYTURN_LISTEN=" + api,
		"KEYTURN_API=http://" + api, "KEYTURN_TRUSTED_PROXIES=127.0.0.1/32",
		"KEYTURN_PAYMENTS=till=http://:" + roleToken + "@" + own[toPayment].Addr(),
	}
}

// settle migrates, makes a token, starts Keyturn and fills the catalog.
func (l *lab) settle() {
	l.t.Helper()
	api := fmt.Sprintf("http://127.0.0.1:%d", l.ports.api)
	l.env = []string{
		"KEYTURN_DEVELOPMENT=1", "KEYTURN_DATABASE_URL=" + l.postgres.DSN("keyturn"), "KEYTURN_KEYS=" +
			filepath.Join(l.dir, "keys.json"),
		"KEYTURN_API=" + api, "TEMPORAL_ADDRESS=" + l.temporal.Address(),
	}
	must(l.t, l.env, "keys", "create", filepath.Join(l.dir, "keys.json"))
	must(l.t, l.env, "migrate")
	token := must(l.t, l.env, "token", "create", "chaos", "--scope",
		"orders:write,orders:read,catalog:write,keys:write,ops,checkout:write,checkout:read")
	l.env = append(l.env, "KEYTURN_TOKEN="+token)
	l.api = &client.Client{BaseURL: api, Token: token}
	var err error
	l.direct, err = sql.Open("postgres", l.postgres.DSN("keyturn"))
	require.NoError(l.t, err)
	keys, err := vault.LoadKeys(filepath.Join(l.dir, "keys.json"))
	require.NoError(l.t, err)
	l.books, err = db.Open(context.Background(), l.postgres.DSN("keyturn"), keys)
	require.NoError(l.t, err)
	for _, name := range keyturns {
		l.parts[name].start()
	}
	l.ready()
	l.shop.studio = studioSources[0]
	require.True(l.t, l.applyCatalog())
	_, err = l.direct.Exec(`UPDATE webhooks SET updated_at = updated_at - interval '1 hour'`) // the audit expects all of it
	require.NoError(l.t, err)
	l.stockUp("CANARYPOOL", labKeys)
	l.load = newShoppers(l)
}

// stockUp imports new keys.
func (l *lab) stockUp(prefix string, n int) {
	l.t.Helper()
	for at := 0; at < n; {
		end := n
		if at < smallBatch*smallBatches {
			end = min(n, at+smallBatch)
		}
		var keys strings.Builder
		for ; at < end; at++ {
			fmt.Fprintf(&keys, "%s-%06d\n", prefix, at)
		}
		_, err := l.api.ImportKeys(context.Background(), "editor-keys", strings.NewReader(keys.String()),
			client.ImportOptions{})
		require.NoError(l.t, err)
	}
}

func (l *lab) ready() {
	l.t.Helper()
	start := time.Now()
	for {
		_, err := l.api.Health(context.Background())
		if err == nil {
			return
		}
		if time.Since(start) > time.Minute {
			l.t.Fatalf("the API is not ready after a minute: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rng is one lane's share of the seed.
func (l *lab) rng(lane int) *rand.Rand { return rand.New(rand.NewSource(l.seed*1000 + int64(lane))) }

func (l *lab) close() {
	l.mu.Lock()
	for _, p := range l.process {
		_ = syscall.Kill(p.pid(), syscall.SIGCONT)
		p.kill()
	}
	pg, temporal := l.postgres, l.temporal
	l.mu.Unlock()
	for _, c := range []interface{ Close() error }{l.direct, l.books} {
		if l.books != nil {
			_ = c.Close()
		}
	}
	for _, all := range l.proxies {
		for _, p := range all {
			_ = p.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if temporal != nil {
		_ = temporal.Stop(ctx)
	}
	if pg != nil {
		_ = pg.Stop(ctx)
	}
	_ = l.stack.Close()
	if l.t.Failed() && l.mount != "" { // the folder is kept, the disk is memory
		_ = os.Remove(filepath.Join(l.mount, "ballast"))
	}
	if l.mount != "" {
		_ = syscall.Unmount(l.mount, 0)
	}
	if l.t.Failed() {
		l.t.Logf("logs, journals and mailbox are kept in %s", l.dir)
		return
	}
	_ = os.RemoveAll(l.dir)
	if pg != nil {
		_ = os.RemoveAll(pg.Home())
	}
}

const labCatalog = `
integrations:
  - {id: good, baseUrl: "{PARTNER}/p/good", auth: {type: basic, username: canary-shop,
	password: {env: CANARY_PASSWORD}}, limits: {timeout: 3s}}
  - {id: better, baseUrl: "{PARTNER}/p/better", auth: {type: basic, username: canary-shop,
	password: {env: CANARY_PASSWORD}}, limits: {timeout: 3s}}
  - {id: slow, baseUrl: "{PARTNER}/p/slow", auth: {type: bearer, token: {env: CANARY_BEARER}}, limits: {timeout: 4s}}
  - {id: flaky, baseUrl: "{PARTNER}/p/flaky", limits: {timeout: 3s}}
  - {id: gone, baseUrl: "{PARTNER}/p/gone", limits: {timeout: 3s}}
  - {id: lost, baseUrl: "{PARTNER}/p/lost", limits: {timeout: 1s}}
pools:
  - {id: editor-keys, threshold: 5}
  - {id: empty}
products:
  - id: editor
    name: Editor
    sources: [{type: pool, pool: editor-keys}]
    retry: &soon {schedule: [300ms, 1s], giveUpAfter: 15m}
  - id: studio
    name: Studio
    sources: [{type: endpoint, integration: "{STUDIO}"}]
    retry: *soon
  - id: wallpaper
    name: Wallpaper
    sources: [{type: dynamicurl, url: "{PARTNER}/dynamic"}]
    retry: *soon
  - id: render
    name: Render
    publisherProductId: REN-drill:fail-2-then-ok
    sources: [{type: endpoint, integration: flaky}]
    retry: {schedule: [300ms, 1s], giveUpAfter: 3m} # what waits for a partner that fails so often ends before quietMost
  - id: sluggish
    name: Sluggish
    publisherProductId: SLU-drill:slow:700ms
    sources: [{type: endpoint, integration: slow}]
    retry: *soon
  - id: ghost
    name: Ghost
    publisherProductId: GHO-drill:always-500
    sources: [{type: endpoint, integration: gone}]
    retry: {schedule: [500ms, 1s], giveUpAfter: 4s}
  - id: lost
    name: Lost
    publisherProductId: LOS-drill:timeout-after-issuing
    sources: [{type: endpoint, integration: lost}]
    retry: {schedule: [500ms, 1s], giveUpAfter: 4s}
  - id: soldout
    name: Sold out
    sources: [{type: pool, pool: empty}]
    retry: {schedule: [300ms], giveUpAfter: 1s}
`
