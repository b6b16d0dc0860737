package mail_test

import (
	"fmt"
	"html"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

// everyMail are all kinds of mails to customers, by name.
func everyMail(t *testing.T, c mail.Content) map[string]mail.Message {
	t.Helper()
	at := c.OrderedAt
	again := mail.Again{URL: "https://shop.test/c/abc", Until: at}
	out := map[string]mail.Message{}
	for name, made := range map[string]func() (mail.Message, error){
		"keys": func() (mail.Message, error) { return mail.RenderKeys(mail.Template{}, c) },
		"canceled": func() (mail.Message, error) {
			return mail.RenderCanceled(c, mail.Cancellation{Amount: c.TotalPrice, Reason: mail.ReasonOutOfStock})
		},
		"on the page": func() (mail.Message, error) { return mail.RenderKeysOnPage(c) },
		"notice": func() (mail.Message, error) {
			return mail.RenderNotice(c, mail.Notice{Operation: keyturn.OpRenew})
		},
		"confirmation": func() (mail.Message, error) {
			return mail.RenderConfirmation(c, mail.Confirmation{
				Lines: []mail.OrderLine{
					{Name: c.ProductName, Quantity: 2, Each: c.UnitPrice, Price: c.TotalPrice},
					{Name: "A gift", Quantity: 1, Each: euro(0), Price: euro(0)},
				},
				Total: c.TotalPrice, Promise: mail.PromiseCharge, By: at, Several: mail.SeveralTogether,
				Consent:    &mail.Consent{Text: "I want my key at once.", At: at},
				Withdrawal: mail.WithdrawalOffered, WithdrawBefore: at,
			})
		},
		"refused": func() (mail.Message, error) { return mail.RenderRefused(c, c.TotalPrice, again) },
		"ended": func() (mail.Message, error) {
			return mail.RenderEnded(c, mail.Ended{Items: []string{c.ProductName}, Amount: c.TotalPrice, Again: again})
		},
		"no order":   func() (mail.Message, error) { return mail.RenderEnded(c, mail.Ended{Amount: c.TotalPrice}) },
		"order page": func() (mail.Message, error) { return mail.RenderOrderPage(c) },
		"withdrawal": func() (mail.Message, error) { return mail.RenderWithdrawal(c, at, true) },
	} {
		m, err := made()
		require.NoError(t, err, name)
		out[name] = m
	}
	return out
}

// Every mail to a customer has the shop's face: over it the logo or the name, below it who sells and whom to ask.
func TestEveryMailHasTheShopsFace(t *testing.T) {
	t.Parallel()
	c := content()
	for name, m := range everyMail(t, c) {
		p := parse(t, m)
		require.Contains(t, p.html, "<strong>Acme Store</strong></p>", name)
		require.NotContains(t, p.html, "<img", name)
		require.NotContains(t, p.text, "Terms", name)
	}
	c.Shop = shop()
	for name, m := range everyMail(t, c) {
		p := parse(t, m)
		require.Contains(t, p.html, `<img src="https://shop.test/images/`+strings.Repeat("0a", 32)+
			`" width="240" height="48" alt="Acme Store"`, name)
		require.Contains(t, p.html, "border-top:4px solid #7a1fa2;", name)
		require.Contains(t, p.html, `<a href="mailto:help@shop.test">help@shop.test</a>`, name)
		require.Contains(t, p.text, `
Seller: Acme Store Ltd, 1 Main Street, Dublin, Ireland
Contact: help@shop.test
Terms: https://shop.test/terms
Privacy: https://shop.test/privacy
Legal notice: https://shop.test/imprint
`, name)
	}
}

// A button's words can be read on every color that a shop may choose.
func TestEveryColorHasAReadableButton(t *testing.T) {
	t.Parallel()
	for color, ink := range map[string]string{
		"#000000": "#ffffff", "#ffffff": "#000000", "#ffd400": "#000000", "#1a4fd6": "#ffffff", "#767676": "#ffffff",
		"#777777": "#000000", "#FF0000": "#000000", "red": "#ffffff", `#12345"`: "#ffffff",
	} {
		c := content()
		c.Shop.Color = color
		m, err := mail.RenderRefused(c, euro(1), mail.Again{URL: "https://shop.test/c/x", Until: c.OrderedAt})
		require.NoError(t, err)
		p := parse(t, m)
		require.Contains(t, p.html, "color:"+ink+";text-decoration:none", color)
		require.NotContains(t, p.html, "ZgotmplZ", color)
	}
}

// Dates and amounts are those of the reader's language, in the frame and in the merchant's tags.
func TestAMailSpeaksItsReadersLanguage(t *testing.T) {
	t.Parallel()
	c := content()
	c.TotalPrice, c.ValidUntil = euro(123450), &c.OrderedAt
	for locale, says := range map[string][]string{
		"en": {"Date: 4 March 2026", "Total: 1,234.50 EUR", "Valid until: 4 March 2026", "1,234.50 EUR of 4 March 2026"},
		"fr": {"Date : 4 mars 2026", "Total : 1 234,50 EUR", "Valable jusqu’au : 4 mars 2026", "1 234,50 EUR of 4 mars 2026"},
		"de": {"Datum: 4. März 2026", "Summe: 1.234,50 EUR", "Gültig bis: 4. März 2026", "1.234,50 EUR of 4. März 2026"},
	} {
		c.Locale = locale
		p := render(t, mail.Template{Text: "{PRICE_ALL_DUPLICATES} of {DATE} {KEY}"}, c)
		plain := strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(p.text)
		for _, sentence := range says {
			require.Contains(t, plain, sentence)
		}
	}
	c.TotalPrice, c.Locale = euro(0), "en"
	require.Contains(t, render(t, mail.Template{}, c).text, "Total: 0.00\u00a0EUR", "what is free is told as it is")
}

// Without a text of the merchant's, the mail leads to the instructions and the download.
func TestTheDefaultTextLeadsOn(t *testing.T) {
	t.Parallel()
	c := content()
	p := render(t, mail.Template{}, c)
	require.Contains(t, p.text, "\n\nHow to activate it: https://acme.test/howto\n"+
		"Download: https://acme.test/dl?a=1&b=2\n\nPlease")
	require.Contains(t, p.html, `<a href="https://acme.test/howto">https://acme.test/howto</a>`)
	c.InstructionsURL, c.DownloadURL = "", ""
	p = render(t, mail.Template{}, c)
	require.Contains(t, p.text, "AAAA-BBBB-CCCC\n\nPlease keep")
}

// What mailboxes cut off says at its top where everything is.
func TestALongMailLeadsToThePage(t *testing.T) {
	t.Parallel()
	const notice = "Everything in it is on the page of your order:"
	c := content()
	for i := range 3000 {
		c.Keys = append(c.Keys, fmt.Sprintf("KEY%04d-AAAA-BBBB-CCCC-DDDD-EEEE", i))
	}
	p := render(t, mail.Template{}, c)
	require.Greater(t, len(p.html), 102<<10)
	require.True(t, strings.HasPrefix(p.text, "This e-mail is long, and your mailbox may cut it off. "+notice+
		"\nhttps://shop.test/o/qwertz\n\nHello"))
	require.Less(t, strings.Index(p.html, notice), strings.Index(p.html, "Hello Jean"))
	require.Contains(t, p.text, c.Keys[2999], "nothing is left out")
	require.NotContains(t, render(t, mail.Template{}, content()).text, notice)
}

// Colors of the merchant's own stay on the light ground that they were chosen for.
func TestOwnColorsStayOnALightGround(t *testing.T) {
	t.Parallel()
	p := render(t, mail.Template{Text: "{KEY}", HTML: `<p style="color:#333">{KEY}</p>`}, content())
	require.Contains(t, p.html, `content="light only"`)
	require.NotContains(t, p.html, "prefers-color-scheme")
	p = render(t, mail.Template{Text: "{KEY}", HTML: `<p>{KEY}</p>`}, content())
	require.Contains(t, p.html, "prefers-color-scheme")
}

func TestLicenseeMayDifferFromThePayer(t *testing.T) {
	t.Parallel()
	c := content()
	c.LicenseFor = "Ada <Lovelace>, ada@school.test"
	p := render(t, mail.Template{Text: "{LICENSE_FOR} {KEY}"}, c)
	require.Contains(t, p.text, "Ada <Lovelace>, ada@school.test AAAA")
	require.Contains(t, html.UnescapeString(p.html), "Ada <Lovelace>, ada@school.test")
	require.NotContains(t, p.html, "<Lovelace>")
}
