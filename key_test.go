package keyturn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

// One gate decides what a key is, wherever it comes from.
func TestCleanKey(t *testing.T) {
	t.Parallel()
	const pem = "-----BEGIN LICENSE-----\nQUFBQQ==\n\nQkJCQg==\n-----END LICENSE-----"
	for _, c := range []struct {
		name, text, key string
		err             error
	}{
		{"a key", "AAAA-BBBB-1", "AAAA-BBBB-1", nil},
		{"nothing", "", "", nil},
		{"a line end after it", "AAAA-BBBB-1\r\n", "AAAA-BBBB-1", nil},
		{"white space around it", " \t\u00a0AAAA BBBB\u3000\v\n", "AAAA BBBB", nil},
		{"a byte-order mark", "\ufeffA\ufeff", "A", nil},
		{"zero-width characters around it", "\u200b\u200c\u200d\u2060A\u2060\u200d\u200c\u200b", "A", nil},
		{"marks of direction around it", "\u200e\u202aA\u202c\u200f\u061c", "A", nil},
		{"all of them, mixed", "\ufeff \u200b\r\n A \u200e\n\ufeff", "A", nil},
		{"nothing else", "\ufeff \u200b\u200c\u200d\u2060\u200e\t\r\n\u00a0\u00ad", "", nil},
		{"lines that end with LF", pem, pem, nil},
		{"lines that end with CRLF", strings.ReplaceAll(pem, "\n", "\r\n") + "\r\n", pem, nil},
		{"lines that end with CR", strings.ReplaceAll(pem, "\n", "\r") + "\r", pem, nil},
		{"other scripts", "ключ-鍵-🔑-clé", "ключ-鍵-🔑-clé", nil},
		{"decomposed letters stay as they are", "cle\u0301", "cle\u0301", nil},
		{"a zero-width space inside", "A\u200bB", "", keyturn.ErrKeyUnclean},
		{"a byte-order mark inside", "A\ufeffB", "", keyturn.ErrKeyUnclean},
		{"a soft hyphen inside", "A\u00adB", "", keyturn.ErrKeyUnclean},
		{"a variation selector inside", "A\ufe0fB", "", keyturn.ErrKeyUnclean},
		{"a Hangul filler inside", "A\u3164B", "", keyturn.ErrKeyUnclean},
		{"text that runs the other way inside", "A\u202eB", "", keyturn.ErrKeyUnclean},
		{"a line separator inside", "A\u2028B", "", keyturn.ErrKeyUnclean},
		{"a tab inside", "A\tB", "", keyturn.ErrKeyUnclean},
		{"NUL", "A\x00", "", keyturn.ErrKeyUnclean},
		{"an escape", "\x1b[31mA", "", keyturn.ErrKeyUnclean},
		{"DEL inside", "A\x7fB", "", keyturn.ErrKeyUnclean},
		{"C1 control characters", "A\u0086B", "", keyturn.ErrKeyUnclean},
		{"Latin-1", "cl\xe9", "", keyturn.ErrKeyUnclean},
		{"a character that was lost before", "cl\ufffd", "", keyturn.ErrKeyUnclean},
		{"the longest", strings.Repeat("k", 4096), strings.Repeat("k", 4096), nil},
		{"the longest, in characters", strings.Repeat("鍵", 4096) + "\n", strings.Repeat("鍵", 4096), nil},
		{"too long", strings.Repeat("k", 4097), "", keyturn.ErrKeyTooLong},
		{"too long, in characters", strings.Repeat("🔑", 4097), "", keyturn.ErrKeyTooLong},
	} {
		key, err := keyturn.CleanKey(c.text)
		require.ErrorIs(t, err, c.err, c.name)
		require.Equal(t, c.key, key, c.name)
	}
}

// What was cleaned is clean: a key that passed the gate passes it again unchanged.
func TestCleanKeyOfAnything(t *testing.T) {
	t.Parallel()
	alphabet := rapid.SampledFrom([]rune("aK9- \t\r\n\u00a0\u00ad\u200b\u200e\ufeff\u202e\u2028\x00é鍵"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(alphabet, 0, 12, -1).Draw(t, "text")
		key, err := keyturn.CleanKey(text)
		if err != nil {
			require.Empty(t, key)
			return
		}
		again, err := keyturn.CleanKey(key)
		require.NoError(t, err)
		require.Equal(t, key, again)
		require.NotContains(t, key, "\r")
		require.Equal(t, strings.TrimSpace(key), key)
	})
}

func TestKeyIsLink(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"https://acme.test/redeem?k=A-1&x=2#y": true, "http://acme.test": true, "HTTPS://ACME.TEST/": true,
		"https://acme.test:8443/\u00fc": true,
		"A-1":                           false, "acme.test/redeem": false, "https:A-1": false, "https:///x": false,
		"//acme.test":         false,
		"javascript:alert(1)": false, "data:text/html,x": false, "ftp://acme.test/": false,
		"https://bank.test@acme.test/": false, "https://acme.test/a b": false, "https://acme.test/\"x": false,
		"https://acme.test/\nhttps://acme.test/": false, "see https://acme.test/": false, "": false,
	} {
		require.Equal(t, want, keyturn.KeyIsLink(key), key)
	}
}
