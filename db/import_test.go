package db

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

func (s *shop) emptyPool(id string) {
	s.t.Helper()
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: id})
	require.NoError(s.t, err)
}

// keysIn are the keys of a pool, decrypted, in the order in which they will be sold.
func (s *shop) keysIn(pool string) []string {
	s.t.Helper()
	wrapped := read[[]byte](s, `SELECT data_key FROM pools WHERE id = $1`, pool)
	dk, err := s.keys.OpenDataKey(wrapped, "pool/"+pool)
	require.NoError(s.t, err)
	keys := []string{}
	for _, k := range reads[struct {
		Fingerprint []byte `db:"fingerprint"`
		Content     []byte `db:"content"`
	}](s, `
		SELECT fingerprint, content FROM pool_keys WHERE pool_id = $1 ORDER BY position`, pool) {
		plain, err := dk.Open(k.Content, stock.KeyPlace(pool, k.Fingerprint))
		require.NoError(s.t, err)
		keys = append(keys, string(plain))
	}
	return keys
}

// A key that was sold, or lies in quarantine, is still known.
func TestImportKnowsSoldKeys(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "a", "b")
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	r, err := s.Import(s.ctx, "p", strings.NewReader("a\nb\nc"), "ops", false)
	require.NoError(t, err)
	require.Equal(t, 1, r.Accepted)
	require.Equal(t, map[string]int{"already_sold": 1, "duplicate_in_pool": 1}, r.Counts)
}

func TestDryRunStoresNothing(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	s.claimed(f)
	r, err := s.Import(s.ctx, "p", strings.NewReader("a\nb\na\n\x07"), "ops", true)
	require.NoError(t, err)
	require.True(t, r.DryRun)
	require.Equal(t, 2, r.Accepted)
	require.Equal(t, map[string]int{"duplicate_in_file": 1, "malformed": 1}, r.Counts)
	require.Empty(t, s.keysIn("p"))
	require.Zero(t, s.pool("p").Stock.Available)
	require.Equal(t, keyturn.LineWaitingForStock, s.status(f))
}
