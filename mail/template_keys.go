package mail

import (
	"strings"

	"golang.org/x/net/html"

	"keyturn.dev/keyturn"
)

// secretTags are the tags whose values open what the customer bought.
var secretTags = []string{"{KEY}", "{PARENT_KEY}"}

// runsCode are the elements whose text a reader does not show: it is carried out, or sent with a form.
var runsCode = map[string]bool{
	"script": true, "style": true, "form": true, "textarea": true, "select": true, "button": true, "template": true,
	"iframe": true, "object": true, "noscript": true, "title": true, "math": true, "svg": true, "xmp": true,
	"noembed": true, "noframes": true, "plaintext": true,
}

// checkKeysStay refuses HTML that would carry a key away: in an address, which a mail reader asks for when the e-mail
// is opened or somebody clicks, in a form, in a script or in a style. A key may stand in the text alone, and be the
// whole address of a link, because what activates a product may be a link of its partner. Elements are judged one by
// one as they are written, because mail readers disagree about what a wrong nesting means.
func checkKeysStay(bad *keyturn.Problems, source string) {
	hidden := map[string]int{}
	for tokens := html.NewTokenizer(strings.NewReader(source)); ; {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			return
		}
		token := tokens.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range token.Attr {
				checkAttribute(bad, token.Data, a)
			}
			if tag := secretIn(token.Data); tag != "" {
				bad.Addf("html", "must not have %s in the name of an element", tag)
			}
			if runsCode[token.Data] && kind == html.StartTagToken {
				hidden[token.Data]++
			}
		case html.EndTagToken:
			hidden[token.Data] = max(hidden[token.Data]-1, 0)
		case html.TextToken:
			for name, open := range hidden {
				if tag := secretIn(token.Data); tag != "" && open > 0 {
					bad.Addf("html", "must not have %s inside <%s>, which can send it elsewhere: put it into the text", tag, name)
				}
			}
		default: // comments and document types are left out of what is sent
		}
	}
}

func checkAttribute(bad *keyturn.Problems, element string, a html.Attribute) {
	tag := secretIn(a.Key)
	if tag == "" {
		tag = secretIn(a.Val)
	}
	if tag == "" || element == "a" && a.Key == "href" && strings.TrimSpace(a.Val) == "{KEY}" {
		return
	}
	bad.Addf("html", "must not have %s in the attribute %s of <%s>, which can send it to another server: put it into the "+
		"text, or make it the whole href of a link", tag, a.Key, element)
}

// secretIn is the first secret tag in text; the tokenizer writes names in lower case.
func secretIn(text string) string {
	upper := strings.ToUpper(text)
	for _, tag := range secretTags {
		if strings.Contains(upper, tag) {
			return tag
		}
	}
	return ""
}
