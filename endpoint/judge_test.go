package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// reading is an integration whose create reads a reply through these paths.
func reading(paths map[string]keyturn.ResponsePath) keyturn.Integration {
	return keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test", AllowFilters: true, AllowDescendants: true,
		Operations: map[string]keyturn.Operation{"create": {ResponsePaths: paths}},
	}
}

func judge(in keyturn.Integration, units int, body string) endpoint.Verdict {
	return endpoint.Judge(in, "create", units, endpoint.Reply{Status: 200, Body: []byte(body)})
}

func TestRefusedPaths(t *testing.T) {
	t.Parallel()
	part := sections(t, "testdata/contract/jsonpath.txt")
	for path := range strings.SplitSeq(part["refused"], "\n") {
		in := reading(map[string]keyturn.ResponsePath{"found": {Path: path}})
		require.Error(t, endpoint.Check(in, true), path)
		require.NotPanics(t, func() { judge(in, 0, `{"a":1}`) })
	}
	in := reading(map[string]keyturn.ResponsePath{"found": {Path: `$[?@.a==1]`}})
	in.AllowFilters = false
	require.ErrorContains(t, endpoint.Check(in, true), "allowFilters")
	in = reading(map[string]keyturn.ResponsePath{"found": {Path: `$..a`}})
	in.AllowDescendants = false
	require.ErrorContains(t, endpoint.Check(in, true), "allowDescendants")
}

