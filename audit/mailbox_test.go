package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A folder of letters as a mail server saves them, with the fields that it puts before ours and line ends of its own,
// is as good as an inbox: the healthy shop has no violation, and a letter that is changed is found.
func TestAFolderOfSavedLettersIsAMailbox(t *testing.T) {
	s := newShop(t)
	folder := t.TempDir()
	for _, l := range s.outer.Letters {
		head := "Return-Path: <keyturn@shop.test>\nDelivered-To: " + l.To[0] +
			"\nReceived: from mail.shop.test\n\tby mx.test; " + l.Received.Format(time.RFC1123Z) + "\nAuthentication-Results: mx.test; dkim=none\n"
		saved := append([]byte(head), bytes.ReplaceAll(s.outer.Raw[l.ID], []byte("\r\n"), []byte("\n"))...)
		require.NoError(t, os.WriteFile(filepath.Join(folder, l.ID+".eml"), saved, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "notes.eml"), []byte("no e-mail"), 0o600))
	audit := func() *Report {
		mailbox, err := OpenMailbox(folder)
		require.NoError(t, err)
		return s.auditWith(func(e *Evidence) { e.Mailbox = mailbox })
	}
	require.Empty(t, listed(audit()))

	changed := filepath.Join(folder, s.outer.Letters[s.letterOf("resent")].ID+".eml")
	text, err := os.ReadFile(changed)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(changed, append([]byte("X-First: 1\n"), append(text, "more\n"...)...), 0o600))
	require.Equal(t, []string{"D2"}, audit().Violated())
}

// A key that is as short as the words of a letter is one of them by chance.
func TestWordsOfALetterAreNoKeys(t *testing.T) {
	s := newShop(t)
	p := parseMail(s.outer.Raw[s.outer.Letters[s.letterOf("resent")].ID])
	word := ""
	for _, w := range strings.Fields(p.text) {
		if len(w) < shortest && len(w) > len(word) {
			word = w
		}
	}
	require.NotEmpty(t, word)
	_, err := s.Import(s.ctx, "low", strings.NewReader(word), "test", false)
	require.NoError(t, err)
	require.Empty(t, listed(s.audit()))
}
