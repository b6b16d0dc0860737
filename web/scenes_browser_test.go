package web_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"keyturn.dev/keyturn/internal/testkit"
)

// telephones are browsers in which scenes are looked at, one at a time in each.
type telephones chan *browser

// everywhere says that scenes are looked at in each language, and by all rules in dark colors, too.
func everywhere() bool { return os.Getenv("KEYTURN_TEST_SCENES") == "all" }

// openTelephones opens two browsers. Who cannot have a browser is told, and does without.
func openTelephones(t *testing.T) telephones {
	t.Helper()
	if !testkit.CanBrowse() {
		t.Log("no scene is looked at in a browser, because there is none: put chromium or google-chrome on the PATH")
		return nil
	}
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
	if phones == nil {
		return
	}
	b := <-phones
	defer func() { phones <- b }()
	b.t, b.noted = t, nil
	b.enters(x, s, shown)
	b.fitsScreens(x.name + " " + s.lang)
	assert.Empty(t, b.axe(shown.rules()), s.lang)
	b.dark(true)
	inDark := contrast
	if everywhere() {
		inDark = shown.rules()
	}
	assert.Empty(t, b.axe(inDark), "%s, dark", s.lang)
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
