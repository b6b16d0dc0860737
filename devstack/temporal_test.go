package devstack_test

import (
	"net"
	"os"
	"path/filepath"
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
	run, err := dial(t, temporal).ExecuteWorkflow(t.Context(),
		client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Anything")
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
	_, err = devstack.StartTemporal(t.Context(), open(t),
		devstack.TemporalOptions{UIPort: taken.Addr().(*net.TCPAddr).Port})
	require.ErrorContains(t, err,
		"(Temporal Web UI) is taken on 127.0.0.1 by other programs; stop them, or run with --port-offset")
}

func TestTemporalThatDiesAtTheStartShowsItsLog(t *testing.T) {
	t.Parallel()
	_, err := devstack.StartTemporal(t.Context(), open(t), devstack.TemporalOptions{Program: "/bin/false"})
	require.ErrorContains(t, err, "ended unexpectedly: exit status 1")
}

// A server that lost one of its ports to somebody else ends at its start.
func TestTemporalThatEndsAtItsStartIsStartedAgain(t *testing.T) {
	t.Parallel()
	real, err := filepath.Abs("../bin/temporal")
	require.NoError(t, err)
	tried := filepath.Join(t.TempDir(), "tried")
	script := filepath.Join(t.TempDir(), "temporal")
	for _, c := range []struct {
		what, end string
		starts    bool
	}{
		{"once", "[ -e " + tried + " ] || { touch " + tried + "; echo address already in use; exit 1; }", true},
		{"always", "echo address already in use; exit 1", false},
	} {
		require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"+c.end+"\nexec "+real+` "$@"`+"\n"), 0o700))
		temporal, err := devstack.StartTemporal(t.Context(), open(t),
			devstack.TemporalOptions{Program: script})
		require.Equal(t, c.starts, err == nil, "%s: %v", c.what, err)
		if err == nil {
			stop(t, temporal)
		} else {
			require.ErrorContains(t, err, "address already in use")
		}
	}
}
