package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// Replies as real partners send them: a line end behind the key, and a key of several lines.
func TestKeysOfRealReplies(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"reply-key-with-line-end.json": "AAAA-BBBB-1",
		"reply-key-of-several-lines.json": "-----BEGIN LICENSE-----\nQUFBQQ==\nQkJCQg==\n" +
			"-----END LICENSE-----",
	} {
		body, err := os.ReadFile("testdata/replies/" + file)
		require.NoError(t, err)
		v := judge(reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key"}}), 1, string(body))
		require.Equal(t, endpoint.Success, v.Outcome, v.Reason)
		require.Equal(t, []string{want}, codes(v))
	}
}

// A conversion comes before the judgement: it may mend what cannot be a key, and it cannot make a key of nothing.
func TestAConversionMendsAKey(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{"activationCode": {
		Path: "$.keys+", ConversionTemplate: `{{slice . 0 4}}-{{slice . 5 9}}`,
	}})
	v := judge(in, 2, `{"keys":["AAAA\u0000BBBB","CCCC\tDDDD", " \r\n"]}`)
	require.Equal(t, endpoint.Success, v.Outcome, v.Reason)
	require.Equal(t, []string{"AAAA-BBBB", "CCCC-DDDD"}, codes(v))
	plain := reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.keys+"}})
	require.Equal(t, keyturn.KindBadReply, judge(plain, 1, `{"keys":["AAAA\u0000BBBB"]}`).Kind)
	worse := reading(map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key", ConversionTemplate: "{{.}}\x00"}})
	require.Equal(t, keyturn.KindBadReply, judge(worse, 1, `{"key":"AAAA"}`).Kind)
}

func TestLinksAndFilesOfSeveralUnits(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationLink": {Path: "$.links+"}, "activationFileContent": {Path: "$.files[*].data+"},
		"activationFileName": {Path: "$.files[*].name+"},
	})
	v := judge(in, 3, `{"links":["https://p.test/1","https://p.test/2","https://p.test/3"]}`)
	require.Equal(t, endpoint.Success, v.Outcome, v.Reason)
	require.Len(t, v.Deliverable.ActivationLinks, 3)
	v = judge(in, 3, `{"links":["https://p.test/1"]}`)
	require.Equal(t, endpoint.Success, v.Outcome, "one for all units")
	v = judge(in, 3, `{"links":["https://p.test/1","https://p.test/2"]}`)
	require.Equal(t, keyturn.KindBadReply, v.Kind)
	require.Equal(t, "the reply holds 2 links or files for 3 units", v.Reason)

	file := func(name, data string) endpoint.File {
		return endpoint.File{Name: name, ContentType: "application/octet-stream", Data: []byte(data)}
	}
	v = judge(in, 2, `{"files":[{"name":"a.lic","data":"QQ=="},{"name":"b.lic","data":"Qg=="}]}`)
	require.Equal(t, []endpoint.File{file("a.lic", "A"), file("b.lic", "B")}, v.Deliverable.Files)
	v = judge(in, 2, `{"files":[{"data":"QQ=="},{"name":"b.lic","data":"Qg=="}]}`)
	require.Equal(t, []endpoint.File{file("activation-file.bin", "A"), file("activation-file.bin", "B")},
		v.Deliverable.Files, "nobody knows whose the name is")
}

func TestFileNamesOfPartners(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationFileContent": {Path: "$.data"}, "activationFileName": {Path: "$.name"},
	})
	for name, want := range map[string]string{
		"customer.lic":                    "customer.lic",
		"Müller GmbH (2026).lic":          "Müller GmbH (2026).lic",
		"../../etc/passwd":                "passwd",
		`C:\keys\customer.lic`:            "customer.lic",
		"a\x00b\r\nc\u202e.lic":           "abc.lic",
		`what? "this": <it>|*.lic`:        "what_ _this__ _it___.lic",
		".hidden":                         "hidden",
		"trailing. ":                      "trailing",
		"CON":                             "CON_",
		"nul.lic":                         "nul_.lic",
		"com1.tar.gz":                     "com1_.tar.gz",
		"..":                              "activation-file.bin",
		"/":                               "activation-file.bin",
		" ":                               "activation-file.bin",
		strings.Repeat("x", 300) + ".lic": strings.Repeat("x", 96) + ".lic",
		strings.Repeat("é", 300) + ".lic": strings.Repeat("é", 48) + ".lic",
	} {
		body, err := json.Marshal(map[string]string{"name": name, "data": base64.StdEncoding.EncodeToString([]byte("A"))})
		require.NoError(t, err)
		v := judge(in, 1, string(body))
		require.Equal(t, endpoint.Success, v.Outcome, v.Reason)
		require.Equal(t, want, v.Deliverable.Files[0].Name, "%q", name)
		require.Empty(t, v.Additional)
	}
}

// A partner that refuses a request may quote the key that it is about.
func TestKeysInAPartnersWordsAreMasked(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.key"}, "errorCode": {Path: "$.error.code"}, "errorMessage": {Path: "$.error.message"},
	})
	in.PermanentErrors.ErrorCodes = []string{"AAAA-1111"}
	v := judge(in, 1, `{"key":"AAAA-1111","error":{"code":"AAAA-1111","message":"aaaa-1111 was issued: AAAA-1111"}}`)
	require.Equal(t, "[redacted]", v.ErrorCode)
	require.Equal(t, "[redacted] was issued: [redacted]", v.ErrorMessage)
	require.Equal(t, endpoint.Permanent, v.Outcome, "what the partner said decides")
	v = judge(in, 1, `{"error":{"code":"NONE_LEFT","message":"none left"}}`)
	require.Equal(t, "NONE_LEFT", v.ErrorCode)
	require.Equal(t, "none left", v.ErrorMessage)
}
