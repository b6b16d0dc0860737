package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file of keys for a line has one per line, or one per row of CSV, which may have several lines.
func TestReadKeysToSupply(t *testing.T) {
	t.Parallel()
	keys, err := readKeys(strings.NewReader("\ufeffA-1\r\n\r\n \u200b\nA,2\n"), false)
	require.NoError(t, err)
	require.Equal(t, []string{"\ufeffA-1", "A,2"}, keys)
	keys, err = readKeys(strings.NewReader("\ufeff\"-----BEGIN X-----\r\nQUFB\r\n-----END X-----\"\r\nA-2\r\n"), true)
	require.NoError(t, err)
	require.Equal(t, []string{"-----BEGIN X-----\nQUFB\n-----END X-----", "A-2"}, keys)
	_, err = readKeys(strings.NewReader("A-1,x\n"), true)
	require.Error(t, err)
}
