package db

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is measured of a commit includes its way to the disk: all that was written is flushed when it is done.
func TestAMeasuredCommitReachesTheDisk(t *testing.T) {
	s := newShop(t)
	name := read[string](s, `SELECT current_database()`)
	s.exec(`ALTER DATABASE ` + name + ` SET synchronous_commit = on`) // the tests' server does without
	opened := s.open(t, s.dsn)
	defer func() { require.NoError(t, opened.Close()) }()
	before := read[string](s, `SELECT CAST(pg_current_wal_insert_lsn() AS text)`)
	got, err := opened.Server(s.ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, got.Version, 140000)
	require.Positive(t, got.Commit)
	require.True(t, read[bool](s, `SELECT pg_current_wal_flush_lsn() > CAST($1 AS pg_lsn)`, before))
}
