package devstack_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack"
)

func TestKillingTheParentLeavesNoServerBehind(t *testing.T) {
	t.Parallel()
	path := reachable(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), runStackEnv+"="+path)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	var postgres, temporal int
	_, err = fmt.Sscanf(lines.Text(), "ready %d %d", &postgres, &temporal)
	require.NoError(t, err, lines.Text())

	_, err = devstack.Open(path)
	require.ErrorContains(t, err, fmt.Sprintf("is in use by the process with PID %d; stop that one", parent.Process.Pid))

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	for deadline := time.Now().Add(time.Minute); running(t, path) > 0; time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "processes of the killed parent are still there")
	}

	dir, err := devstack.Open(path)
	require.NoError(t, err, "the lock went with its holder")
	defer func() { require.NoError(t, dir.Close()) }()
	startPostgres(t, dir)
	startTemporal(t, dir)
}

// running counts the processes that work in the data directory.
func running(t *testing.T, path string) int {
	t.Helper()
	found, err := fs.Glob(os.DirFS("/proc"), "[0-9]*/cwd")
	require.NoError(t, err)
	count := 0
	for _, link := range found {
		if cwd, err := os.Readlink("/proc/" + link); err == nil && strings.HasPrefix(cwd, path) {
			count++
		}
	}
	return count
}

func TestCheckPortsNamesAllThatAreTaken(t *testing.T) {
	t.Parallel()
	var ports []devstack.Port
	for _, name := range []string{"API", "Temporal", "mail inbox"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		ports = append(ports, devstack.Port{Name: name, Number: l.Addr().(*net.TCPAddr).Port})
	}
	free, err := devstack.FreePort()
	require.NoError(t, err)
	ports = append(ports, devstack.Port{Name: "SMTP", Number: free})

	err = devstack.CheckPorts(0, ports...)
	require.ErrorContains(t, err,
		fmt.Sprintf("ports %d (API), %d (Temporal) and %d (mail inbox) are taken on 127.0.0.1 by other programs; stop "+
			"them, or run with --port-offset ",
			ports[0].Number, ports[1].Number, ports[2].Number))
	require.NotContains(t, err.Error(), "SMTP")

	var offset int
	_, scanErr := fmt.Sscanf(err.Error()[strings.Index(err.Error(), "--port-offset"):], "--port-offset %d,", &offset)
	require.NoError(t, scanErr)
	for i := range ports {
		ports[i].Number += offset
	}
	require.NoError(t, devstack.CheckPorts(offset, ports...), "the proposed offset works")
}
