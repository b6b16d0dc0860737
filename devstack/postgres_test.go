package devstack_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack"
)

func query(t *testing.T, dsn, statement string) string {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var value string
	require.NoError(t, db.QueryRowContext(t.Context(), statement).Scan(&value))
	return value
}

func TestPostgresServes(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, open(t))

	require.NoError(t, pg.CreateDatabase(t.Context(), "shop"))
	require.NoError(t, pg.CreateDatabase(t.Context(), "shop"), "a second time is no error")
	require.Equal(t, "shop", query(t, pg.DSN("shop"), "SELECT current_database()"))
	require.Equal(t, "off", query(t, pg.DSN("shop"), "SHOW fsync"), "options win over the defaults")
	require.Equal(t, "200", query(t, pg.DSN("shop"), "SHOW max_connections"))
	require.Equal(t, "127.0.0.1", query(t, pg.DSN("shop"), "SHOW listen_addresses"))
}

func TestPostgresWantsThePassword(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, open(t))

	u, err := url.Parse(pg.DSN("postgres"))
	require.NoError(t, err)
	u.User = url.UserPassword("keyturn", "guess")
	db, err := sql.Open("postgres", u.String())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.ErrorContains(t, db.PingContext(t.Context()), "password authentication failed")
}

func TestPostgresKeepsItsStateOverARestartAndACrash(t *testing.T) {
	t.Parallel()
	dir := open(t)
	pg := startPostgres(t, dir)
	require.NoError(t, pg.CreateDatabase(t.Context(), "kept"))
	stop(t, pg)
	require.NoError(t, pg.Err(), "a server that was asked to stop did not die")

	pg = startPostgres(t, dir)
	require.Equal(t, "kept", query(t, pg.DSN("kept"), "SELECT current_database()"))
	pg.Kill()
	require.ErrorContains(t, pg.Err(), "ended unexpectedly: signal: killed")

	pg = startPostgres(t, dir) // at once: the children of the killed server may still be there
	require.Equal(t, "kept", query(t, pg.DSN("kept"), "SELECT current_database()"))
}

func TestPostgresStartsOverAnInitdbThatWasKilled(t *testing.T) {
	t.Parallel()
	dir := open(t)
	half := dir.Path("postgres", "data.new", "base")
	require.NoError(t, os.MkdirAll(half, 0o700))

	startPostgres(t, dir)
	require.NoDirExists(t, filepath.Dir(half))
}

func TestPostgresRemovesAStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := open(t)
	pg := startPostgres(t, dir)
	stop(t, pg)
	// The PID of a living process that is no PostgreSQL: ours.
	stale := fmt.Sprintf("%d\n%s\n", os.Getpid(), dir.Path("postgres", "data"))
	require.NoError(t, os.WriteFile(dir.Path("postgres", "data", "postmaster.pid"), []byte(stale), 0o600))

	startPostgres(t, dir)
}

func TestPostgresRefusesInOneSentence(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port

	for name, c := range map[string]struct {
		prepare func(t *testing.T, data string)
		port    int
		want    string
	}{
		"a folder with something else in it": {
			func(t *testing.T, data string) {
				require.NoError(t, os.WriteFile(filepath.Join(data, "holiday.jpg"), nil, 0o600))
			}, 0, "is not a complete PostgreSQL data directory (it has no PG_VERSION); move it away or delete it, and start " +
				"again",
		},
		"another major version": {
			func(t *testing.T, data string) {
				require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9.6\n"), 0o600))
			}, 0, "was made by PostgreSQL 9.6, and the newest programs on this machine are of version",
		},
		"a taken port": {
			func(*testing.T, string) {}, port, "port " + strconv.Itoa(port) + " for PostgreSQL is taken",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := open(t)
			data := dir.Path("postgres", "data")
			require.NoError(t, os.MkdirAll(data, 0o700))
			c.prepare(t, data)
			_, err := devstack.StartPostgres(t.Context(), dir, devstack.PostgresOptions{Port: c.port})
			require.ErrorContains(t, err, c.want)
		})
	}
}

// A project below /root is the usual case in a container: the user that PostgreSQL runs as cannot get there.
func TestPostgresOfRootLivesWhereItsUserReaches(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts PostgreSQL as another user")
	}
	private := filepath.Join(t.TempDir(), "private")
	require.NoError(t, os.Mkdir(private, 0o700))
	start := func() (*devstack.Postgres, string) {
		dir, err := devstack.Open(filepath.Join(private, "state"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, dir.Close()) })
		said := ""
		pg, err := devstack.StartPostgres(t.Context(), dir, devstack.PostgresOptions{Progress: func(s string) { said = s }})
		require.NoError(t, err)
		t.Cleanup(func() { stop(t, pg); require.NoError(t, os.RemoveAll(pg.Home())) })
		require.NoError(t, dir.Close())
		return pg, said
	}
	pg, said := start()
	require.Contains(t, said, "PostgreSQL keeps its data in /var/lib/keyturn-dev/")
	require.NoError(t, pg.CreateDatabase(t.Context(), "old"))
	stop(t, pg)

	pg, _ = start()
	require.Equal(t, "old", query(t, pg.DSN("old"), "SELECT current_database()"))
	stop(t, pg)

	require.NoError(t, os.RemoveAll(filepath.Join(private, "state")))
	pg, _ = start()
	require.Equal(t, "0", query(t, pg.DSN("postgres"), "SELECT count(*) FROM pg_database WHERE datname = 'old'"),
		"deleting the data directory deletes the database")
}

func TestStartPostgresGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := devstack.StartPostgres(ctx, open(t), devstack.PostgresOptions{})
	require.Error(t, err)
}
