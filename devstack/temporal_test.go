package devstack_test

import (
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/devstack"
)

func dial(t *testing.T, temporal *devstack.Temporal) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: temporal.Address()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestTemporalKeepsItsWorkflowsOverARestartAndACrash(t *testing.T) {
	t.Parallel()
	dir := open(t)
	temporal := startTemporal(t, dir)
	run, err := dial(t, temporal).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Anything")
	require.NoError(t, err)
	stop(t, temporal)
	require.NoError(t, temporal.Err())

	for range 2 { // first over a clean end, then over a crash
		temporal = startTemporal(t, dir)
		found, err := dial(t, temporal).DescribeWorkflowExecution(t.Context(), "kept", "")
		require.NoError(t, err)
		require.Equal(t, run.GetRunID(), found.GetWorkflowExecutionInfo().GetExecution().GetRunId())
		temporal.Kill()
		require.ErrorContains(t, temporal.Err(), "Temporal (PID "+strconv.Itoa(temporal.PID())+") ended unexpectedly")
	}
}

// The server takes any file for a complete database; one that was killed while it made the tables would never start.
func TestTemporalStartsOverAHalfMadeDatabase(t *testing.T) {
	t.Parallel()
	dir := open(t)
	require.NoError(t, os.WriteFile(dir.Path("temporal.db"), nil, 0o600))
	startTemporal(t, dir)
}

func TestTemporalRefusesATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = devstack.StartTemporal(t.Context(), open(t), devstack.TemporalOptions{UIPort: taken.Addr().(*net.TCPAddr).Port})
	require.ErrorContains(t, err, "(Temporal Web UI) is taken on 127.0.0.1 by other programs; stop them, or run with --port-offset")
}

func TestTemporalThatDiesAtTheStartShowsItsLog(t *testing.T) {
	t.Parallel()
	_, err := devstack.StartTemporal(t.Context(), open(t), devstack.TemporalOptions{Program: "/bin/false"})
	require.ErrorContains(t, err, "ended unexpectedly: exit status 1")
}
