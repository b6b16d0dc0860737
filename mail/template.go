// Package mail renders a delivery into the bytes of an e-mail, once, and hands those bytes to an SMTP server as often
// as necessary. Rendering is a pure function, so a mail that is sent again is the same mail. Every error of sending
// says whether the server may already have the mail.
package mail

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// The largest template parts. Large mail services cut off a mail above 100 KB, and the frame needs room too.
const (
	maxSubject = 250 // characters
	maxText    = 16 << 10
	maxHTML    = 64 << 10
	maxRepeats = 10 // of {KEY}
	maxListed  = 10 // misspelt tags that are listed
)

// Template is the merchant's own part of a key mail: tags such as {KEY} are replaced, everything else is kept. The
// renderer puts the greeting, the order's details and the signature around Text and HTML. An empty Subject or Text
// stands for the default in the customer's language; without HTML, the HTML part is made from Text.
type Template struct {
	Subject string `json:"subject,omitempty" yaml:"subject,omitempty"`
	Text    string `json:"text,omitempty" yaml:"text,omitempty"`
	HTML    string `json:"html,omitempty" yaml:"html,omitempty"` // a fragment that goes inside the body element
}

// Check reports every fault of a template: unknown or misspelt tags (with a suggestion) and those of other systems, a
// text or HTML without {KEY}, a key or a line break in the subject, HTML that cannot be escaped safely, that carries a
// key into an address, a form or a script or has comments for Outlook, parts that are too large. The error is
// KindInvalid with the fields subject, text and html. The zero Template is valid.
func (t Template) Check() error {
	var bad keyturn.Problems
	checkPart(&bad, "subject", t.Subject, maxSubject*utf8.UTFMax, false)
	checkPart(&bad, "text", t.Text, maxText, true)
	checkPart(&bad, "html", t.HTML, maxHTML, true)
	bad.Check(utf8.RuneCountInString(t.Subject) <= maxSubject, "subject", "must have at most %d characters", maxSubject)
	for _, name := range []string{"KEY", "PARENT_KEY"} {
		// A subject is shown on locked screens and logged by every server on its way.
		bad.Check(!strings.Contains(t.Subject, "{"+name+"}"), "subject",
			"must not contain {%s}: subjects are not kept secret", name)
	}
	bad.Check(t.Text == "" || strings.Contains(t.Text, "{KEY}"), "text", "must contain {KEY}")
	bad.Check(t.HTML == "" || strings.Contains(t.HTML, "{KEY}"), "html", "must contain {KEY}")
	bad.Check(t.HTML == "" || t.Text != "", "text", "is required next to html: some readers show only text")
	if t.HTML != "" && len(t.HTML) <= maxHTML {
		checkKeysStay(&bad, t.HTML)
		bad.Check(!outlookOnly.MatchString(t.HTML), "html", "must not have comments for Outlook (<!--[if …]>): comments "+
			"are left out of what is sent, and with them what they show or hide")
		if _, err := compileHTML(t.HTML); err != nil {
			bad.Addf("html", "must be HTML of at most %d elements whose attributes and quotes are closed", maxElements)
		}
	}
	return bad.Err("the e-mail template is not valid")
}

// outlookOnly matches the conditional comments of Outlook, of both forms.
var outlookOnly = regexp.MustCompile(`(?i)<!(--)?\s*\[\s*(if|endif)\b`)

func checkPart(bad *keyturn.Problems, at, text string, maxBytes int, multiline bool) {
	if len(text) > maxBytes {
		bad.Addf(at, "must have at most %d bytes", maxBytes)
		return
	}
	bad.Check(utf8.ValidString(text), at, "must be UTF-8")
	if !multiline {
		bad.Check(!strings.ContainsAny(text, "\r\n"), at, "must be one line")
	}
	bad.Check(!strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\r\n\t", r)
	}), at, "must not contain control characters")
	// Each repetition prints every key again.
	bad.Check(strings.Count(text, "{KEY}") <= maxRepeats, at, "must not contain {KEY} more than %d times", maxRepeats)
	for _, problem := range append(otherTags(text), misspeltTags(text)...) {
		bad.Addf(at, "%s", problem)
	}
}

// otherLike matches a tag as other systems write it.
var otherLike = regexp.MustCompile(`\{\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}\}|\$\{([A-Za-z][A-Za-z0-9_]*)\}`)

// otherTags finds tags as other systems write them, {{KEY}} or ${KEY}: customers would get the signs around the key,
// and copy them with it.
func otherTags(text string) []string {
	var problems []string
	for _, found := range otherLike.FindAllStringSubmatch(text, maxListed) {
		name := strings.ToUpper(found[1] + found[2])
		if tagNames[name] {
			problems = append(problems, fmt.Sprintf("must not contain %s: the tag is {%s}", found[0], name))
		}
	}
	return problems
}

// misspeltTags finds text that looks like a tag but is none: a capitalised word in braces, or a tag in another case or
// with spaces. Other braces are the merchant's own.
func misspeltTags(text string) []string {
	var problems []string
	text = otherLike.ReplaceAllStringFunc(text, func(other string) string {
		if tagNames[strings.ToUpper(strings.Trim(other, "${} \t\r\n"))] {
			return "" // otherTags names it
		}
		return other
	})
	for _, found := range tagLike.FindAllStringSubmatch(text, -1) {
		whole, word := found[0], found[1]
		upper := strings.ToUpper(word)
		if whole == "{"+upper+"}" && tagNames[upper] {
			continue
		}
		if word != upper && !tagNames[upper] {
			continue
		}
		problem := fmt.Sprintf("must not contain the unknown tag %s", whole)
		if near := nearestTag(upper); near != "" {
			problem += fmt.Sprintf("; did you mean {%s}?", near)
		}
		if problems = append(problems, problem); len(problems) == maxListed {
			break
		}
	}
	return problems
}

// nearestTag returns the tag that was probably meant, or "".
func nearestTag(word string) string {
	best, distance := "", 2+len(word)/3
	for _, name := range tagList {
		if d := editDistance(word, name); d < distance {
			best, distance = name, d
		}
	}
	if strings.Contains(word, "KEY") && best != "PARENT_KEY" {
		return "KEY" // LICENSE_KEY, KEYS, PRODUCT_KEY
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
