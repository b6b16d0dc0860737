package mail

import (
	"errors"
	"html/template"
	"strings"
	"sync"
)

// The delimiters of the templates that we generate are control characters. Check refuses them and markup removes them,
// so a merchant cannot write an action: in a merchant's HTML, braces are only braces.
const leftDelim, rightDelim = "\x01", "\x02"

var dropDelims = strings.NewReplacer(leftDelim, "", rightDelim, "")

// keysAction prints the keys one below the other, in places where elements are allowed. Mail programs keep line ends in
// pre only.
const keysAction = "<code>" + leftDelim + "range $i, $k := .KEYS" + rightDelim +
	leftDelim + "if $i" + rightDelim + "<br>" + leftDelim + "end" + rightDelim +
	leftDelim + "if $k.Href" + rightDelim + `<a href="` + leftDelim + "$k.Href" + rightDelim + `">` + leftDelim +
	"$k.Text" + rightDelim + "</a>" +
	leftDelim + "else if $k.Block" + rightDelim + `<pre style="margin:0;white-space:pre-wrap">` + leftDelim + "$k.Text" +
	rightDelim + "</pre>" +
	leftDelim + "else" + rightDelim + leftDelim + "$k.Text" + rightDelim + leftDelim + "end" + rightDelim +
	leftDelim + "end" + rightDelim + "</code>"

// maxElements is the largest number of elements in a merchant's HTML. The time of html/template grows with the square
// of the number of "<" (measured: 4 s for 64 KB of nothing else).
const maxElements = 5000

var errTooManyElements = errors.New("the HTML has too many elements")

// compileHTML turns a merchant's HTML into a template in which each tag is an action, so that html/template escapes
// each value for its context: text, attribute, URL, style or script. It fails on HTML whose context is ambiguous, such
// as an attribute that never ends.
func compileHTML(source string) (*template.Template, error) {
	if strings.Count(source, "<") > maxElements {
		return nil, errTooManyElements
	}
	var out, literals strings.Builder
	splitTags(source, func(text string) {
		out.WriteString(dropDelims.Replace(text))
		literals.WriteString(text)
	}, func(name string) {
		if before := literals.String(); name == "KEY" &&
			strings.LastIndexByte(before, '<') <= strings.LastIndexByte(before, '>') {
			out.WriteString(keysAction)
			return
		}
		out.WriteString(leftDelim + "." + name + rightDelim)
	})
	t, err := template.New("").Delims(leftDelim, rightDelim).Parse(out.String())
	if err != nil {
		return nil, err
	}
	// html/template determines contexts at the first execution, so this is what finds the bad ones.
	return t, t.Execute(new(strings.Builder), htmlValues(tagValues(&english, Content{}), nil))
}

// webTags become links in HTML that is made from text.
var webTags = strings.NewReplacer("{URL}", `<a href="{URL}">{URL}</a>`, "{URL_FULL}",
	`<a href="{URL_FULL}">{URL_FULL}</a>`)

// htmlFromText converts plain text to HTML: blank lines separate paragraphs, line breaks and tags are kept.
func htmlFromText(text string) string {
	var out strings.Builder
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for _, paragraph := range strings.Split(text, "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		if paragraph == "" {
			continue
		}
		lines := template.HTMLEscapeString(dropDelims.Replace(paragraph))
		out.WriteString("<p>" + webTags.Replace(strings.ReplaceAll(lines, "\n", "<br>\n")) + "</p>\n")
	}
	return out.String()
}

func htmlValues(values map[string]string, keys []keyLine) map[string]any {
	out := make(map[string]any, len(values)+1)
	for name, value := range values {
		out[name] = value
	}
	out["KEYS"] = keys
	return out
}

// compiled caches templates by their source. Compiling is most of the cost of a mail, and a shop has few templates. The
// cap guards against a catalog that changes all day.
var compiled = struct {
	sync.Mutex
	bySource map[string]*template.Template
}{bySource: map[string]*template.Template{}}

const maxCompiled = 500

func cachedHTML(source string) (*template.Template, error) {
	compiled.Lock()
	t := compiled.bySource[source]
	compiled.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := compileHTML(source)
	if err != nil {
		return nil, err
	}
	compiled.Lock()
	defer compiled.Unlock()
	if len(compiled.bySource) >= maxCompiled {
		clear(compiled.bySource)
	}
	compiled.bySource[source] = t
	return t, nil
}

var errNoHTML = errors.New("the template has no HTML of its own")

// merchantHTML renders the merchant's part. A template stored before a rule of Check existed must not hold up a paid
// key, so HTML that does not compile is replaced by the text.
func merchantHTML(t Template, values map[string]string, keys []keyLine) (template.HTML, error) {
	var compiledTemplate *template.Template
	err := errNoHTML
	if t.HTML != "" {
		compiledTemplate, err = cachedHTML(t.HTML)
	}
	if err != nil {
		if compiledTemplate, err = cachedHTML(htmlFromText(t.Text)); err != nil {
			return "", err
		}
	}
	var out strings.Builder
	if err := compiledTemplate.Execute(&out, htmlValues(values, keys)); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil //nolint:gosec // html/template has escaped every value in it
}
