package survive_test

import (
	"context"
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

	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/vault"
)

// receivers are the shop's receivers of events, as a process of its own.
type receivers struct {
	s       *site
	addr    string
	journal string
	process *process
}

func (s *site) startReceivers() *receivers {
	s.t.Helper()
	r := &receivers{
		s: s, addr: fmt.Sprintf("127.0.0.1:%d", freePorts(s.t, 1)), journal: filepath.Join(s.dir, "hooks.jsonl"),
	}
	r.start()
	text := strings.ReplaceAll(hooksCatalog, "{HOOKS}", "http://"+r.addr)
	file := filepath.Join(s.dir, "hooks.yaml")
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o600))
	must(s.t, append(s.env[:len(s.env):len(s.env)], "SURVIVE_HOOK="+hooksSecret), "apply", "-f", file)
	_, err := s.sql.Exec(`UPDATE webhooks SET updated_at = updated_at - interval '1 hour'`) // the audit expects all of it
	require.NoError(s.t, err)
	return r
}

func (r *receivers) start(more ...string) {
	r.s.t.Helper()
	self, err := os.Executable()
	require.NoError(r.s.t, err)
	env := append([]string{roleEnv + "=hooks", roleAddrEnv + "=" + r.addr, roleDirEnv + "=" + r.journal}, more...)
	r.process = superviseProgram(r.s.t, nil, self, "hooks", r.s.dir, env)
	r.s.within(time.Minute, "the receivers listen", func() string {
		if dials(r.addr) {
			return ""
		}
		return r.addr
	})
}

// freeze stops a worker for a while, in the middle of whatever it does.
func (s *site) freeze(name string, pause time.Duration) {
	s.mu.Lock()
	p := s.process[name]
	s.mu.Unlock()
	p.signal(syscall.SIGSTOP)
	time.Sleep(pause)
	p.signal(syscall.SIGCONT)
}

// Workers, PostgreSQL and the receivers are killed while orders come in, and receivers hang and answer nonsense: each
// event arrives, none with other bytes, and the audit finds nothing.
func TestEachEventArrivesWhateverDies(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewSource(seed(t)))
	s := newSite(t)
	r := s.startReceivers()
	s.startKeyturn("worker-1")
	s.startKeyturn("worker-2")
	l := newLoad(s, true)
	rounds, frozen := 1, 2*time.Second
	if long {
		rounds, frozen = 8, 40*time.Second // longer than a worker has an event to itself
	}
	var victims []string
	for range rounds {
		round := []string{"worker-1", "worker-2", "postgres", "hooks", "stop worker-2", "freeze worker-1"}
		rng.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		victims = append(victims, round...)
	}
	orders := orderMix(rng, 40*rounds, "TOLD")
	var placing sync.WaitGroup
	placing.Go(func() { l.place(orders, time.Duration(rounds)*8*time.Second) })
	for _, victim := range victims {
		time.Sleep(time.Duration(300+rng.Intn(900)) * time.Millisecond)
		what, name, found := strings.Cut(victim, " ")
		switch {
		case victim == "hooks":
			r.process.kill()
			r.start()
		case !found:
			s.kill(victim)
			s.restart(victim)
		case what == "stop":
			s.stop(name)
			s.restart(name)
		default:
			s.freeze(name, frozen)
		}
		t.Logf("%s is over", victim)
	}
	placing.Wait()
	s.ready()
	s.quiesce(quietWithin)
	r.process.kill()
	r.start(hooksCalmEnv + "=1")
	s.within(quietWithin, "events are on their way", func() string {
		if err := hurryHooks(s.sql); err != nil {
			return err.Error()
		}
		time.Sleep(time.Second)
		switch n, err := hooksLeft(s.sql); {
		case err != nil:
			return err.Error()
		case n > 0:
			return fmt.Sprint(n)
		}
		return ""
	})
	came, err := readHooks(r.journal)
	require.NoError(t, err)
	wrong, events, tries, err := checkHooks(s.sql, came)
	require.NoError(t, err)
	require.Empty(t, wrong)
	require.Greater(t, events["good"], 3*len(orders))
	require.Equal(t, events["good"], events["flaky"])
	require.Greater(t, tries["flaky"], events["flaky"], "it failed now and then")
	t.Logf("%d events; %d requests to the good receiver, %d to the flaky one", events["good"], tries["good"],
		tries["flaky"])
	s.auditEvents()
	s.audit(l)
}

// auditEvents requires that the invariants of events hold.
func (s *site) auditEvents() {
	s.t.Helper()
	keys, err := vault.LoadKeys(filepath.Join(s.dir, "keys.json"))
	require.NoError(s.t, err)
	books, err := db.Open(context.Background(), s.postgres.DSN("keyturn"), keys)
	require.NoError(s.t, err)
	defer books.Close()
	report, err := audit.Run(context.Background(), audit.Evidence{DB: books, Slack: 2 * time.Minute})
	require.NoError(s.t, err)
	checked := 0
	for _, res := range report.Invariants {
		if strings.HasPrefix(res.ID, "N") {
			checked++
			require.Empty(s.t, res.Listed, "%s: %s", res.ID, res.Meaning)
		}
	}
	require.Equal(s.t, 4, checked)
}
