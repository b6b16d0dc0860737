package pg_test

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// A snapshot shows one moment, whatever is committed while it is open, and does not write.
func TestSnapshotShowsOneMoment(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error { return insert(ctx, tx, 1) }))
	require.NoError(t, d.Snapshot(ctx, func(s *pg.Snapshot) error {
		require.WithinDuration(t, time.Now(), s.At, time.Minute)
		require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error { return insert(ctx, tx, 2) }))
		var rows []struct{ N, TwiceAsMuch int }
		require.NoError(t, s.Select(ctx, &rows, `SELECT n, 2 * n AS twice_as_much FROM tally WHERE n >= :least`,
			map[string]any{"least": 1}))
		require.Equal(t, []struct{ N, TwiceAsMuch int }{{1, 2}}, rows)
		var n int
		require.NoError(t, s.Get(ctx, &n, `SELECT count(*) FROM tally`, nil))
		require.Equal(t, 1, n)
		return nil
	}))
	err := d.Snapshot(ctx, func(s *pg.Snapshot) error {
		var n int
		return s.Get(ctx, &n, `DELETE FROM tally RETURNING n`, nil)
	})
	require.ErrorContains(t, err, "25006", "PostgreSQL refuses to write in a read-only transaction")
	require.Error(t, d.Snapshot(ctx, func(*pg.Snapshot) error { return keyturn.Errorf(keyturn.KindInternal, "it stops") }))
	requireRows(t, d, 1, 2)
}
