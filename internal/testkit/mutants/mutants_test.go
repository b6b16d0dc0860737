package mutants

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnusedTellsWhetherTheMutantWasReached(t *testing.T) {
	t.Cleanup(func() { Activate("") })

	Activate("edit of SQL", Edit{Old: `WHERE (a|b)`, New: `WHERE false AND $1`})
	require.Equal(t, []string{"no statement matched WHERE (a|b)"}, Unused())
	require.Equal(t, "SELECT 1", Statement("SELECT 1"))
	require.Equal(t, "SELECT 1 WHERE false AND b", Statement("SELECT 1 WHERE b"))
	require.Empty(t, Unused())

	Activate("refund without key")
	require.False(t, Active("mail before commit"))
	require.Equal(t, []string{`no source asked for "refund without key"`}, Unused())
	require.True(t, Active("refund without key"))
	require.Empty(t, Unused())

	Activate("autocommit claim", Edit{Old: `b`, New: `c`}) // it has both
	require.Equal(t, "c", Statement("b"))
	require.Equal(t, []string{`no source asked for "autocommit claim"`}, Unused())

	Activate("")
	require.Equal(t, "b", Statement("b"))
}
