package emulator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepliesAreMadeForPaths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		paths map[string]string
		keys  []string
		want  string
	}{
		"a name": {map[string]string{"activationCode": "$.key"}, []string{"A"}, `{"key":"A"}`},
		"nested": {
			map[string]string{"activationCode": `$.result["licence-key"]`, "successFlag": "$.result.ok"},
			[]string{"A"},
			`{"result":{"licence-key":"A","ok":"true"}}`,
		},
		"all of them": {
			map[string]string{"activationCode": "$.licenses[*].key+"},
			[]string{"A", "B"},
			`{"licenses":[{"key":"A"},{"key":"B"}]}`,
		},
		"the second": {map[string]string{"activationCode": "$.l[1].key"}, []string{"A"}, `{"l":[null,{"key":"A"}]}`},
		"a list":     {map[string]string{"activationCode": "$.keys[*]+"}, []string{"A", "B"}, `{"keys":["A","B"]}`},
		"a link": {
			map[string]string{"activationLink": "$.go"},
			[]string{"A"},
			`{"go":"https://download.partner.test/activate/A"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, Settings{Paths: c.paths}.Check())
			text, err := json.Marshal(pathShape(c.paths).success(c.keys))
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(text))
		})
	}
	text, err := json.Marshal(pathShape(map[string]string{
		"errorCode":    "$.error.code",
		"errorMessage": "$.error.text",
	}).failure("X", "why"))
	require.NoError(t, err)
	require.JSONEq(t, `{"error":{"code":"X","text":"why"}}`, string(text))
	require.Error(t, Settings{Paths: map[string]string{"activationCode": "$.a[?(@.b)]"}}.Check())
}
