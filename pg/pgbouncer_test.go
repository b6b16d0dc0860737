//go:build pgbouncer

package pg_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/debian"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/pg"
)

// ignored has PgBouncer take connections that ask for settings which it does not know, as docs/run/operating.md says.
const ignored = "ignore_startup_parameters = " +
	"statement_timeout, idle_in_transaction_session_timeout, enable_seqscan, plan_cache_mode, jit"

// What `keyturn doctor` finds behind Debian's PgBouncer: connections that take turns, settings that get lost, and
// nothing where each client has its own connection and the database sets what they ask for.
func TestBehindPgBouncer(t *testing.T) {
	dsn := testkit.Postgres(t, "", nil)

	byTransaction, err := pg.Open(t.Context(), pgBouncer(t, dsn, "pool_mode = transaction", ignored))
	require.NoError(t, err)
	defer byTransaction.Close()
	shared, err := byTransaction.Shared(t.Context())
	require.NoError(t, err)
	require.True(t, shared)

	bySession := pgBouncer(t, dsn, "pool_mode = session", ignored)
	d, err := pg.Open(t.Context(), bySession)
	require.NoError(t, err)
	defer d.Close()
	shared, err = d.Shared(t.Context())
	require.NoError(t, err)
	require.False(t, shared)
	lost, err := d.LostSettings(t.Context())
	require.NoError(t, err)
	require.Subset(t, lost, []string{"enable_seqscan", "plan_cache_mode", "statement_timeout"}, "jit is the server's own")

	keepSettings(t, dsn)
	again, err := pg.Open(t.Context(), pgBouncer(t, dsn, "pool_mode = session", ignored))
	require.NoError(t, err)
	defer again.Close()
	lost, err = again.LostSettings(t.Context())
	require.NoError(t, err)
	require.Empty(t, lost)

	_, err = pg.Open(t.Context(), pgBouncer(t, dsn, "pool_mode = session"))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.ErrorContains(t, err, "a pooler stands before the database")
}

// keepSettings has a database set what connections ask for.
func keepSettings(t *testing.T, dsn string) {
	t.Helper()
	d, err := pg.Open(t.Context(), dsn)
	require.NoError(t, err)
	defer d.Close()
	for _, name := range []string{"enable_seqscan", "plan_cache_mode", "jit", "statement_timeout"} {
		var sql string
		require.NoError(t, d.GetContext(t.Context(), &sql, `
			SELECT format('ALTER DATABASE %I SET %I = %L', current_database(), name, setting)
			FROM pg_settings WHERE name = $1`, name))
		_, err := d.ExecContext(t.Context(), sql)
		require.NoError(t, err)
	}
}

// pgBouncer starts a PgBouncer before the database's server, and gives the database's address there.
func pgBouncer(t *testing.T, dsn string, settings ...string) string {
	t.Helper()
	unpacked, err := filepath.Abs("../.keyturn/dist/pgbouncer")
	require.NoError(t, err)
	require.NoError(t, debian.Unpack(t.Context(), unpacked, debian.Packages{Names: []string{"pgbouncer"}}))
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	password, _ := u.User.Password()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().(*net.TCPAddr)
	require.NoError(t, l.Close())
	folder := t.TempDir()
	users, config := filepath.Join(folder, "users"), filepath.Join(folder, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", u.User.Username(), password), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
%s
`, u.Hostname(), u.Port(), address.Port, users, strings.Join(settings, "\n")), 0o600))
	args := []string{"-q", config}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody") // as root it does not run
	}
	cmd := exec.Command(filepath.Join(unpacked, "usr/sbin/pgbouncer"), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(debian.Libraries(unpacked), ":"))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address.String())
		return err == nil && c.Close() == nil
	}, time.Minute, 20*time.Millisecond, "PgBouncer does not listen")
	u.Host = address.String()
	return u.String()
}
