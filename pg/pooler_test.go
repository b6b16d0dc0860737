package pg_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Without a pooler connections are their own and keep what they ask for; a setting that another one would bring along
// is named.
func TestConnectionsAreTheirOwn(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	lost, err := d.LostSettings(ctx)
	require.NoError(t, err)
	require.Empty(t, lost)
	shared, err := d.Shared(ctx)
	require.NoError(t, err)
	require.False(t, shared)

	d.SetMaxOpenConns(1)
	_, err = d.ExecContext(ctx, `SET jit = on`)
	require.NoError(t, err)
	_, err = d.ExecContext(ctx, `SET statement_timeout = 0`)
	require.NoError(t, err)
	lost, err = d.LostSettings(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"jit", "statement_timeout"}, lost)
}