func TestValues(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.k"}, "extra": {Path: "$.x"}})
	for body, want := range map[string]string{
		`{"k":"A-1"}`: "A-1", `{"k":" A 1 "}`: "A 1", `{"k":12345678901234567890}`: "12345678901234567890",
		`{"k":-7}`:       "-7",
		`{"k":"<&>\"'"}`: `<&>"'`, `{"k":"Ключ-1"}`: "Ключ-1", "\xef\xbb\xbf" + `{"k":"BOM"}`: "BOM",
		" \n{\"k\":\"space\"}\r\n": "space", `{"k":"AAAA-BBBB-1\r\n"}`: "AAAA-BBBB-1", `{"k":"\ufeffA\u200b\u200e"}`: "A",
		`{"k":"-----BEGIN LICENSE-----\r\nQUFB\nQkJC\r\n-----END LICENSE-----\n"}`: "-----BEGIN LICENSE-----\nQUFB\nQkJC\n" +
			"-----END LICENSE-----",
	} {
		v := judge(in, 1, body)
		require.Equal(t, []string{want}, codes(v), body+v.Reason)
	}
	for _, body := range []string{
		`{"k":true}`, `{"k":1.5}`, `{"k":1e3}`, `{"k":{}}`, `{"k":["a","b"]}`, `{"k":[]}`, `{"k":"a\tb"}`, `{"k":"a\u0000"}`,
		`{"k":"\t"}`, `{"k":" \u200b\ufeff\r\n"}`, `{"k":"a\u200bb"}`,
		`{"k":"a\u202eb"}`, `{"k":"\ud800"}`, "{\"k\":\"\xff\"}", `{"k":"` + strings.Repeat("a", 4097) + `"}`, // values
		``, `{}`, `{"k":null}`, `{"k":""}`, `{"k":"  "}`, `{"other":1}`, `[]`, `"text"`, `null`, // nothing there
		`<html>ok</html>`, `{"k":"a"}{"k":"b"}`, "{\"k\":\"a\"}\n{\"k\":\"b\"}", `{"k":"a"} trailing`, `{"k":"a"`, `<k>a</k>`,
		"\xff\xfe{\x00}\x00", `{'k':'a'}`,
		strings.Repeat("[", 33) + strings.Repeat("]", 33), `[` + strings.Repeat("1,", 10_000) + `1]`,
		strings.Repeat(`{"k":`, 10_001),
	} {
		v := judge(in, 1, body)
		require.Equal(t, endpoint.Retryable, v.Outcome, "%.60s", body)
		require.Equal(t, keyturn.KindBadReply, v.Kind, "%.60s", body)
		require.True(t, v.Deliverable.Empty())
	}
	v := endpoint.Judge(in, "create", 1, endpoint.Reply{Status: 200, Body: []byte(`{"k":"A"}`), Truncated: true})
	require.Equal(t, keyturn.KindBadReply, v.Kind)
	for body, want := range map[string]string{
		`1.50`: "1.5", `3.0`: "3", `true`: "true", `12345678901234567890`: "12345678901234567890",
		`1e2`: "100", `-0`: "0", `0.1`: "0.1", `1e-7`: "0.0000001", `100`: "100",
	} {
		require.Equal(t, []string{want}, judge(in, 1, `{"k":"A","x":`+body+`}`).Additional["extra"], body)
	}
	for _, body := range []string{`1e999999999`, `{"a":1}`, `[1]`, `null`, `""`, `"a\u0007"`} {
		v := judge(in, 1, `{"k":"A","x":`+body+`}`)
		require.Equal(t, endpoint.Success, v.Outcome)
		require.Empty(t, v.Additional)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	all := reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.k+"}, "activationLink": {Path: "$.l"}})
	ack := reading(map[string]keyturn.ResponsePath{"errorCode": {Path: "$.e"}})
	for _, c := range []struct {
		in      keyturn.Integration
		units   int
		body    string
		success bool
	}{
		{all, 2, `{"k":["a","b"]}`, true},
		{all, 2, `{"k":["a","b","c"]}`, true},
		{all, 3, `{"k":["a","b"]}`, false},
		{all, 2, `{"k":["a","a"]}`, false},
		{all, 2, `{"k":["a",""]}`, false},
		{all, 2, `{"k":["a",null]}`, false},
		{all, 1, `{"k":"a"}`, true},
		{all, 1, `{}`, false},
		{all, 0, `{}`, true},
		{all, 0, ``, true},
		{all, 1, `{"l":"https://p.test/x"}`, true},
		{all, 5, `{"l":"https://p.test/x"}`, true},
		{all, 2, `{"k":"a","l":"https://p.test/x"}`, false},
		{ack, 1, `{}`, true},
		{ack, 3, ``, true},
		{reading(nil), 2, `anything`, true},
	} {
		v := judge(c.in, c.units, c.body)
		require.Equal(t, c.success, v.Outcome == endpoint.Success, "%d %s %s", c.units, c.body, v.Reason)
		if !c.success {
			require.Equal(t, keyturn.KindBadReply, v.Kind)
		}
	}
	byDefault := keyturn.Integration{ID: "a", BaseURL: "https://partner.test"}
	require.Equal(t, endpoint.Retryable, judge(byDefault, 1, `{}`).Outcome)
	require.Equal(t, []string{"a"}, codes(judge(byDefault, 1, `{"activationCode":"a"}`)))
	require.Equal(t, []string{"a", "b"}, codes(judge(byDefault, 2, `{"activationCode":["a","b"]}`)))
	require.Equal(t, []string{"L"}, judge(byDefault, 1,
		`{"activationCode":"a","publisherLicenseId":"L"}`).Additional["publisherLicenseID"])
}

func TestLinksAndFiles(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{"activationLink": {Path: "$.l"}, "activationFileContent": {Path: "$.f"}})
	in.BaseURL = "https://partner.test"
	for link, ok := range map[string]bool{
		"https://p.test/a?b=c": true, "http://p.test/a": false, "javascript:alert(1)": false, "data:text/html,x": false,
		"//p.test/a":          false,
		"https://u:p@p.test/": false, "https://": false, "/a": false, "https://p.test/" + strings.Repeat("a", 3000): false,
		"https://p.test/<script>": false, "https://p.test/a b": false,
	} {
		body, _ := json.Marshal(map[string]string{"l": link})
		require.Equal(t, ok, judge(in, 1, string(body)).Outcome == endpoint.Success, link)
	}
	plain := in
	plain.BaseURL = "http://localhost:1"
	require.Equal(t, endpoint.Success, judge(plain, 1, `{"l":"http://p.test/a"}`).Outcome)

	content := []byte{0xfb, 0xff, 'l', 'i', 'c', 'e', 'n', 'c', 'e'}
	wrapped := base64.StdEncoding.EncodeToString(content)
	for _, text := range []string{
		wrapped, base64.RawStdEncoding.EncodeToString(content), base64.URLEncoding.EncodeToString(content),
		base64.RawURLEncoding.EncodeToString(content), wrapped[:4] + "\r\n" + wrapped[4:],
	} {
		body, _ := json.Marshal(map[string]string{"f": text})
		v := judge(in, 1, string(body))
		require.Equal(t, []endpoint.File{
			{Name: "activation-file.bin", ContentType: "application/octet-stream", Data: content},
		}, v.Deliverable.Files, v.Reason)
	}
	for _, text := range []string{
		`"not base64!"`, `"A"`, `7`, `["QQ"]`, `{"a":"QQ"}`,
		`"` + strings.Repeat("QUJD", 1<<20/3+2) + `"`,
	} {
		require.Equal(t, keyturn.KindBadReply, judge(in, 1, `{"f":`+text+`}`).Kind, "%.30s", text)
	}
}

func TestConversion(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.k+", ConversionTemplate: `KEY-{{slice . 0 2}}`},
		"successFlag":    {Path: "$.state", ConversionTemplate: `{{if eq . "DONE" "ISSUED"}}true{{else}}false{{end}}`},
		"until":          {Path: "$.until", ConversionTemplate: `{{timestampToRFC3339 .}}`},
	})
	v := judge(in, 2, `{"k":["abc","def"],"state":"ISSUED","until":1781514000000}`)
	require.Equal(t, []string{"KEY-ab", "KEY-de"}, codes(v), v.Reason)
	require.Equal(t, []string{"2026-06-15T09:00:00Z"}, v.Additional["until"])
	require.Equal(t, keyturn.KindRejected, judge(in, 2, `{"k":["abc","def"],"state":"NO"}`).Kind)
	v = judge(in, 1, `{"k":"a","state":"DONE"}`)
	require.Equal(t, keyturn.KindBadReply, v.Kind)
	require.NotContains(t, v.Reason, "abc")
}

