package stock_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// watched is a file that is looked at whenever more of it is asked for, and after its end.
type watched struct {
	file io.Reader
	look func()
}

func (w watched) Read(p []byte) (int, error) {
	w.look()
	return w.file.Read(p[:min(len(p), 4096)])
}

// However slowly a file comes, the import holds neither a transaction nor a connection for it.
func TestASlowFileHoldsNoConnection(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	looked := 0
	file := watched{&lineReader{n: 2*importChunk + 7}, func() {
		looked++
		require.Zero(t, s.pg.Stats().InUse, "connections that are taken from the pool")
		require.Zero(t, s.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`))
	}}
	r, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", By: "ops", File: file})
	require.NoError(t, err)
	require.Greater(t, looked, 50)
	require.Equal(t, 2*importChunk+7, r.Accepted)
	keys := s.keysIn("p")
	require.Equal(t, "KEY-0000000000", keys[0])
	require.Equal(t, "KEY-0000020006", keys[len(keys)-1], "the order of the file is the order of sale")
}

// What a pool demands of its keys, and the key that encrypts them, must not change between their check and their sale.
func TestAPoolThatChangesWhileItsKeysCome(t *testing.T) {
	s := newStore(t)
	for name, c := range map[string]struct {
		pool   string
		change func() error
		kind   keyturn.Kind
	}{
		"another demand": {"p", func() error {
			_, _, err := s.db.PutPool(s.ctx, keyturn.Pool{ID: "p", Pattern: "[0-9]+"})
			return err
		}, keyturn.KindUnavailable},
		"deleted": {"gone", func() error { return s.db.DeletePool(s.ctx, "gone") }, keyturn.KindNotFound},
		"deleted and made again": {"again", func() error {
			if err := s.db.DeletePool(s.ctx, "again"); err != nil {
				return err
			}
			_, _, err := s.db.PutPool(s.ctx, keyturn.Pool{ID: "again"})
			return err
		}, keyturn.KindUnavailable},
	} {
		s.pool(c.pool)
		changed := false
		file := watched{strings.NewReader("A\nB\n"), func() {
			if !changed {
				changed = true
				require.NoError(t, c.change())
			}
		}}
		_, err := s.Import(s.ctx, stock.ImportInput{Pool: c.pool, By: "ops", File: file})
		requireKind(t, err, c.kind)
		require.ErrorContains(t, err, "nothing was stored", name)
	}
	require.Zero(t, s.count(`SELECT (SELECT count(*) FROM pool_keys) + (SELECT count(*) FROM batches)`))
}

// A file of few keys needs no temporary file; where there is no room for one, a larger file is refused.
func TestNoDirectoryForTemporaryFiles(t *testing.T) {
	s := openStore(t)
	t.Setenv("TMPDIR", t.TempDir()+"/none")
	s.pool("p")
	s.keys("p", keysNamed("few", 100)...)
	_, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", By: "ops", File: &lineReader{n: importChunk + 1}})
	requireKind(t, err, keyturn.KindUnavailable)
	require.ErrorContains(t, err, "TMPDIR")
	require.ErrorContains(t, err, "no such file or directory")
	require.Len(t, s.keysIn("p"), 100, "nothing was stored")
}
