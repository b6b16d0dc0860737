package survive_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is one keyturn process.
type process struct {
	t      *testing.T
	name   string
	log    string
	from   int64 // where in log its own lines begin
	cmd    *exec.Cmd
	done   chan struct{}
	err    error // set before done is closed
	wanted atomic.Bool
	again  func() // starts another in its place; nil: nobody does
}

// databaseDown is how a process ends that starts while PostgreSQL is down: it "does not answer", or "did not answer"
// any more after it did.
const databaseDown = "keyturn: the database d"

// run starts keyturn with arguments; its output goes to a file that every process of that name appends to. One that
// ends before it is told to fails the test, but for one that finds no database at its start: whoever supervises it
// starts it again.
func run(t *testing.T, name, dir string, env []string, args ...string) *process {
	t.Helper()
	return supervise(t, nil, name, dir, env, args...)
}

// supervise is run with somebody who starts another process in place of one that found no database.
func supervise(t *testing.T, again func(), name, dir string, env []string, args ...string) *process {
	t.Helper()
	return superviseProgram(t, again, binary, name, dir, env, args...)
}

// superviseProgram is supervise for another program.
func superviseProgram(t *testing.T, again func(), program, name, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, log: dir + "/" + name + ".log", done: make(chan struct{}), again: again}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer out.Close()
	before, err := out.Stat()
	require.NoError(t, err)
	p.from = before.Size()
	p.cmd = exec.Command(program, args...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), env...), dir, out, out
	p.cmd.SysProcAttr = attributes()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with the thread that made it
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		if p.err != nil && p.again != nil && strings.HasPrefix(p.lastLines(1), databaseDown) {
			time.AfterFunc(300*time.Millisecond, p.again)
		} else if !p.wanted.Load() {
			t.Errorf("%s (PID %d) ended by itself: %v; its log ends with:\n%s", name, p.pid(), p.err, p.lastLines(15))
		}
		close(p.done)
	}()
	require.NoError(t, <-started)
	t.Cleanup(p.kill)
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

func (p *process) signal(s syscall.Signal) { require.NoError(p.t, p.cmd.Process.Signal(s)) }

// end sends a signal that asks the process to end, and gives its exit code and how long it took.
func (p *process) end(s syscall.Signal, within time.Duration) (code int, took time.Duration) {
	p.t.Helper()
	p.wanted.Store(true)
	start := time.Now()
	_ = p.cmd.Process.Signal(s) // it may be gone
	select {
	case <-p.done:
	case <-time.After(within):
		p.t.Errorf("%s did not end within %s of %s; its log ends with:\n%s", p.name, within, s, p.lastLines(15))
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(start)
}

// silent says that the process has not written a line: it had not begun yet.
func (p *process) silent() bool {
	info, err := os.Stat(p.log)
	return err == nil && info.Size() == p.from
}

func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	require.NoError(p.t, err)
	return string(text)
}

func (p *process) lastLines(n int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// command runs keyturn to its end and gives its output.
func command(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &out, &errs
	cmd.Dir = t.TempDir()
	err := cmd.Run()
	require.NotNil(t, cmd.ProcessState, "keyturn %s: %v", strings.Join(args, " "), err)
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is command for one that is to succeed.
func must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, errs, code := command(t, env, args...)
	require.Equal(t, 0, code, "keyturn %s: %s", strings.Join(args, " "), errs)
	return strings.TrimSpace(out)
}

func dials(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
