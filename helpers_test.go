package keyturn_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// wantFields requires err to be KindInvalid and to name exactly these fields; with one empty field, no error.
func wantFields(t *testing.T, err error, what string, fields ...string) {
	t.Helper()
	if len(fields) == 1 && fields[0] == "" {
		require.NoError(t, err, what)
		return
	}
	e, ok := errors.AsType[*keyturn.Error](err)
	require.True(t, ok, "%s: %v", what, err)
	require.Equal(t, keyturn.KindInvalid, e.Kind, what)
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Location)
		require.NotEmpty(t, f.Message, what)
		require.Contains(t, e.Error(), f.Location, what)
	}
	require.Equal(t, fields, got, what)
}
