package keyturn

import (
	"maps"
	"slices"
	"strings"
)

// EmailText is a merchant's own text in the delivery e-mail; tags such as {KEY} are replaced (package mail).
type EmailText struct {
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
}

// Email is a product's own text, and that of languages which have one of their own.
type Email struct {
	Subject   string               `json:"subject,omitempty"`
	Text      string               `json:"text,omitempty"`
	HTML      string               `json:"html,omitempty"`
	Languages map[string]EmailText `json:"languages,omitempty"` // by language tag: fr, pt-BR
}

// maxEmailLanguages is how many languages an e-mail has at most.
const maxEmailLanguages = 40

// In is the text for a customer's locale: that of pt-BR, else of pt, else the one without a language. A language
// without a subject has that of the text without a language, and so has one without a text.
func (e Email) In(locale string) EmailText {
	out := EmailText{Subject: e.Subject, Text: e.Text, HTML: e.HTML}
	own, ok := e.ofLanguage(locale)
	if !ok {
		return out
	}
	if own.Subject != "" {
		out.Subject = own.Subject
	}
	if own.Text != "" {
		out.Text, out.HTML = own.Text, own.HTML
	}
	return out
}

func (e Email) ofLanguage(locale string) (EmailText, bool) {
	if len(e.Languages) == 0 {
		return EmailText{}, false
	}
	tag := strings.ToLower(strings.ReplaceAll(locale, "_", "-"))
	for {
		for name, text := range e.Languages {
			if strings.ToLower(name) == tag {
				return text, true
			}
		}
		end := strings.LastIndexByte(tag, '-')
		if end < 0 {
			return EmailText{}, false
		}
		tag = tag[:end]
	}
}

// PrintsParentKey says whether a text has {PARENT_KEY}, whose value somebody must look up.
func (e Email) PrintsParentKey() bool {
	prints := strings.Contains(e.Text+e.HTML, "{PARENT_KEY}")
	for _, t := range e.Languages {
		prints = prints || strings.Contains(t.Text+t.HTML, "{PARENT_KEY}")
	}
	return prints
}

// check checks the languages; the texts are checked by package mail.
func (e Email) check() error {
	var bad Problems
	bad.Check(len(e.Languages) <= maxEmailLanguages, "languages", "must be at most %d", maxEmailLanguages)
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(e.Languages)) {
		at, tag := "languages."+name, strings.ToLower(name)
		bad.Check(ValidLocale(name) && !strings.Contains(name, "_"), at, "must be a language tag such as fr or pt-BR")
		bad.Check(!seen[tag], at, "is there twice")
		seen[tag] = true
	}
	return bad.Err("the e-mail is not valid")
}
