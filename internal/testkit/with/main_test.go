package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithGivesTheCommandTheServersAndItsStatusBack(t *testing.T) {
	for script, want := range map[string]int{
		`test -n "$KEYTURN_TEST_DATABASE_URL" && test -n "$KEYTURN_TEST_TEMPORAL_ADDRESS"`: 0,
		`exit 7`: 7,
	} {
		code, err := with(t.Context(), []string{"sh", "-c", script})
		require.NoError(t, err)
		require.Equal(t, want, code, script)
	}
}

func TestWithSaysThatACommandDoesNotExist(t *testing.T) {
	code, err := with(t.Context(), []string{"/nowhere/go", "test"})
	require.ErrorContains(t, err, "run /nowhere/go")
	require.Equal(t, 1, code)
}
