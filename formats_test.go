package keyturn_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// go vet, which stands before every commit, knows Errorf, Check and Addf: a format that does not fit its arguments, of
// which a message would read "%!s(MISSING)", is an error there.
func TestVetKnowsTheFormatsOfMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(`package keyturn

func wrong(p *Problems, cause error) []error {
	p.Check(false, "a", "line 4 %s")
	p.Addf("a", "line 5 %d", "text")
	return []error{
		Errorf(KindInvalid, "line 7 %s"),
		Errorf(KindInvalid, "line 8 %s: %w", cause),
		Errorf(KindInvalid, "line 9", cause),
	}
}
`), 0o600))
	here, err := filepath.Abs("wrong_formats.go")
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{here: source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "vet", "-overlay", overlay, ".").CombinedOutput()
	require.Error(t, err, "%s", out)
	for _, line := range []string{":4:", ":5:", ":7:", ":8:", ":9:"} {
		require.Contains(t, string(out), line)
	}
}

// What vet does not see: a cause in the middle of a message, which would be shown there.
func TestCausesStandAtTheEndOfMessages(t *testing.T) {
	t.Parallel()
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 1 && d.Name()[0] == '.'):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 || !makesError(call.Fun, file.Name.Name) {
				return true
			}
			found++
			format := literal(call.Args[1])
			require.NotContains(t, strings.TrimSuffix(format, ": %w"), "%w", set.Position(call.Pos()))
			return true
		})
		return nil
	}))
	require.Greater(t, found, 100, "calls of keyturn.Errorf")
}

// makesError says whether a call is of keyturn.Errorf.
func makesError(fun ast.Expr, pkg string) bool {
	switch f := fun.(type) {
	case *ast.Ident:
		return pkg == "keyturn" && f.Name == "Errorf"
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && x.Name == "keyturn" && f.Sel.Name == "Errorf"
	}
	return false
}

// literal puts together the texts of a format; what is no literal is left out.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return literal(e.X) + literal(e.Y)
	}
	return ""
}
