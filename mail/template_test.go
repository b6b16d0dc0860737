package mail_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

func TestTemplateCheck(t *testing.T) {
	t.Parallel()
	fine := mail.Template{Subject: "Your {PROGRAM_NAME} key", Text: "Your key: {KEY}"}
	for name, c := range map[string]struct {
		change func(*mail.Template)
		at     string // the field that is wrong; empty: nothing is
		rule   string
	}{
		"the example of the API":  {func(*mail.Template) {}, "", ""},
		"nothing at all":          {func(p *mail.Template) { *p = mail.Template{} }, "", ""},
		"only a subject":          {func(p *mail.Template) { p.Text = "" }, "", ""},
		"braces that are no tags": {func(p *mail.Template) { p.Text += ` {} { {x} {"a":1} {{abc}} ${abc} {abc} } {a-b}` }, "", ""},
		"another system's tag": {func(p *mail.Template) {
			p.Text += "{{ KEY }}"
		}, "text", "must not contain {{ KEY }}: the tag is {KEY}"},
		"a shell's tag": {func(p *mail.Template) {
			p.Text += "${fname}"
		}, "text", "must not contain ${fname}: the tag is {FNAME}"},
		"Outlook's comments": {func(p *mail.Template) {
			p.HTML = "<!--[if mso]><b><![endif]-->{KEY}"
		}, "html", "comments for Outlook"},
		"Outlook's other comments": {func(p *mail.Template) {
			p.HTML = "{KEY}<![if !mso]>x<![endif]>"
		}, "html", "comments for Outlook"},
		"HTML": {func(p *mail.Template) {
			p.HTML = `<style>p{color:red}</style><p>{KEY}</p><a href="{URL}">x</a>`
		}, "", ""},
		"unknown tag": {func(p *mail.Template) {
			p.Text += "{PRODUCT_NAME}"
		}, "text", "unknown tag {PRODUCT_NAME}; did you mean {PROGRAM_NAME}?"},
		"letters swapped":          {func(p *mail.Template) { p.Text += "{KYE}" }, "text", "did you mean {KEY}?"},
		"another word for the key": {func(p *mail.Template) { p.Text += "{LICENSE_KEY}" }, "text", "did you mean {KEY}?"},
		"lower case": {func(p *mail.Template) {
			p.Subject += "{fname}"
		}, "subject", "unknown tag {fname}; did you mean {FNAME}?"},
		"spaces":             {func(p *mail.Template) { p.Text += "{ KEY }" }, "text", "did you mean {KEY}?"},
		"nothing like it":    {func(p *mail.Template) { p.Text += "{XYZZYXYZZY}" }, "text", "unknown tag {XYZZYXYZZY}"},
		"no key in the text": {func(p *mail.Template) { p.Text = "thanks" }, "text", "must contain {KEY}"},
		"no key in the HTML": {func(p *mail.Template) { p.HTML = "<p>thanks</p>" }, "html", "must contain {KEY}"},
		"HTML without text":  {func(p *mail.Template) { p.Text, p.HTML = "", "<p>{KEY}</p>" }, "text", "is required"},
		"key in the subject": {func(p *mail.Template) { p.Subject = "{KEY}" }, "subject", "must not contain {KEY}"},
		"line end in the subject": {func(p *mail.Template) {
			p.Subject = "a\r\nBcc: x@y.test"
		}, "subject", "must be one line"},
		"long subject": {func(p *mail.Template) {
			p.Subject = strings.Repeat("ü", 251)
		}, "subject", "at most 250"},
		"long text": {func(p *mail.Template) {
			p.Text += strings.Repeat("x", 16<<10)
		}, "text", "at most 16384"},
		"long HTML": {func(p *mail.Template) {
			p.HTML = "{KEY}" + strings.Repeat("x", 64<<10)
		}, "html", "at most 65536"},
		"open attribute": {func(p *mail.Template) { p.HTML = `<p title="{KEY}` }, "html", "must be HTML"},
		"the key again and again": {func(p *mail.Template) {
			p.Text = strings.Repeat("{KEY}", 11)
		}, "text", "more than 10 times"},
		"endless elements": {func(p *mail.Template) {
			p.HTML = "{KEY}" + strings.Repeat("<", 60_000)
		}, "html", "at most 5000 elements"},
		"control characters": {func(p *mail.Template) { p.HTML = "{KEY}\x01" }, "html", "control characters"},
		"not UTF-8":          {func(p *mail.Template) { p.Text += "\xff" }, "text", "must be UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := fine
			c.change(&template)
			err := template.Check()
			if c.at == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
			var failed *keyturn.Error
			require.ErrorAs(t, err, &failed)
			wrong := failed.Fields
			require.Len(t, wrong, 1, "%v", err)
			require.Equal(t, c.at, wrong[0].Location)
			require.Contains(t, wrong[0].Message, c.rule)
		})
	}
}

func TestTemplateIsTheProductsEmail(t *testing.T) {
	t.Parallel()
	var fromCatalog keyturn.Email
	require.NoError(t, json.Unmarshal([]byte(`{"subject":"s","text":"t","html":"h"}`), &fromCatalog))
	require.Equal(t, mail.Template{Subject: "s", Text: "t", HTML: "h"}, mail.Template(fromCatalog.In("de")))
}

func FuzzTemplateCheck(f *testing.F) {
	f.Add("{KEY}", "<p>{KEY}</p>")
	f.Add("{{{{", `<a href="{URL}">{KEY}`)
	f.Fuzz(func(t *testing.T, text, html string) {
		template := mail.Template{Text: text, HTML: html}
		if template.Check() != nil {
			return
		}
		m, err := mail.RenderKeys(template, content())
		require.NoError(t, err)
		parse(t, m)
	})
}

// docs/use/catalog.md tells merchants every tag that there is.
func TestTheCatalogsPageHasEveryTag(t *testing.T) {
	page, err := os.ReadFile("../docs/use/catalog.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "<!-- every tag -->")
	require.True(t, found)
	for _, tag := range everyTag {
		require.Contains(t, table, "`{"+tag+"}`")
	}
}
