package endpoint_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

func readingText(format string, paths map[string]keyturn.ResponsePath) keyturn.Integration {
	in := reading(paths)
	def := in.Operations["create"]
	def.ReplyFormat = format
	in.Operations["create"] = def
	return in
}

// What a partner that answers in text/plain sends over HTTP, and what comes of it: a key, keys, or BadReply.
func TestTextReplies(t *testing.T) {
	t.Parallel()
	const block = "-----BEGIN LICENSE-----\r\nQUFB\r\nQkJC\r\n-----END LICENSE-----\r\n"
	code := map[string]keyturn.ResponsePath{"activationCode": {Path: "$"}}
	each := map[string]keyturn.ResponsePath{"activationCode": {Path: "$[*]+"}}
	text, lines := readingText(keyturn.ReplyText, code), readingText(keyturn.ReplyLines, each)
	caller := newCaller(t, false)
	for _, c := range []struct {
		name        string
		in          keyturn.Integration
		units       int
		contentType string
		body        string
		codes       []string // nil: BadReply
	}{
		{"line end", text, 1, "text/plain", "AAAA-BBBB\r\n", []string{"AAAA-BBBB"}},
		{"charset", text, 1, `Text/Plain; charset="UTF-8"`, "Ключ-1\n", []string{"Ключ-1"}},
		{"a server's default charset", text, 1, "text/plain; charset=iso-8859-1", "AAAA", []string{"AAAA"}},
		{"another charset", text, 1, "text/plain; charset=iso-8859-1", "clé-1", nil},
		{"not UTF-8", text, 1, "text/plain", "cl\xe9-1", nil},
		{"byte order mark", text, 1, "text/plain", "\ufeffAAAA", []string{"AAAA"}},
		{"a block", text, 1, "text/plain", block, []string{strings.TrimSpace(strings.ReplaceAll(block, "\r\n", "\n"))}},
		{"short", text, 1, "text/plain", "7", []string{"7"}},
		{"with spaces inside", text, 1, "text/plain", " AAAA BBBB ", []string{"AAAA BBBB"}},
		{"empty", text, 1, "text/plain", "", nil},
		{"blank", text, 1, "text/plain", "\r\n \ufeff\r\n", nil},
		{"a page", text, 1, "text/html; charset=utf-8", "<h1>Maintenance</h1>", nil},
		{"a key that is said to be a page", text, 1, "text/html", "AAAA", nil},
		{"a page that is said to be text", text, 1, "text/plain", "\n<!DOCTYPE html><title>Sorry</title>", nil},
		{"JSON", text, 1, "application/json", `{"error":"none left"}`, nil},
		{"JSON that is said to be text", text, 1, "text/plain", `{"error":"none left"}`, nil},
		{"control characters", text, 1, "text/plain", "AAAA\x1b[31m", nil},
		{"zero width inside", text, 1, "text/plain", "AA\u200bAA", nil},
		{"too long", text, 1, "text/plain", strings.Repeat("A", 4097), nil},
		{"one for two units", text, 2, "text/plain", "A-1\nA-2", nil},
		{"lines", lines, 2, "text/plain", "A-1\r\nA-2\r\n\r\n", []string{"A-1", "A-2"}},
		{"fewer lines", lines, 3, "text/plain", "A-1\nA-2\n", nil},
		{"the same line twice", lines, 2, "text/plain", "A-1\nA-1\n", nil},
		{"one bad line", lines, 2, "text/plain", "A-1\nA\t2\n", nil},
		{"no lines", lines, 1, "text/plain", "\n", nil},
		{"too many lines", lines, 1, "text/plain", strings.Repeat("A\n", 10_001), nil},
	} {
		require.NoError(t, endpoint.Check(c.in, true), c.name)
		s, at := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") != "text/plain" {
				w.WriteHeader(http.StatusNotAcceptable)
			}
			w.Header().Set("Content-Type", c.contentType)
			_, _ = io.WriteString(w, c.body)
		})
		c.in.BaseURL = at.BaseURL
		reply, err := send(t, caller, c.in)
		s.Close()
		require.NoError(t, err, c.name)
		require.Equal(t, http.StatusOK, reply.Status, c.name)
		v := endpoint.Judge(c.in, "create", c.units, reply)
		shown := endpoint.RedactReply(c.in, "create", reply, v)
		again := endpoint.Judge(c.in, "create", c.units, endpoint.Reply{Status: 200, Body: shown}) // a replay
		require.Equal(t, v.Outcome, again.Outcome, "%s: %s", c.name, shown)
		if c.codes == nil {
			require.Equal(t, endpoint.Retryable, v.Outcome, c.name)
			require.Equal(t, keyturn.KindBadReply, v.Kind, c.name)
			require.NotContains(t, v.Reason, "AAAA", c.name)
			require.NotContains(t, string(shown), "A-1", c.name)
			continue
		}
		require.Equal(t, c.codes, codes(v), "%s: %s", c.name, v.Reason)
		for _, code := range c.codes {
			require.False(t, bytes.Contains(shown, []byte(code)), "%s: %s", c.name, shown)
		}
	}
}

// What a partner says in a text that is no key, and what operators see of it.
func TestRefusalsInTexts(t *testing.T) {
	t.Parallel()
	in := readingText(keyturn.ReplyText, map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$"}, "errorMessage": {Path: "$"},
		"errorCode": {Path: "$", ConversionTemplate: `{{if eq . "SOLD_OUT"}}{{.}}{{end}}`},
	})
	require.NoError(t, endpoint.Check(in, true))
	for _, c := range []struct {
		status            int
		body              string
		outcome           endpoint.Outcome
		code, words, show string
	}{
		{200, "SOLD_OUT", endpoint.Retryable, "SOLD_OUT", "SOLD_OUT", "SOLD_OUT"},
		{200, "AAAA-BBBB\r\n", endpoint.Success, "", "[redacted]", "[redacted 1]"},
		{404, "unknown product\n", endpoint.Retryable, "", "unknown product", "unknown product\n"},
		{503, "", endpoint.Retryable, "", "", ""},
	} {
		reply := endpoint.Reply{Status: c.status, Body: []byte(c.body)}
		v := endpoint.Judge(in, "create", 1, reply)
		require.Equal(t, c.outcome, v.Outcome, c.body+v.Reason)
		require.Equal(t, c.code, v.ErrorCode, c.body)
		require.Equal(t, c.words, v.ErrorMessage, c.body)
		require.Equal(t, c.show, string(endpoint.RedactReply(in, "create", reply, v)))
	}
}

func TestTextFormatsAreChecked(t *testing.T) {
	t.Parallel()
	for want, in := range map[string]keyturn.Integration{
		"replyFormat must be json, text or lines": readingText("xml", map[string]keyturn.ResponsePath{"a": {Path: "$.a"}}),
		"must say what the text is":               readingText(keyturn.ReplyText, nil),
		"must be $, the whole text": readingText(keyturn.ReplyText,
			map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key"}}),
		"must select lines": readingText(keyturn.ReplyLines, map[string]keyturn.ResponsePath{"activationCode": {Path: "$"}}),
	} {
		require.ErrorContains(t, endpoint.Check(in, true), want)
	}
}
