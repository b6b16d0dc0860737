package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A worker of an older build books its claims on rows of stock figures that it expects to be there, also for pools that
// were made by this one.
func TestAPoolHasTheRowsThatOlderBuildsBookOn(t *testing.T) {
	s := newShop(t)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p"})
	require.NoError(t, err)
	for slot := range 16 {
		res, err := s.pg.ExecContext(s.ctx, `UPDATE pool_stock SET available = available WHERE pool_id = 'p' AND slot = $1`, slot)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
}
