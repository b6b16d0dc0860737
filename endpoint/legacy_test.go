package endpoint

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The default paths of all operations, and of the two that the first contract called otherwise where the integration
// says so; per-operation definitions and the fallback.
func TestWhereOperationsGo(t *testing.T) {
	t.Parallel()
	at := func(path string) keyturn.Operation { return keyturn.Operation{URLComplement: path} }
	for _, c := range []struct {
		name       string
		operations map[string]keyturn.Operation
		want       map[string]string // "": refused
	}{
		{"default", nil, map[string]string{
			"create": "/licenses/new", "renew": "/licenses/renew", "upgrade": "/licenses/upgrade", "cancel": "/licenses/cancel",
			"pause": "/licenses/pause", "resume": "/licenses/resume",
		}},
		{"the first contract", map[string]keyturn.Operation{"suspend": {}, "reactivate": {}}, map[string]string{
			"create": "/licenses/new", "renew": "/licenses/renew", "pause": "/licenses/suspend",
			"resume": "/licenses/reactivate",
		}},
		{
			"an old name with its own path",
			map[string]keyturn.Operation{"suspend": at("/stop")},
			map[string]string{"pause": "/stop", "resume": ""},
		},
		{"own and fallback", map[string]keyturn.Operation{
			"renew": at("/again"), "suspend": {},
			"fallback": at("/do/{{.Operation}}"),
		}, map[string]string{
			"create": "/do/create", "renew": "/again", "pause": "/licenses/suspend", "resume": "/do/resume",
			"cancel": "/do/cancel",
		}},
		{
			"no fallback",
			map[string]keyturn.Operation{"create": at("/new")},
			map[string]string{"create": "/new", "cancel": "", "upgrade": ""},
		},
	} {
		in := keyturn.Integration{ID: "acme", BaseURL: "https://partner.test/base", Operations: c.operations}
		require.NoError(t, Check(in, true), c.name)
		for op, path := range c.want {
			require.Equal(t, path != "", in.Defines(keyturn.OperationName(op)), "%s: %s", c.name, op)
			r, err := Render(WithDefaults(in), op, samples(op)[0])
			if path == "" {
				require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err), "%s: %s", c.name, op)
				continue
			}
			require.NoError(t, err, "%s: %s", c.name, op)
			require.Equal(t, "https://partner.test/base"+path, r.URL, c.name)
		}
	}
}
