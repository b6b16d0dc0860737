package db

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

// throughProxy gives a connection string to the same database by way of a proxy: the one fault that random killing does
// not find is an answer that gets lost after PostgreSQL has carried out what it was asked.
func throughProxy(t *testing.T, dsn string) (*faultproxy.Proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	p, err := faultproxy.Start("127.0.0.1:0", u.Host, faultproxy.Postgres)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	u.Host = p.Addr()
	return p, u.String()
}

// The proxy itself is tried on the fault that it is made for: lib/pq carries out an autocommit statement a second time,
// without an error, when the first answer is lost by FIN. Every write of ours is in a transaction because of it.
func TestProxyFindsTheDoubleExecution(t *testing.T) {
	s := newShop(t)
	s.exec(`CREATE TABLE tally (n int)`)
	p, dsn := throughProxy(t, s.dsn)
	d := s.open(t, dsn)
	defer d.Close()
	for _, reset := range []bool{false, true} {
		s.exec(`DELETE FROM tally`)
		require.NoError(t, d.Ping(s.ctx))
		p.Lose(faultproxy.Loss{Reset: reset})
		// the comment keeps it from being prepared: it is one request
		_, err := d.pg.ExecContext(s.ctx, `/**/ INSERT INTO tally VALUES (1)`) //keyturn:autocommit to see what goes wrong
		_, lost := p.Disarm()
		require.True(t, lost)
		n := read[int](s, `SELECT count(*) FROM tally`)
		if reset {
			require.Error(t, err)
			require.Equal(t, 1, n)
		} else {
			require.True(t, err == nil && n == 2 || err != nil && n == 1, "%v, %d rows: lib/pq has changed", err, n)
		}
	}
}