func TestVerdictWords(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{"errorCode": {Path: "$.c"}, "errorMessage": {Path: "$.m"}})
	v := judge(in, 1, `{"c":"E\n\u202e`+strings.Repeat("x", 100)+`","m":"line1\nline2\u0007\u202e `+strings.Repeat("é",
		600)+`"}`)
	require.Len(t, []rune(v.ErrorCode), 64)
	require.Len(t, []rune(v.ErrorMessage), 500)
	require.True(t, strings.HasPrefix(v.ErrorMessage, "line1 line2 éé"))
	require.NotContains(t, v.Reason, "line1")

	date := "Mon, 15 Jun 2026 09:00:00 GMT"
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "99999999": 24 * time.Hour, "99999999999999999999": 0, "soon": 0, "1.5": 0,
		"Mon, 15 Jun 2026 09:05:00 GMT": 5 * time.Minute, "Mon, 15 Jun 2026 08:00:00 GMT": 0,
		"Mon, 15 Jun 2099 08:00:00 GMT": 24 * time.Hour,
	} {
		v := endpoint.Judge(in, "create", 1, endpoint.Reply{
			Status: 429,
			Header: http.Header{"Retry-After": {text}, "Date": {date}},
		})
		require.Equal(t, want, v.RetryAfter, text)
	}
	v = endpoint.Judge(in, "renew", 1, endpoint.Reply{Status: 200})
	require.Equal(t, keyturn.KindConfiguration, v.Kind)
}

func TestDeliverableHidesItself(t *testing.T) {
	t.Parallel()
	d := endpoint.Deliverable{
		ActivationCodes: []keyturn.Secret{"TOPSECRET"}, ActivationLinks: []keyturn.Secret{"https://TOPSECRET"},
		Files: []endpoint.File{{Name: "f", Data: []byte("TOPSECRET")}},
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "d", d, "v", endpoint.Verdict{Deliverable: d}, "f", d.Files[0])
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "d", d, "p", &d, "f", d.Files)
	marshalled, err := json.Marshal(d)
	require.NoError(t, err)
	text := log.String() + string(marshalled)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text += fmt.Sprintf(verb, d) + fmt.Sprintf(verb, &d) + fmt.Sprintf(verb, endpoint.Verdict{Deliverable: d})
	}
	require.NotContains(t, text, "TOPSECRET")
	require.NotContains(t, text, fmt.Sprintf("%x", "TOPSECRET"))
	require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("TOPSECRET")))
	encoded, err := d.Encode()
	require.NoError(t, err)
	again, err := endpoint.DecodeDeliverable(encoded)
	require.NoError(t, err)
	require.Equal(t, d, again)
}

// The same reply gives the same codes in the same order every time.
func TestJudgeIsDeterministic(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.keys.*+"}})
	body := `{"keys":{"z":"1","a":"2","m":"3","b":"4","y":"5"}}`
	for range 50 {
		require.Equal(t, []string{"2", "4", "3", "5", "1"}, codes(judge(in, 5, body)))
	}
}

func FuzzJudge(f *testing.F) {
	for _, seed := range []string{
		`{"k":"A"}`, `{"k":["A","B"],"e":{"c":"X"}}`, `{"f":"QUJD","l":"https://p.test/"}`,
		`[{"s":"on","k":1}]`, "\xef\xbb\xbf{}", `{"k":1e400}`, `{"k":"\ud800"}`,
	} {
		f.Add("$.k+", 200, []byte(seed))
		f.Add("$[?@.s=='on'].k+", 200, []byte(seed))
		f.Add("$['k'][-1:]", 503, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, path string, status int, body []byte) {
		in := reading(map[string]keyturn.ResponsePath{
			"activationCode": {Path: path}, "errorCode": {Path: "$.e.c"}, "activationFileContent": {Path: "$.f"},
			"activationLink": {Path: "$.l"}, "successFlag": {Path: "$.ok"}, "more": {Path: "$.*+"},
		})
		reply := endpoint.Reply{Status: status, Body: body}
		v := endpoint.Judge(in, "create", 1, reply)
		require.Equal(t, v, endpoint.Judge(in, "create", 1, reply))
		require.NotEqual(t, "the reply could not be read", v.Reason) // a panic was caught
		if v.Outcome == endpoint.Success {
			require.True(t, status >= 200 && status <= 299)
			require.False(t, v.Deliverable.Empty())
		} else {
			require.True(t, v.Deliverable.Empty())
		}
		for _, code := range codes(v) {
			key, err := keyturn.CleanKey(code)
			require.NoError(t, err)
			require.Equal(t, key, code)
			require.NotEmpty(t, code)
		}
		endpoint.RedactReply(in, "create", reply, v)
	})
}
