package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The sheets of integrations, as a merchant sees them. To write them anew: KEYTURN_UPDATE=1.
func TestDrillSheets(t *testing.T) {
	for id, wantErr := range map[string]string{
		"plain": "", "custom": "", "careless": "1 of 23 drills failed", "renamed": "", "text": "", "nameless": "1 of 23 drills failed",
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			cmd := newRoot()
			cmd.SetOut(&out)
			cmd.SetErr(&bytes.Buffer{})
			cmd.SetArgs([]string{"drill", "testdata/drill/catalog.yaml", "--integration", id})
			err := cmd.ExecuteContext(t.Context())
			if wantErr == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, wantErr)
			}
			golden := filepath.Join("testdata", "drill", id+".txt")
			if os.Getenv("KEYTURN_UPDATE") != "" {
				require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), out.String())
		})
	}
}

func TestDrillSaysWhatIsWrongWithItsInput(t *testing.T) {
	t.Parallel()
	noID := filepath.Join(t.TempDir(), "no-id.yaml")
	require.NoError(t, os.WriteFile(noID, []byte(`
integrations:
  - id: acme
    baseUrl: https://partner.test
    operations:
      create: {urlComplement: /new, bodyTemplate: '{"sku":"{{.Product.ID}}"}', responsePaths: {activationCode: $.key}}
`), 0o600))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"several": {
			[]string{"testdata/drill/catalog.yaml"},
			"the file has several integrations; choose one with --integration: plain, custom, careless, renamed, text, nameless",
		},
		"no such": {
			[]string{"testdata/drill/catalog.yaml", "--integration", "x"},
			"the file has several integrations; choose one with --integration",
		},
		"no file":       {[]string{"testdata/none.yaml"}, "cannot be read"},
		"no id in body": {[]string{noID}, "put {{.LicenseID}} into bodyTemplate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := newRoot()
			cmd.SetOut(&bytes.Buffer{})
			cmd.SetErr(&bytes.Buffer{})
			cmd.SetArgs(append([]string{"drill"}, c.args...))
			require.ErrorContains(t, cmd.ExecuteContext(t.Context()), c.want)
		})
	}
}
