package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
)

// Process is a child program under supervision. It has a process group of its own, so that Ctrl-C reaches us and not
// the child, and on Linux the kernel ends it when we are killed. Its output goes to a log file.
type Process struct {
	name     string // for people
	log      string
	logStart int64 // where the output of this run begins
	cmd      *exec.Cmd
	stopping atomic.Bool
	done     chan struct{}
	err      error // why it ended; set before done is closed
}

// command says what to run.
type command struct {
	name   string
	path   string
	args   []string
	env    []string // added to ours
	dir    string
	user   *owner // nil: as ourselves
	log    string
	orphan syscall.Signal // what the child gets when we die without stopping it
}

func startProcess(c command) (*Process, error) {
	log, start, err := openLog(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor

	// No context: the child outlives the call that starts it, and Stop decides how it ends.
	cmd := exec.Command(c.path, c.args...) //nolint:gosec,noctx // see above; the paths are found, not given
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = childAttributes(c.orphan, c.user)
	p := &Process{name: c.name, log: c.log, logStart: start, cmd: cmd, done: make(chan struct{})}

	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread that forked ends, so this goroutine keeps its thread as long as
		// the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

// PID is the process ID of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile is where the child's output goes.
func (p *Process) LogFile() string { return p.log }

// Done is closed when the child has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// endedError is the end of a process that nobody asked to end.
type endedError string

func (e endedError) Error() string { return string(e) }

// Err is nil while the child runs and after it was asked to stop; otherwise it says how the child ended, with the last
// lines of its log.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.stopping.Load() {
		return nil
	}
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return endedError(fmt.Sprintf("%s (PID %d) ended unexpectedly: %s; its log %s ends with:\n%s", p.name, p.PID(), how,
		p.log, p.lastLines(12)))
}

// Kill ends the child at once, as a crash would, and waits until it is gone. It is for tests of crashes.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.done
}

// stop sends the signal and waits; when ctx ends first, it kills the child's whole process group.
func (p *Process) stop(ctx context.Context, signal syscall.Signal) error {
	p.stopping.Store(true)
	_ = p.cmd.Process.Signal(signal) // an error means that it has ended
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.done
	return fmt.Errorf("%s did not stop in time and was killed; its log is %s", p.name, p.log)
}

// lastLines returns the end of what this run has logged.
func (p *Process) lastLines(n int) string {
	const most = 16 << 10
	f, err := os.Open(p.log)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	defer f.Close()
	from := p.logStart
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-most)
	}
	text, _ := io.ReadAll(io.NewSectionReader(f, from, most))
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// openLog appends, and starts a new file when the old one has grown large.
func openLog(path string) (*os.File, int64, error) {
	const large = 16 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > large {
		_ = os.Rename(path, path+".old") // failing that, it grows on
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("open the log: %w", err)
	}
	return f, info.Size(), nil
}
