package web_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

var markup = regexp.MustCompile(`</?[a-z][^>]*>|&(#\d+|[a-z]+);`)

// requireSameText requires of an e-mail that its text part, which some programs show alone, says all that its HTML part
// says, and nothing else: each sentence, key and link.
func (s sight) requireSameText(t *testing.T) {
	t.Helper()
	require.NotRegexp(t, markup, s.text, "the text part has no HTML")
	text := flat(s.text)
	passages, links := readHTML(t, s.html)
	require.NotEmpty(t, passages)
	require.NotEmpty(t, links)
	for _, passage := range passages {
		require.Contains(t, text, passage, "the text part says what the HTML part says")
	}
	for _, link := range links {
		require.Contains(t, text, strings.TrimPrefix(link, "mailto:"), "the text part leads where the HTML part leads")
	}
	said := map[string]bool{">": true, ":": true} // of quotations, and between the label and the value of a row
	for _, word := range strings.Fields(strings.Join(slices.Concat(passages, links), " ")) {
		said[word], said[word+":"] = true, true
	}
	for _, word := range strings.Fields(text) {
		require.True(t, said[word], "the HTML part says what the text part says: %q", word)
	}
}

// save saves the HTML part of an e-mail in the folder KEYTURN_TEST_EMAILS, for tools/emails.
func (s sight) save(t *testing.T, name string) {
	t.Helper()
	if folder := os.Getenv("KEYTURN_TEST_EMAILS"); folder != "" {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".html"), []byte(s.html), 0o600))
	}
}

// flat has a space in place of all that is between words.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// readHTML gives what a reader reads of an e-mail, and where its links lead. The text of a button is left out, because
// the text part has its address in place of it.
func readHTML(t *testing.T, source string) (passages, links []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(source))
	require.NoError(t, err)
	var look func(n *html.Node)
	look = func(n *html.Node) {
		button := false
		for _, a := range n.Attr {
			if a.Key == "href" {
				links = append(links, a.Val)
			}
			button = button || n.DataAtom == atom.A && a.Key == "style"
		}
		if n.Type == html.TextNode && flat(n.Data) != "" {
			passages = append(passages, flat(n.Data))
		}
		for child := range n.ChildNodes() {
			if !button && child.DataAtom != atom.Head {
				look(child)
			}
		}
	}
	look(root)
	return passages, links
}
