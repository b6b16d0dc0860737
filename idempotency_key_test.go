package keyturn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

func TestIdempotencyKeyInEitherForm(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"a": "a", `"a"`: "a", "ORD-1": "ORD-1", "#1001": "#1001", `"#1001"`: "#1001", `"RE 2026/1"`: "RE 2026/1",
		`"a\"b\\c"`: `a"b\c`, `"a,b"`: "a,b", strings.Repeat("k", 255): strings.Repeat("k", 255),
	} {
		key, ok := keyturn.ParseIdempotencyKey(header)
		require.True(t, ok, header)
		require.Equal(t, want, key)
	}
	for _, header := range []string{
		"", `""`, `"a`, `a"`, `"a"b"`, `"a\b"`, `"a", "b"`, "a,b", "a b", "a;x=1", `"a";x=1`, "ü", `"ü"`, "a\tb", "a\n",
		strings.Repeat("k", 256), `"` + strings.Repeat("k", 256) + `"`,
	} {
		_, ok := keyturn.ParseIdempotencyKey(header)
		require.False(t, ok, header)
	}
}

func TestIdempotencyKeySurvivesItsHeader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ -~]{1,255}`).Draw(t, "key")
		back, ok := keyturn.ParseIdempotencyKey(keyturn.FormatIdempotencyKey(key))
		require.True(t, ok)
		require.Equal(t, key, back)
	})
}
