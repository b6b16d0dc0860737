package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var update = flag.Bool("update", false, "remake docs/pictures where pages, e-mails or their style have changed; "+
	"look at them before you commit them")

const (
	picturesFolder = "../docs/pictures"
	picturesPage   = "../docs/use/pictures.md"
	stylesFile     = picturesFolder + "/styles.sha256"
	wordsFile      = picturesFolder + "/words.sha256"
)

// sceneGroups are all situations that a customer meets, as docs/use/pictures.md shows them. Whoever adds a page or an
// e-mail adds its scenes here and runs `make pictures`.
var sceneGroups = []struct {
	title  string
	scenes []scene
}{
	{"The checkout page", openScenes},
	{"The checkout page after “order and pay”", payingScenes},
	{"The order page", orderScenes},
	{"The order page when something is wrong", troubleScenes},
	{"The order page of what a checkout link sold", soldScenes},
	{"All purchases of an e-mail address", libraryScenes},
	{"E-mails about an item", lineMails},
	{"E-mails about a checkout link's order", saleMails},
}

func allScenes() (all []scene) {
	for _, g := range sceneGroups {
		all = append(all, g.scenes...)
	}
	return all
}

// Every situation has a picture in docs/pictures, and beside it the HTML that was pictured: whoever changes what
// customers see is told to look at it. What is pictured has been looked at in a browser, in each language, so what
// equals it is sound.
//
// Playing English alone is three times as fast, and the other languages differ from it by their words: those are
// compared as they stand in the code. All languages are played with -update, which looks at what has changed and
// pictures it; with KEYTURN_TEST_SCENES=all, which looks at everything; and with KEYTURN_TEST_EMAILS, which saves the
// e-mails in the folder of that name.
func TestPicturesShowWhatCustomersSee(t *testing.T) {
	t.Parallel()
	styles, words, camera := sumsOf(t, styleFiles...), sumsOf(t, wordFiles...), make(camera, 2)
	known, _ := os.ReadFile(stylesFile)
	restyled := string(known) != styles
	languages, looks := keyturn.PageLanguages, *update || everywhere()
	var phones telephones
	if looks {
		phones = openTelephones(t)
	} else if os.Getenv("KEYTURN_TEST_EMAILS") == "" {
		languages = languages[:1]
	}
	if !*update {
		assert.Equal(t, string(known), styles, "a style sheet or a script of the pages, or axe-core, has changed: "+
			"`make pictures` remakes the pictures in docs/pictures; look at them")
		assert.Equal(t, readIfThere(t, wordsFile), words, "texts of pages or e-mails have changed: `make pictures` remakes "+
			"the pictures of those that look different, in every language; look at them")
		assert.Equal(t, readIfThere(t, picturesPage), picturesText(), "`make pictures` writes docs/use/pictures.md anew")
	}
	var looked atomic.Int64
	t.Cleanup(func() {
		if *update && !t.Failed() && int(looked.Load()) == len(allScenes()) {
			require.NoError(t, os.WriteFile(stylesFile, []byte(styles), 0o600))
			require.NoError(t, os.WriteFile(wordsFile, []byte(words), 0o600))
			require.NoError(t, os.WriteFile(picturesPage, []byte(picturesText()), 0o600))
			removeOthers(t)
		}
	})
	for _, x := range allScenes() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			looked.Add(1)
			var shown strings.Builder
			stages := map[string]*stage{}
			sights := map[string]sight{}
			for _, lang := range languages {
				stages[lang] = openStage(t, lang)
				sights[lang] = x.play(stages[lang])
				shown.WriteString(sights[lang].plain(lang))
				sights[lang].requireTypeset(t, lang)
				if sights[lang].isEmail() {
					sights[lang].requireSameText(t)
					sights[lang].save(t, x.name+"-"+lang)
				}
			}
			file := filepath.Join(picturesFolder, x.name)
			was := readIfThere(t, file+".html")
			if !*update {
				if len(languages) == 1 {
					was, _, _ = strings.Cut(was, languageMark(keyturn.PageLanguages[1]))
				}
				require.Equal(t, was, shown.String(), "%q has changed: `make pictures` remakes its picture; look at it", x.title)
			} else if _, err := os.Stat(file + ".webp"); err == nil && was == shown.String() && !restyled {
				return
			}
			if looks {
				for _, lang := range languages {
					phones.requireSound(t, x, stages[lang], sights[lang])
				}
			}
			if !*update {
				return
			}
			camera.shoot(t, x, stages, sights, file+".webp")
			require.NoError(t, os.WriteFile(file+".html", []byte(shown.String()), 0o600))
		})
	}
}

func readIfThere(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return string(text)
}

