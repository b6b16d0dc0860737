package web_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// telephones are browsers in which scenes are looked at, one at a time in each.
type telephones chan *browser

// everywhere says that every scene is looked at, and the pages without one in each language.
func everywhere() bool { return os.Getenv("KEYTURN_TEST_SCENES") == "all" }

// openTelephones opens two browsers.
func openTelephones(t *testing.T) telephones {
	t.Helper()
	out := make(telephones, 2)
	for range cap(out) {
		out <- surfFor(t, time.Hour)
	}
	return out
}

// requireSound looks at what a scene has shown: nothing runs over to the right, axe-core finds nothing, and the browser
// does not complain.
func (phones telephones) requireSound(t *testing.T, x scene, s *stage, shown sight) {
	t.Helper()
	b := <-phones
	defer func() { phones <- b }()
	b.t, b.noted = t, nil
	b.enters(x, s, shown)
	b.fitsScreens(x.name + " " + s.lang)
	assert.Empty(t, b.axe(shown.rules()), s.lang)
	b.dark(true)
	assert.Empty(t, b.axe(shown.rules()), "%s, dark", s.lang)
	b.dark(false)
	b.calm()
}

// rules are those that axe-core is to look by: all of a page, and of an e-mail those of WCAG, because the mailbox that
// shows it is the page.
func (s sight) rules() string {
	if !s.isEmail() {
		return `{}`
	}
	return `{runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}`
}
