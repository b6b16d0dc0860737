package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A Temporal that takes connections and says nothing ends the command, which says what that means and how to go on.
func TestRestoredSaysHowToGoOnWithoutTemporal(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "AAAA\nBBBB\n"))
	s.sell()
	require.NoError(t, s.d.Close())
	require.NoError(t, s.x.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	t.Setenv("TEMPORAL_ADDRESS", silent.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs([]string{"restored"})
	err = root.ExecuteContext(ctx)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
	said := strings.ToLower(err.Error())
	for _, words := range []string{
		"temporal did not answer in time", "nothing was changed in the database", "run it again",
		"keyturn restored --since 20",
	} {
		require.Contains(t, said, words)
	}
}
