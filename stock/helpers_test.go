package stock_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// importChunk is how many keys an import stores at a time: more than that take several steps.
const importChunk = 10_000

// store is the stock of a database of the test's own. When the test ends, the figures of each pool must be the sums of
// its keys.
type store struct {
	*stock.Stock
	t   *testing.T
	ctx context.Context //nolint:containedctx // of one test
	db  *db.DB
	pg  *pg.DB
}

func newStore(t *testing.T) *store {
	t.Helper()
	t.Parallel()
	return openStore(t)
}

// openStore is newStore for a test that runs alone.
func openStore(t *testing.T) *store {
	t.Helper()
	dsn := testkit.Postgres(t, "", nil)
	_, err := db.Migrate(t.Context(), dsn)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(file))
	keys, err := vault.LoadKeys(file)
	require.NoError(t, err)
	d, err := db.Open(t.Context(), dsn, keys)
	require.NoError(t, err)
	x, err := pg.Open(t.Context(), dsn)
	require.NoError(t, err)
	s := &store{Stock: stock.New(x, keys), t: t, ctx: t.Context(), db: d, pg: x}
	t.Cleanup(func() {
		s.ctx = context.Background()
		s.requireFigures()
		require.NoError(t, x.Close())
		require.NoError(t, d.Close())
	})
	return s
}

func (s *store) requireFigures() {
	s.t.Helper()
	require.Zero(s.t, s.count(`
		SELECT count(*) FROM (SELECT pool_id, sum(available) AS n FROM pool_stock GROUP BY pool_id) f
		WHERE n <> (SELECT count(*) FROM pool_keys k WHERE k.pool_id = f.pool_id AND k.state = 'available')`),
		"pools whose figure of available keys is not the number of their keys")
}

// pool puts an empty pool into the catalog.
func (s *store) pool(id string) {
	s.t.Helper()
	_, _, err := s.db.PutPool(s.ctx, keyturn.Pool{ID: id})
	require.NoError(s.t, err)
}

func (s *store) view(pool string) keyturn.PoolView {
	s.t.Helper()
	v, err := s.Pool(s.ctx, pool)
	require.NoError(s.t, err)
	return v
}

// keys imports keys.
func (s *store) keys(pool string, keys ...string) keyturn.ImportResult {
	s.t.Helper()
	r, err := s.Import(s.ctx, stock.ImportInput{Pool: pool, File: strings.NewReader(strings.Join(keys, "\n")), By: "test"})
	require.NoError(s.t, err)
	require.Equal(s.t, len(keys), r.Accepted)
	return r
}

// keysIn are the keys of a pool, decrypted, in the order in which they will be sold.
func (s *store) keysIn(pool string) []string {
	s.t.Helper()
	var sealed []stock.SealedKey
	require.NoError(s.t, s.pg.SelectContext(s.ctx, &sealed, `
		SELECT k.pool_id, p.data_key, k.content, k.fingerprint FROM pool_keys k JOIN pools p ON p.id = k.pool_id
		WHERE k.pool_id = $1 ORDER BY k.position`, pool))
	codes, err := s.Open(sealed)
	require.NoError(s.t, err)
	keys := []string{}
	for _, c := range codes {
		keys = append(keys, c.Reveal())
	}
	return keys
}

func (s *store) count(query string) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.pg.GetContext(s.ctx, &n, query))
	return n
}

// exec changes what no use case changes.
func (s *store) exec(query string) {
	s.t.Helper()
	require.NoError(s.t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(s.ctx, query)
		return err
	}))
}

func keysNamed(name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%05d", name, i)
	}
	return keys
}

// atOnce runs n calls at the same time and gives their errors.
func atOnce(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return errs
}

// requireKind requires an error of the kind, with these fields if any are named.
func requireKind(t *testing.T, err error, kind keyturn.Kind, fields ...string) {
	t.Helper()
	require.Equal(t, kind, keyturn.KindOf(err), "%v", err)
	if len(fields) == 0 {
		return
	}
	var e *keyturn.Error
	require.ErrorAs(t, err, &e)
	got := []string{}
	for _, f := range e.Fields {
		got = append(got, f.Location)
	}
	require.Equal(t, fields, got)
}
