package endpoint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// A partner that issued a key where no path looks must not have it shown to whoever looks at the attempt.
func TestRepliesWhosePathsMissTheKeyShowNoValues(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.code"}, "errorMessage": {Path: "$.note"},
		"successFlag": {Path: "$.ok"},
	})
	for body, want := range map[string]string{
		`{"license":{"key":"K-1","no":17},"ok":"true"}`: `{"license":{"key":"[redacted 1]","no":"[redacted 2]"},"ok":"true"}`,
		`{"key":"K-1","ok":"false","note":"none left"}`: `{"key":"[redacted 1]","ok":"false","note":"none left"}`,
		`{"code":"K-1","other":"shown","ok":"true"}`:    `{"code":"[redacted 1]","other":"shown","ok":"true"}`,
		`{"key":["K-1","key","K-1"],"ok":"true"}`:       `{"key":["[redacted 1]","[redacted 2]","[redacted 1]"],"ok":"true"}`,
		`{"key":"K-1`:      `{"key":"[redacted]"`,
		`K-1`:              `[3 bytes that are no JSON; they are not shown, because they may hold a key]`,
		`<html>K-1</html>`: `[16 bytes that are no JSON; they are not shown, because they may hold a key]`,
		``:                 ``,
	} {
		reply := endpoint.Reply{Status: 200, Body: []byte(body)}
		v := endpoint.Judge(in, "create", 1, reply)
		shown := endpoint.RedactReply(in, "create", reply, v)
		require.Equal(t, want, string(shown))
		again := endpoint.Judge(in, "create", 1, endpoint.Reply{Status: 200, Body: shown})
		require.Equal(t, v.Outcome, again.Outcome, body)
		require.Equal(t, v.Kind, again.Kind, body)
	}
	failed := endpoint.Reply{Status: 503, Body: []byte(`{"why":"maintenance"}`)}
	require.JSONEq(t, `{"why":"maintenance"}`,
		string(endpoint.RedactReply(in, "create", failed, endpoint.Judge(in, "create", 1, failed))))
}
