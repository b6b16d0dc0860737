//go:build chaos

package survive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"keyturn.dev/keyturn/devstack"
)

// part is a part of the lab that can be killed, frozen and started again. Whoever does so holds it.
type part struct {
	name  string
	held  sync.Mutex
	start func()
	kill  func()
	pids  func() []int
}

func (l *lab) allParts() map[string]*part {
	out := map[string]*part{
		"postgres": {
			start: l.startPostgres, kill: func() { l.current().postgres.Kill() },
			pids: func() []int { return family(l.current().postgres.PID()) },
		},
		"temporal": {
			start: l.startTemporal, kill: func() { l.current().temporal.Kill() },
			pids: func() []int { return []int{l.current().temporal.PID()} },
		},
	}
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	out["mail server"] = l.neighbour("mail server", "mail", at(l.ports.smtp), filepath.Join(l.dir, "mailbox"))
	out["partner"] = l.neighbour("partner", "partner", at(l.ports.partner), filepath.Join(l.dir, "partner"))
	out["payment provider"] = l.neighbour("payment provider", "payment", at(l.ports.payment),
		filepath.Join(l.dir, "payments.jsonl"))
	out["receivers"] = l.neighbour("receivers", "hooks", at(l.ports.hooks), filepath.Join(l.dir, "hooks.jsonl"))
	for _, name := range keyturns {
		out[name] = l.ofProcess(name, func() { l.startKeyturn(name, binary) })
	}
	for name, p := range out {
		p.name = name
	}
	return out
}

type servers struct {
	postgres *devstack.Postgres
	temporal *devstack.Temporal
}

func (l *lab) current() servers {
	l.mu.Lock()
	defer l.mu.Unlock()
	return servers{l.postgres, l.temporal}
}

// startPostgres starts it again for as long as that takes: a disk that was full a moment ago is free by then.
func (l *lab) startPostgres() {
	var pg *devstack.Postgres
	l.insist("PostgreSQL", func() (err error) {
		pg, err = devstack.StartPostgres(context.Background(), l.stack, devstack.PostgresOptions{
			Port: l.ports.postgres,
			// Only a machine's end loses what the kernel has. WAL has little room on a small disk.
			Settings: map[string]string{
				"fsync": "off", "max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "64MB",
				"wal_level": "replica", "max_wal_senders": "4",
			},
		})
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.postgres = pg
}

func (l *lab) startTemporal() {
	var temporal *devstack.Temporal
	l.insist("Temporal", func() (err error) {
		temporal, err = devstack.StartTemporal(context.Background(), l.stack,
			devstack.TemporalOptions{Port: l.ports.temporal, UIPort: l.ports.temporalUI})
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.temporal = temporal
}

func (l *lab) insist(what string, start func() error) {
	var err error
	for range 5 {
		if err = start(); err == nil {
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
	l.t.Errorf("%s does not start any more: %v", what, err)
}

func (l *lab) ofProcess(name string, start func()) *part {
	get := func() *process {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.process[name]
	}
	return &part{start: start, kill: func() { get().kill() }, pids: func() []int { return []int{get().pid()} }}
}

func (l *lab) neighbour(name, role, addr, dir string) *part {
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	return l.ofProcess(name, func() {
		env := []string{roleEnv + "=" + role, roleAddrEnv + "=" + addr, roleDirEnv + "=" + dir, rolePageEnv + "=" +
			fmt.Sprintf("127.0.0.1:%d", l.ports.inbox)}
		if l.calm {
			env = append(env, hooksCalmEnv+"=1")
		}
		p := superviseProgram(l.t, nil, self, strings.ReplaceAll(name, " ", "-"), l.dir, env)
		l.mu.Lock()
		l.process[name] = p
		l.mu.Unlock()
		l.listens(addr)
	})
}

// startKeyturn starts api or a worker, of this build or another, with more in its environment.
func (l *lab) startKeyturn(name, program string, more ...string) {
	verb, _, _ := strings.Cut(name, "-")
	var p *process
	p = superviseProgram(l.t, func() {
		l.mu.Lock()
		current := l.process[name] == p && !p.wanted.Load()
		l.mu.Unlock()
		if current {
			l.startKeyturn(name, program, more...)
		}
	}, program, name, l.dir, append(l.envOf(name), more...), verb)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process[name] = p
}

// stopKeyturn asks it to end, as a deploy does.
func (l *lab) stopKeyturn(name string) {
	l.mu.Lock()
	p := l.process[name]
	l.mu.Unlock()
	const signalled = -1 // it had only just begun, and did not listen yet
	if code, took := p.end(syscall.SIGTERM, 45*time.Second); code != 0 && code != signalled &&
		!strings.HasPrefix(p.lastLines(1), databaseDown) {
		l.t.Errorf("%s, asked to end, ended after %s with code %d:\n%s", name, took, code, p.lastLines(10))
	}
}

func (l *lab) listens(addr string) {
	for range 200 {
		if dials(addr) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	l.t.Errorf("nobody listens on %s", addr)
}

// family is a process and its children: those of PostgreSQL serve a connection each.
func family(pid int) []int {
	out := []int{pid}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none, if it is gone
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// freeze stops a part's processes; thaw lets them go on.
func (p *part) freeze() (thaw func()) {
	pids := p.pids()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}
