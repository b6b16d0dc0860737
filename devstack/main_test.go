package devstack_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack"
)

// runStackEnv makes the test binary a program that starts both servers in the folder it names and waits to be killed.
const runStackEnv = "KEYTURN_DEVSTACK_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runStackEnv); dir != "" {
		runStack(dir)
	}
	os.Exit(m.Run())
}

func runStack(path string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := devstack.Open(path)
	exitOn(err)
	pg, err := devstack.StartPostgres(ctx, dir, devstack.PostgresOptions{})
	exitOn(err)
	temporal, err := devstack.StartTemporal(ctx, dir, devstack.TemporalOptions{})
	exitOn(err)
	fmt.Fprintln(os.Stdout, "ready", pg.PID(), temporal.PID())
	time.Sleep(time.Minute)
	os.Exit(0)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stdout, "failed", err)
		os.Exit(1)
	}
}

// reachable is a temporary folder that PostgreSQL's user can reach when we are root.
func reachable(t *testing.T) string {
	t.Helper()
	path := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o711))
	return path
}

func open(t *testing.T) *devstack.Dir {
	t.Helper()
	dir, err := devstack.Open(reachable(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	return dir
}

func startPostgres(t *testing.T, dir *devstack.Dir) *devstack.Postgres {
	t.Helper()
	pg, err := devstack.StartPostgres(t.Context(), dir,
		devstack.PostgresOptions{Settings: map[string]string{"fsync": "off"}})
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, pg) })
	return pg
}

func startTemporal(t *testing.T, dir *devstack.Dir) *devstack.Temporal {
	t.Helper()
	temporal, err := devstack.StartTemporal(t.Context(), dir, devstack.TemporalOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, temporal) })
	return temporal
}

func stop(t *testing.T, server interface{ Stop(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, server.Stop(ctx))
}
