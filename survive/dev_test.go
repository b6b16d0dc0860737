package survive_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/internal/testkit"
)

// devPorts are those of `keyturn dev` without an offset.
var devPorts = []int{8080, 7233, 8233, 8025, 1025, 8090, 5433, 9464, 8091, 8092, 2525}

// freeOffset finds an offset at which `keyturn dev` can run. No two of its ports are a multiple of 89 apart, so that
// one test's port is none of another's.
func freeOffset(t *testing.T) int {
	t.Helper()
	for range 200 {
		offset := 20_000 + int(nextPorts.Add(1)*89+int64(os.Getpid()))%2_500 // above the ports of freePorts
		var ports []devstack.Port
		for _, p := range devPorts {
			ports = append(ports, devstack.Port{Name: "a test", Number: p + offset})
		}
		if devstack.CheckPorts(0, ports...) == nil {
			return offset
		}
	}
	t.Fatal("there are no free ports")
	return 0
}

// devDir is a data directory that PostgreSQL's user can reach.
func devDir(t *testing.T) string {
	t.Helper()
	dir, err := testkit.Folder("keyturn-survive-dev-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// dev is `keyturn dev` on a data directory.
type dev struct {
	*process
	offset int
	from   int // where the output of this run begins
}

func startDev(t *testing.T, dir string, offset int, args ...string) *dev {
	t.Helper()
	before, _ := os.ReadFile(filepath.Join(dir, "dev.log"))
	args = append([]string{"dev", "--data-dir", filepath.Join(dir, "data"), "--port-offset", strconv.Itoa(offset)},
		args...)
	return &dev{process: run(t, "dev", dir, nil, args...), offset: offset, from: len(before)}
}

func (d *dev) text() string { return d.output()[d.from:] }

// await waits for a line of its own.
func (d *dev) await(line string, within time.Duration) {
	d.t.Helper()
	start := time.Now()
	for !strings.Contains("\n"+d.text(), "\n"+line+"\n") {
		select {
		case <-d.done:
			d.t.Fatalf("dev ended before it printed %q:\n%s", line, d.text())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(start) > within {
			d.t.Fatalf("dev did not print %q within %s:\n%s", line, within, d.text())
		}
	}
	d.t.Logf("%q after %s", line, seconds(time.Since(start)))
}

// offspring are the processes that descend from the process, by /proc.
func offspring(t *testing.T, pid int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// requireNothingLeft waits for the end of what the process had started, and for its ports.
func (d *dev) requireNothingLeft(was []int) {
	d.t.Helper()
	require.GreaterOrEqual(d.t, len(was), 3, "PostgreSQL, a child of it, and Temporal ran")
	deadline := time.Now().Add(10 * time.Second)
	for {
		var left []string
		for _, pid := range was {
			if syscall.Kill(pid, 0) == nil {
				left = append(left, strconv.Itoa(pid))
			}
		}
		for _, p := range devPorts {
			if conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p+d.offset), time.Second); err == nil {
				_ = conn.Close()
				left = append(left, fmt.Sprintf("port %d", p+d.offset))
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("still there: %s", strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *dev) client(token string) *client.Client {
	return &client.Client{BaseURL: fmt.Sprintf("http://127.0.0.1:%d", 8080+d.offset), Token: token}
}

func TestDevKeepsItsStateAndLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	dir, offset, ctx := devDir(t), freeOffset(t), context.Background()

	d := startDev(t, dir, offset, "--token", "sesame")
	d.await("ready", 3*time.Minute)
	for name, port := range map[string]int{"API": 8080, "Web UI": 8233, "inbox": 8025, "emulator": 8090} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			fmt.Sprintf("http://127.0.0.1:%d/", port+offset), nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err, "%s serves when dev says ready", name)
		_ = answer.Body.Close()
	}
	_, err := d.client("dev").Orders(ctx, "", "", 0)
	require.Equal(t, keyturn.KindUnauthorized, keyturn.KindOf(err), "only the token that was given is taken: %v", err)
	var page keyturn.OrderPage
	d.within(time.Minute, "some of the samples are decided, some are under way", func() string {
		var err error
		if page, err = d.client("sesame").Orders(ctx, "", "", 0); err != nil {
			return err.Error()
		}
		for _, o := range page.Orders {
			if len(page.Orders) == 5 && o.Status.Final() {
				return ""
			}
		}
		return "fewer than five are there, or none is decided"
	})
	require.Len(t, page.Orders, 5)
	was := offspring(t, d.pid())
	code, took := d.end(syscall.SIGTERM, time.Minute)
	require.Equal(t, 0, code, d.text())
	d.requireNothingLeft(was)
	t.Logf("ended %s after SIGTERM in the middle of the samples", seconds(took))

	restarted := time.Now()
	d = startDev(t, dir, offset, "--no-samples")
	d.await("ready", 3*time.Minute)
	require.NotContains(t, d.text(), "placing sample orders")
	again, err := d.client("dev").Orders(ctx, "", "", 0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(again.Orders), len(page.Orders), "the orders of the first run are there")
	for _, o := range again.Orders { // the first run may have placed one more after the page was read
		require.True(t, o.CreatedAt.Before(restarted), "no new ones: %+v", o)
	}
	was = offspring(t, d.pid())
	d.kill()
	d.requireNothingLeft(was)
	t.Log("kill -9 left nothing")

	d = startDev(t, dir, offset, "--no-samples")
	d.await("ready", 3*time.Minute)
	d.within(3*time.Minute, "the samples of the first run come to their end over both restarts", func() string {
		page, err := d.client("dev").Orders(ctx, "", "", 0)
		if err != nil {
			return err.Error()
		}
		for _, o := range page.Orders {
			if !o.Status.Final() {
				return o.ID + " is " + string(o.Status)
			}
		}
		return ""
	})
	was = offspring(t, d.pid())
	code, took = d.end(syscall.SIGINT, time.Minute)
	require.Equal(t, 0, code, d.text())
	d.requireNothingLeft(was)
	t.Logf("ended %s after Ctrl-C", seconds(took))
}

// within polls until still is empty.
func (d *dev) within(most time.Duration, what string, still func() string) {
	d.t.Helper()
	(&site{t: d.t}).within(most, what, still)
}

// `keyturn dev` that was interrupted while it started leaves nothing behind, and starts again. While it runs, or anything
// else is in its way, another says what that is.
func TestDevIsInterruptedWhileItStartsAndSaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	dir, offset := devDir(t), freeOffset(t)
	for _, after := range []time.Duration{
		250 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond,
		1500 * time.Millisecond,
	} {
		d := startDev(t, dir, offset)
		time.Sleep(after)
		was := offspring(t, d.pid())
		code, took := d.end(syscall.SIGINT, time.Minute)
		early := code == -1 && d.silent() // the signal came before main did: nothing was begun
		require.True(t, code == 0 || early, "interrupted after %s, ended with code %d: %s", after, code, d.text())
		require.NotContains(t, d.text(), "keyturn: ", "who stops it hears of no failure")
		d.offsetFree(was)
		t.Logf("interrupted after %s, ended %s later", after, seconds(took))
	}
	d := startDev(t, dir, offset, "--no-samples")
	d.await("ready", 3*time.Minute)
	d.requireInTheWay(dir)
	was := offspring(t, d.pid())
	code, _ := d.end(syscall.SIGINT, time.Minute)
	require.Equal(t, 0, code, d.text())
	d.requireNothingLeft(was)
	requireOthersInTheWay(t, dir, offset)
}

// offsetFree is requireNothingLeft for a start that may not have got far.
func (d *dev) offsetFree(was []int) {
	d.t.Helper()
	d.requireNothingLeft(append(was, 1<<30, 1<<30, 1<<30)) // no such processes
}

// refusedDev runs `keyturn dev` that is to refuse, and gives the sentence that it says.
func refusedDev(t *testing.T, args ...string) string {
	t.Helper()
	start := time.Now()
	_, said, code := command(t, nil, append([]string{"dev"}, args...)...)
	require.Equal(t, 1, code, said)
	require.Equal(t, 1, strings.Count(strings.TrimSpace(said), "\n")+1, "one sentence, not %q", said)
	t.Logf("after %s: %s", seconds(time.Since(start)), strings.TrimSpace(said))
	return said
}

// requireInTheWay requires that another says that this one has the data directory, and the ports.
func (d *dev) requireInTheWay(dir string) {
	t := d.t
	t.Helper()
	said := refusedDev(t, "--data-dir", filepath.Join(dir, "data"), "--port-offset", strconv.Itoa(freeOffset(t)))
	require.Contains(t, said, fmt.Sprintf("is in use by the process with PID %d", d.pid()))
	require.Contains(t, said, "--data-dir and --port-offset", "the way out")

	said = refusedDev(t, "--data-dir", filepath.Join(devDir(t), "other"), "--port-offset", strconv.Itoa(d.offset))
	require.Contains(t, said, fmt.Sprintf("%d (API)", 8080+d.offset))
	require.Contains(t, said, "are taken on 127.0.0.1 by other programs; stop them, or run with --port-offset ")
}

// requireOthersInTheWay requires a sentence for a port, a file and a folder that are in the way.
func requireOthersInTheWay(t *testing.T, dir string, offset int) {
	t.Helper()
	one, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 1025+offset))
	require.NoError(t, err)
	defer one.Close()
	said := refusedDev(t, "--data-dir", filepath.Join(dir, "data"), "--port-offset", strconv.Itoa(offset))
	require.Contains(t, said, fmt.Sprintf("port %d (SMTP) is taken on 127.0.0.1", 1025+offset))

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	said = refusedDev(t, "--data-dir", filepath.Join(file, "data"), "--port-offset", strconv.Itoa(freeOffset(t)))
	require.Contains(t, said, "choose another with --data-dir")

	half := filepath.Join(devDir(t), "data")
	require.NoError(t, os.MkdirAll(filepath.Join(half, "postgres", "data", "base"), 0o711))
	require.NoError(t, os.Chmod(half, 0o711))
	said = refusedDev(t, "--data-dir", half, "--port-offset", strconv.Itoa(freeOffset(t)))
	require.Contains(t, said,
		"is not a complete PostgreSQL data directory (it has no PG_VERSION); move it away or delete it, and start again")

	require.NoError(t, os.RemoveAll(filepath.Join(half, "postgres")))
	require.NoError(t, os.WriteFile(filepath.Join(half, "keys.json"), []byte("{"), 0o600))
	said = refusedDev(t, "--data-dir", half, "--port-offset", strconv.Itoa(freeOffset(t)))
	require.Contains(t, said, "keys.json")
}
