package pg_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/pg"
)

func TestTextList(t *testing.T) {
	t.Parallel()
	require.Equal(t, `'a', 'it''s'`, pg.TextList("a", "it's"))
	require.Empty(t, pg.TextList[string]())
}
