package stock

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

func TestASpoolGivesItsChunksAsOftenAsAsked(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	until := time.Date(2031, 1, 2, 3, 4, 5, 6000, time.UTC)
	chunks := []chunk{
		{rows: []newKey{
			{line: 1, fingerprint: [vault.FingerprintSize]byte{1, 2}, content: []byte("sealed"), expires: until},
			{line: 2, content: []byte("\x00\xff")},
		}, bad: []keyturn.RejectedKey{}},
		{rows: []newKey{}, bad: []keyturn.RejectedKey{{Line: 3, Reason: keyturn.RowTooLong}}},
		{rows: []newKey{{line: 4, content: []byte("more")}}, bad: []keyturn.RejectedKey{{Line: 5, Reason: keyturn.RowExpired}}},
	}
	var s spool
	defer s.close()
	for _, c := range chunks {
		require.NoError(t, s.add(c))
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files, "the file has no name")
	for range 2 {
		var got []chunk
		require.NoError(t, s.each(func(c chunk) error { got = append(got, c); return nil }))
		require.Equal(t, chunks, got)
	}
}

func TestASpoolOnAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no device that is full: ", err)
	}
	var s spool
	defer s.close()
	s.keepIn(full)
	err = s.add(chunk{rows: []newKey{{content: make([]byte, 2*fileBuffer)}}})
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "no space left on device")
	require.ErrorContains(t, err, "nothing was stored")
}
