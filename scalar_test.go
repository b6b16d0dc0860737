package keyturn_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

const canary = "CANARY-KEY-1234"

// A secret shows itself to Reveal alone, also inside what is printed around it.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	secret := keyturn.Secret(canary)
	inside := struct {
		Codes []keyturn.Secret
		Named map[string]keyturn.Secret
		One   *keyturn.Secret
	}{[]keyturn.Secret{secret}, map[string]keyturn.Secret{"a": secret}, &secret}

	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("a key", "key", secret, "inside", inside, "codes", []keyturn.Secret{secret})
	}
	document, err := json.Marshal(inside)
	require.NoError(t, err)
	indented, err := json.MarshalIndent(map[string]any{"s": secret}, "", " ")
	require.NoError(t, err)
	shown := []string{log.String(), string(document), string(indented), fmt.Errorf("about %v", secret).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, inside.Codes), fmt.Sprintf(verb, inside))
	}
	for _, verb := range []string{"%x", "%X", "% x"} {
		shown = append(shown, fmt.Sprintf(verb, secret))
	}
	for _, s := range shown {
		require.NotContains(t, s, canary)
		require.NotContains(t, s, fmt.Sprintf("%x", canary))
		require.NotContains(t, s, fmt.Sprintf("%X", canary))
	}
	require.Contains(t, log.String(), "redacted")
	require.Equal(t, canary, secret.Reveal())
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for text, d := range map[string]time.Duration{
		"72h": 72 * time.Hour, "1h30m": 90 * time.Minute, "30m": 30 * time.Minute, "5s": 5 * time.Second,
		"1m5s": 65 * time.Second,
		"0s":   0, "300ms": 300 * time.Millisecond, "1h0m5s": time.Hour + 5*time.Second, "10m": 10 * time.Minute,
		"100h": 100 * time.Hour,
	} {
		require.Equal(t, text, keyturn.Duration(d).String())
	}
	var d keyturn.Duration
	for _, bad := range []string{"", "5", "five", "5 s", "1d", "9999999999h", "5s\x00"} {
		require.ErrorContains(t, d.UnmarshalText([]byte(bad)), "must be a duration", bad)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := keyturn.Duration(rapid.Int64().Draw(t, "d"))
		text, err := want.MarshalText()
		require.NoError(t, err)
		var got keyturn.Duration
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
	})
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for text, n := range map[string]int64{
		"64KiB": 64 << 10, "1MiB": 1 << 20, "3GiB": 3 << 30, "1500": 1500, "0": 0,
		"1025KiB": 1025 << 10,
	} {
		got, err := keyturn.Bytes(n).MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	var b keyturn.Bytes
	for text, want := range map[string]keyturn.Bytes{"12": 12, "12B": 12, "12 KiB": 12 << 10, "8MiB": 8 << 20} {
		require.NoError(t, b.UnmarshalText([]byte(text)))
		require.Equal(t, want, b, text)
	}
	for _, bad := range []string{
		"", "B", "MiB", "-1", "1.5MiB", "1MB", "1e3", "9223372036854775807KiB", "99999999999GiB",
		"1MiBMiB",
	} {
		require.ErrorContains(t, b.UnmarshalText([]byte(bad)), "must be a size", bad)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := keyturn.Bytes(rapid.Int64Range(0, math.MaxInt64).Draw(t, "n"))
		text, err := want.MarshalText()
		require.NoError(t, err)
		var got keyturn.Bytes
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
	})
}

func TestResponsePathForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]keyturn.ResponsePath{
		`"$.a"`: {Path: "$.a"}, ` "$.a+"`: {Path: "$.a+"}, `{"path":"$.a","conversionTemplate":"{{.}}"}`: {
			Path:               "$.a",
			ConversionTemplate: "{{.}}",
		},
	} {
		var got keyturn.ResponsePath
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{`{"path":"$.a","converter":"x"}`, `1`, `["$.a"]`, `{"path":1}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &keyturn.ResponsePath{}), bad)
	}
}
