package keyturn_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// filesOf returns the repository's files whose name ends in suffix. What is built or downloaded is not the
// repository's.
func filesOf(t *testing.T, suffix string) []string {
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, suffix):
			files = append(files, path)
		}
		return nil
	}))
	require.NotEmpty(t, files)
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

var (
	links     = regexp.MustCompile(`!?\[([^\]]*)\]\(([^)\s]+)\)`)
	testNames = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*`)
	headings  = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fences    = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	pagesInGo = regexp.MustCompile(`\bdocs/[\w./-]+\.md\b`)
)

// slugs returns the anchors of a page's headings, as GitHub and GitLab make them.
func slugs(page string) []string {
	var all []string
	for _, m := range headings.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		all = append(all, strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// The domain knows no SQL: the columns of its types are the mapper's and the statements' business.
func TestTheDomainHasNoDatabaseTags(t *testing.T) {
	for _, path := range filesOf(t, ".go") {
		if filepath.Dir(path) == "." && !strings.HasSuffix(path, "_test.go") {
			require.NotContains(t, read(t, path), `db:"`, path)
		}
	}
}

// A relative link leads to a file of the repository, and to a heading of it where it names one. A link whose text names
// tests leads to a file that has them.
func TestLinksOfThePagesResolve(t *testing.T) {
	t.Parallel()
	for _, page := range filesOf(t, ".md") {
		for _, m := range links.FindAllStringSubmatch(fences.ReplaceAllString(read(t, page), ""), -1) {
			text, link := m[1], m[2]
			if strings.Contains(link, ":") {
				continue // another site's
			}
			path, anchor, _ := strings.Cut(link, "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
			}
			info, err := os.Stat(target)
			require.NoError(t, err, "%s links to %s", page, link)
			if anchor != "" {
				require.Contains(t, slugs(read(t, target)), anchor, "%s links to %s", page, link)
			}
			for _, name := range testNames.FindAllString(text, -1) {
				require.False(t, info.IsDir(), "%s: the link of %s names its file", page, name)
				require.Contains(t, read(t, target), "func "+name+"(", "%s says that %s is in %s", page, name, link)
			}
		}
	}
}

// Every test that a page names exists, with or without a link.
func TestPagesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, file := range filesOf(t, "_test.go") {
		code.WriteString(read(t, file))
	}
	for _, page := range filesOf(t, ".md") {
		for _, name := range testNames.FindAllString(read(t, page), -1) {
			if name != "TestMode" { // a status of an integration
				require.Contains(t, code.String(), "func "+name+"(", "%s names %s", page, name)
			}
		}
	}
}

// The index has every page, and comments in the code cite pages that exist.
func TestEveryPageIsInTheIndex(t *testing.T) {
	t.Parallel()
	indexed := map[string]bool{"docs/README.md": true}
	for _, m := range links.FindAllStringSubmatch(read(t, "docs/README.md"), -1) {
		indexed[filepath.ToSlash(filepath.Join("docs", m[2]))] = true
	}
	for _, page := range filesOf(t, ".md") {
		if page = filepath.ToSlash(page); strings.HasPrefix(page, "docs/") {
			require.True(t, indexed[page], "docs/README.md has no line for %s", page)
		}
	}
	for _, file := range filesOf(t, ".go") {
		for _, page := range pagesInGo.FindAllString(read(t, file), -1) {
			_, err := os.Stat(page)
			require.NoError(t, err, "%s cites %s", file, page)
		}
	}
}
