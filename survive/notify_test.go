package survive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// tell ends the receivers' moods, and waits until each event has arrived.
func (r *receivers) tell() {
	r.s.t.Helper()
	r.process.kill()
	r.start(hooksCalmEnv + "=1")
	r.s.within(quietWithin, "events are on their way", func() string {
		if err := hurryHooks(r.s.sql); err != nil {
			return err.Error()
		}
		time.Sleep(time.Second)
		switch n, err := hooksLeft(r.s.sql); {
		case err != nil:
			return err.Error()
		case n > 0:
			return fmt.Sprint(n)
		}
		return ""
	})
}

// check requires that what came is what the books say of the orders.
func (r *receivers) check(orders int) {
	t := r.s.t
	t.Helper()
	came, err := readHooks(r.journal)
	require.NoError(t, err)
	wrong, events, tries, err := checkHooks(r.s.sql, came)
	require.NoError(t, err)
	require.Empty(t, wrong)
	require.Greater(t, events["good"], 3*orders)
	require.Equal(t, events["good"], events["flaky"])
	require.Greater(t, tries["flaky"], events["flaky"], "it failed now and then")
	t.Logf("%d events; %d requests to the good receiver, %d to the flaky one", events["good"], tries["good"],
		tries["flaky"])
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
