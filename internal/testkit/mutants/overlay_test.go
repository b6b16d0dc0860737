package mutants

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestPatchesFitTheSource(t *testing.T) {
	edited, err := apply(os.DirFS("../../.."), patches)
	require.NoError(t, err)
	for _, p := range patches {
		var files int
		for _, text := range edited {
			files += strings.Count(text, p.New)
		}
		require.Equal(t, 1, files, p.New)
	}
}

func TestPatchThatMissesItsPlaceFails(t *testing.T) {
	module := fstest.MapFS{
		"a/a.go":                {Data: []byte("package a\n\nvar one = 1\nvar same = 2\n")},
		"b/b.go":                {Data: []byte("package b\n\nvar same = 2\n")},
		"b/b_test.go":           {Data: []byte("package b\n\nvar one = 1\n")},
		"internal/testkit/t.go": {Data: []byte("package t\n\nvar one = 1\n")},
	}
	edited, err := apply(module, []Patch{{Old: "var one = 1", New: "var one = mutants.One"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"a/a.go": "package a\n\nimport \"" + importPath + "\"\n\nvar one = mutants.One\nvar same = 2\n",
	}, edited)

	for old, want := range map[string]string{
		"var none = 0": "stands 0 times []",
		"var same = 2": "stands 2 times [a/a.go b/b.go]",
	} {
		_, err := apply(module, []Patch{{Old: old, New: "var other = 3"}})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, old)
	}
	_, err = apply(module, []Patch{{Old: "var one = 1", New: "var one = mutants."}})
	require.ErrorContains(t, err, "a/a.go")
}
