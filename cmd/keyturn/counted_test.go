package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestOneIsNoPlural(t *testing.T) {
	printed := func(r keyturn.ImportResult) string {
		var out bytes.Buffer
		printImport(&out, "games", r)
		return out.String()
	}
	require.Equal(t, "games: imported 1 key; 1 waiting line served, 1 still waits\n",
		printed(keyturn.ImportResult{Accepted: 1, Served: 1, Waiting: 1}))
	require.Equal(t, "games: imported 2 keys; 0 waiting lines served, 3 still wait\n",
		printed(keyturn.ImportResult{Accepted: 2, Waiting: 3}))
}
