package pg_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/pg"
)

// behindProxy opens a database of its own through a proxy.
func behindProxy(t *testing.T) (*pg.DB, *faultproxy.Proxy) {
	t.Helper()
	u, err := url.Parse(testkit.Postgres(t, "", nil))
	require.NoError(t, err)
	p, err := faultproxy.Start("127.0.0.1:0", u.Host, faultproxy.Postgres)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	_, err = pg.Migrate(t.Context(), u.String(), schema)
	require.NoError(t, err)
	u.Host = p.Addr()
	d, err := pg.Open(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d, p
}

// A network swallows every packet: nobody waits for ever, whether a statement is under way, a transaction is open, a
// connection rests in the pool or a new one is wanted. When packets pass again, so do statements.
func TestASilentConnectionIsThrownAway(t *testing.T) {
	t.Parallel()
	d, p := behindProxy(t)
	ctx := t.Context() // without an end of its own
	const waiting = pg.MaxConns + 8
	inside, open := make(chan struct{}, 1), make(chan struct{})
	results := make(chan error, waiting+1)
	go func() { // in the middle of a transaction
		results <- d.Tx(ctx, func(tx *sqlx.Tx) error {
			inside <- struct{}{}
			<-open
			return insert(ctx, tx, 1)
		})
	}()
	<-inside
	p.Swallow(true)
	close(open)
	for n := range waiting { // more than there are connections
		go func() { results <- d.Tx(ctx, func(tx *sqlx.Tx) error { return insert(ctx, tx, 100+n) }) }()
	}
	for range waiting + 1 {
		select {
		case err := <-results:
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
		case <-time.After(2 * time.Minute): // seconds, on a machine with nothing else to do
			t.Fatal("somebody waits for a database that is silent")
		}
	}
	p.Swallow(false)
	require.Eventually(t, func() bool {
		return d.Tx(ctx, func(tx *sqlx.Tx) error { return insert(ctx, tx, 1000) }) == nil
	}, time.Minute, 100*time.Millisecond)
}

// A statement that takes its time is no silence.
func TestASlowStatementIsWaitedFor(t *testing.T) {
	t.Parallel()
	d, _ := behindProxy(t)
	var n int
	require.NoError(t, d.GetContext(t.Context(), &n, `SELECT 1 FROM pg_sleep(8)`))
	require.Equal(t, 1, n)
}
