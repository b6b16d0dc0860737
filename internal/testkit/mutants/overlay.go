package mutants

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Patch is an edit of source: Old, which must stand exactly once in the product's source, becomes New. New may use this
// package under its name.
type Patch struct{ Old, New string }

const (
	importPath  = "keyturn.dev/keyturn/internal/testkit/mutants"
	markerPath  = "internal/testkit/mutants/in_build.go"
	markerFile  = "package mutants\n\nfunc init() { InBuild = true }\n"
	overlayFile = "overlay.json"
)

// Overlay writes the edited copies of the module's source to a folder, and beside them the file that tells the go
// command to compile them in place of the originals. It returns that file's path, for `go test -overlay`.
func Overlay(module, dir string) (string, error) {
	edited, err := apply(os.DirFS(module), patches)
	if err != nil {
		return "", err
	}
	edited[markerPath] = markerFile
	if module, err = filepath.Abs(module); err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for path, text := range edited {
		copied := filepath.Join(dir, filepath.FromSlash(path))
		overlay.Replace[filepath.Join(module, filepath.FromSlash(path))] = copied
		if err := write(copied, []byte(text)); err != nil {
			return "", err
		}
	}
	text, err := json.MarshalIndent(overlay, "", "\t")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, overlayFile)
	return name, write(name, text)
}

func write(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}

// apply returns the text of each file that a patch edits. It fails unless every Old stands exactly once: a patch that
// misses its place would leave its mutant without the bug.
func apply(module fs.FS, patches []Patch) (map[string]string, error) {
	source, err := productSource(module)
	if err != nil {
		return nil, err
	}
	edited := map[string]string{}
	var problems []error
	for _, p := range patches {
		var paths []string
		for path, text := range source {
			for range strings.Count(text, p.Old) {
				paths = append(paths, path)
			}
		}
		if len(paths) != 1 {
			slices.Sort(paths)
			problems = append(problems, fmt.Errorf("this text must stand once in the product's source and stands %d times %v; "+
				"bring internal/testkit/mutants/patches.go up to date:%s", len(paths), paths, p.Old))
			continue
		}
		source[paths[0]] = strings.Replace(source[paths[0]], p.Old, p.New, 1)
		edited[paths[0]] = source[paths[0]]
	}
	for path, text := range edited {
		if !strings.Contains(text, "mutants.") {
			continue
		}
		if edited[path], err = withImport(path, text); err != nil {
			problems = append(problems, err)
		}
	}
	return edited, errors.Join(problems...)
}

// productSource returns the module's Go files by path, without tests, test data, tools and this package.
func productSource(module fs.FS) (map[string]string, error) {
	source := map[string]string{}
	err := fs.WalkDir(module, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := path != "." && strings.HasPrefix(d.Name(), ".")
			if hidden || d.Name() == "testdata" || path == "internal/testkit" || path == "tools" || path == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			text, err := fs.ReadFile(module, path)
			source[path] = string(text)
			return err
		}
		return nil
	})
	return source, err
}

// withImport adds the import of this package behind the package clause, and parses the result.
func withImport(path, text string) (string, error) {
	files := token.NewFileSet()
	clause, err := parser.ParseFile(files, path, text, parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	end := files.Position(clause.Name.End()).Offset
	text = text[:end] + "\n\nimport \"" + importPath + "\"" + text[end:]
	_, err = parser.ParseFile(files, path, text, parser.SkipObjectResolution)
	return text, err
}