var (
	// styleFiles decide how pages look beside their HTML, and what axe-core finds in them. E-mails have their style in
	// themselves.
	styleFiles = []string{
		"page.css", "checkout.css", "library.css", "times.js", "page.js", "checkout.js", "../internal/testkit/axe/axe.min.js",
	}
	// wordFiles have what pages and e-mails say in each language.
	wordFiles = []string{"words*.go", "../mail/words*.go", "../internal/local/local.go"}
)

// sumsOf names each of the files with the hash of what is in it.
func sumsOf(t *testing.T, patterns ...string) string {
	t.Helper()
	var out strings.Builder
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			sum := sha256.Sum256(text)
			fmt.Fprintf(&out, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.ToSlash(name))
		}
	}
	return out.String()
}

// removeOthers removes pictures of scenes that are gone.
func removeOthers(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(picturesFolder + "/*.*")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		known := slices.ContainsFunc(allScenes(), func(x scene) bool { return x.name == name })
		if filepath.Ext(file) != ".sha256" && !known {
			require.NoError(t, os.Remove(file))
		}
	}
}

// picturesText is docs/use/pictures.md.
func picturesText() string {
	var out strings.Builder
	out.WriteString("# Every situation in pictures\n\n" +
		"What customers meet, made from the running pages and e-mails on a real database. Each picture has English, French\n" +
		"and German from top to bottom: in light colors on a desktop, and in dark ones on a telephone of 320 pixels. The HTML\n" +
		"that was pictured lies beside each, without IDs; a test fails when it changes, and `make pictures` remakes what has\n" +
		"changed.\n\n")
	for _, g := range sceneGroups {
		fmt.Fprintf(&out, "- [%s](#%s)\n", g.title, anchorOf(g.title))
	}
	for _, g := range sceneGroups {
		fmt.Fprintf(&out, "\n## %s\n", g.title)
		for _, x := range g.scenes {
			fmt.Fprintf(&out, "\n### %s\n\n%s\n\n![%s](../pictures/%s.webp)\n", x.title, x.says, x.title, x.name)
		}
	}
	return out.String()
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

func anchorOf(title string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

var (
	leftOver = regexp.MustCompile(`%!|%[sd]|\{[a-z]+\}|<no value>`)
	unFrench = regexp.MustCompile(`\p{L}'\p{L}| [:;?!»]|[\p{L}\p{N}][:;?!](?:\s|$)`)
)

// requireTypeset requires that no sentence has a gap, and that French has its spaces and apostrophes.
func (s sight) requireTypeset(t *testing.T, lang string) {
	t.Helper()
	text := s.subject + "\n" + s.text
	if !s.isEmail() {
		text = reply{body: s.html}.shown()
	}
	require.NotRegexp(t, leftOver, text)
	if lang == "fr" {
		require.NotRegexp(t, unFrench, strings.ReplaceAll(text, "> ", ""))
	}
}

type plainRule struct {
	found *regexp.Regexp
	plain string
}

// plainHTML drops what says nothing of a page or an e-mail, and plainIDs what differs each time.
var (
	plainHTML = []plainRule{
		{regexp.MustCompile(`(?s)^.*?(<title>.*?</title>).*?(<style>.*?</style>)?[^<]*</head>`), "$1\n$2"},
		{regexp.MustCompile(`(?s)<(style|script) nonce=.*?</(style|script)>\n?`), ""},
		{regexp.MustCompile(` data-(state|now|times|countries)="[^"]*"`), ""},
		{regexp.MustCompile(`<option value="[A-Z]{2}">[^<]*</option>\n`), ""},
		{regexp.MustCompile(`<!--.{1000,}?-->`), ""},
		{regexp.MustCompile(`\n\s*\n`), "\n"},
	}
	plainIDs = []plainRule{
		{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
		{regexp.MustCompile(`/(o|c|library|sandbox/pay)/[A-Za-z0-9_-]{20,}`), "/$1/TOKEN"},
		{regexp.MustCompile(`/images/[0-9a-f]{64}`), "/images/SHA256"},
		{regexp.MustCompile(`http://(localhost|127\.0\.0\.1):\d+`), "http://HERE"},
	}
)

func plain(text string, rules []plainRule) string {
	for _, r := range rules {
		text = r.found.ReplaceAllString(text, r.plain)
	}
	return text
}

// languageMark is above what a scene shows in a language.
func languageMark(lang string) string { return "<!-- " + lang + " -->\n" }

// plain is what a scene shows, as it is compared: of an e-mail the text part, too.
func (s sight) plain(lang string) string {
	out := languageMark(lang)
	if s.isEmail() {
		out += "From: " + s.from + "\nSubject: " + s.subject + "\n\n" + s.text + "\n"
	}
	return plain(out+strings.TrimSpace(plain(s.html, plainHTML))+"\n", plainIDs)
}
