package mail_test

import (
	"fmt"
	"html"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

// everyTag names all of them, one a line.
var everyTag = strings.Fields(`KEY PARENT_KEY ORDER_ID PRICEGROUP_ID PROGRAM_NAME PROGRAM_SHORT QUANTITY PRICE_ONE_DUPLICATE
	PRICE_ALL_DUPLICATES FULLNAME FNAME LNAME LICENSE_FOR EMAIL PHONE COMPANY COUNTRY CITY ZIP ADDRESS URL URL_FULL DATE ADDINFO_TEXT`)

func TestEveryTag(t *testing.T) {
	t.Parallel()
	want := []string{
		"AAAA-BBBB-CCCC", "OLD-KEY", "ORD-2026-000123", "acme-pro", "Acme Pro Edition", "Acme Pro", "2", "15.00\u00a0EUR",
		"29.99\u00a0EUR", "Jean Dupont", "Jean", "Dupont", "Jean Dupont, jean@buyer.test, +33 1 23, Acme SAS",
		"jean@buyer.test", "+33 1 23", "Acme SAS", "FR", "Paris", "75001", "1 rue de la Paix",
		"https://acme.test/howto", "https://acme.test/dl?a=1&b=2", "4 March 2026", "second floor",
	}
	var text, subject strings.Builder
	for _, tag := range everyTag {
		fmt.Fprintf(&text, "%s=[{%s}]\n", tag, tag)
	}
	for _, tag := range everyTag[2:11] {
		fmt.Fprintf(&subject, "{%s} ", tag)
	}
	template := mail.Template{Subject: subject.String(), Text: text.String(), HTML: text.String()}
	require.NoError(t, template.Check())
	p := render(t, template, content())
	for i, tag := range everyTag {
		require.Contains(t, p.text, tag+"=["+want[i]+"]\n")
		require.Contains(t, html.UnescapeString(strings.ReplaceAll(strings.ReplaceAll(p.html, "<code>", ""), "</code>", "")),
			tag+"=["+want[i]+"]\n")
	}
	require.Equal(t, strings.Join(want[2:11], " "), p.subject)
}

func TestSeveralKeysStandOnLinesOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := content()
	c.Keys = []string{"K1", "K2", "K3"}
	p := render(t, mail.Template{Text: "Your keys: {KEY}\nbye"}, c)
	require.Contains(t, p.text, "Your keys: \nK1\nK2\nK3\nbye")
	require.Contains(t, p.html, "<code>K1<br>K2<br>K3</code>")
}

// What a dynamic URL answers is shown as its contract has it, beside the key in the merchant's text.
func TestTrackingNumbers(t *testing.T) {
	t.Parallel()
	c := content()
	c.Keys = []string{"T&1", "T2", "-----BEGIN\nBLOCK"}
	c.TrackingNumbers = c.Keys
	for locale, want := range map[string]string{
		"en": "Tracking number: Acme Pro Edition: ", "fr": "Numéro de suivi\u00a0: Acme Pro Edition\u00a0: ",
		"de": "Sendungsnummer: Acme Pro Edition: ",
	} {
		c.Locale = locale
		p := render(t, mail.Template{}, c)
		for _, key := range c.Keys[:2] {
			require.Contains(t, p.text, "\n  "+want+key+"\n")
			require.Contains(t, html.UnescapeString(p.html), want[strings.Index(want, "Acme"):]+key)
		}
		require.NotContains(t, p.text, want+"-----BEGIN", "a block stands whole, and once")
		require.Contains(t, p.text, "\n-----BEGIN\nBLOCK\n")
	}
}

// A license block arrives whole, with the line ends of e-mail, and stands apart from the next key.
func TestKeysOfSeveralLinesStayWhole(t *testing.T) {
	t.Parallel()
	const block = "-----BEGIN LICENSE-----\n QUFB  <&>\n\nQkJC=\n-----END LICENSE-----"
	c := content()
	c.Keys = []string{block, "K2"}
	for _, template := range []mail.Template{{Text: "Your keys: {KEY}\nbye"}, {Text: "{KEY}", HTML: "<div>{KEY}</div>"}} {
		m, err := mail.RenderKeys(template, c)
		require.NoError(t, err)
		require.NotRegexp(t, "[^\r]\n", string(m.Data), "every line of an e-mail ends with CRLF")
		p := parse(t, m)
		require.Contains(t, p.text, "\n"+block+"\n\nK2\n")
		require.Contains(t, p.html,
			`<code><pre style="margin:0;white-space:pre-wrap">`+html.EscapeString(block)+"</pre><br>K2</code>")
	}
}

// A key that is a link can be followed, if it leads to the web.
func TestKeysThatAreLinks(t *testing.T) {
	t.Parallel()
	c := content()
	c.Keys = []string{
		`https://acme.test/r?k=1&x="`, "https://acme.test/r?k=1&x=ü", "javascript:alert(1)",
		"ftp://acme.test/1",
	}
	p := render(t, mail.Template{Text: "{KEY}"}, c)
	require.Contains(t, p.text, "\nhttps://acme.test/r?k=1&x=ü\njavascript:alert(1)\n")
	require.Contains(t, p.html,
		`<code>https://acme.test/r?k=1&amp;x=&#34;<br><a href="https://acme.test/r?k=1&amp;x=%c3%bc">`+
			`https://acme.test/r?k=1&amp;x=ü</a><br>javascript:alert(1)<br>ftp://acme.test/1</code>`)
}

func TestWhatIsDeliveredIsNeverLeftOut(t *testing.T) {
	t.Parallel()
	p := render(t, mail.Template{Text: "no tag", HTML: "<p>no tag</p>"}, content())
	require.Contains(t, p.text, "AAAA-BBBB-CCCC")
	require.Contains(t, p.html, "<code>AAAA-BBBB-CCCC</code>")

	p = render(t, mail.Template{Text: "text {KEY}", HTML: `<p title="never closed {KEY}`}, content())
	require.Contains(t, p.html, "text <code>AAAA-BBBB-CCCC</code>", "HTML that cannot be escaped gives way to the text")

	c := content()
	c.Keys, c.Links = nil, []string{"https://acme.test/a?x=1&y"}
	p = render(t, mail.Template{Text: "{KEY}"}, c)
	require.Contains(t, p.text, "\nhttps://acme.test/a?x=1&y\n")
	require.Contains(t, p.html, `<code><a href="https://acme.test/a?x=1&amp;y">https://acme.test/a?x=1&amp;y</a></code>`)

	c.Links, c.Attachments = nil, []mail.Attachment{{
		Name: "a.lic", ContentType: "text/html; charset=x",
		Data: []byte("hi"),
	}}
	p = render(t, mail.Template{}, c)
	require.Contains(t, p.text, "\na.lic\n")
	require.Equal(t, []file{{"a.lic", "text/html", "hi"}}, p.files)
}

func TestKeysThatNoMailCarriesAreRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "two\r\nlines", "a\rb", "a\x00b", "\xff\xfe", strings.Repeat("k", 4097)} {
		c := content()
		c.Keys = []string{"fine", key}
		_, err := mail.RenderKeys(mail.Template{}, c)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "%q", key)
		require.ErrorContains(t, err, "keys[1]")
		if key != "" {
			require.NotContains(t, err.Error(), key)
		}
	}
}

func TestEnvelopesThatAreRefused(t *testing.T) {
	t.Parallel()
	for at, change := range map[string]func(*mail.Content){
		"from":      func(c *mail.Content) { c.From = "Shop <a@b.test>" },
		"to":        func(c *mail.Content) { c.To = "a@b.test\r\nBcc: x@y.test" },
		"replyTo":   func(c *mail.Content) { c.ReplyTo = "nobody" },
		"messageId": func(c *mail.Content) { c.MessageID = "<a@b>\r\nBcc: x@y.test" },
		"date":      func(c *mail.Content) { c.Date = time.Time{} },
	} {
		c := content()
		change(&c)
		_, err := mail.RenderKeys(mail.Template{}, c)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
		require.ErrorContains(t, err, at)
		_, err = mail.RenderCanceled(c, mail.Cancellation{})
		require.ErrorContains(t, err, at)
		_, err = mail.RenderAlert(mail.Alert{Envelope: c.Envelope})
		require.ErrorContains(t, err, at)
	}
}

func TestCanceledMailHasNoKey(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"en", "fr_CA", "de-AT", "xx"} {
		c := content()
		c.Locale, c.Attachments = locale, []mail.Attachment{{Name: "a"}}
		m, err := mail.RenderCanceled(c, mail.Cancellation{Amount: euro(2999), Reason: mail.ReasonSupplier})
		require.NoError(t, err)
		p := parse(t, m)
		for _, part := range []string{p.text, p.html} {
			require.NotContains(t, part, "AAAA-BBBB-CCCC")
			require.Regexp(t, "29[.,]99\u00a0EUR", part)
			require.Contains(t, part, "ORD-2026-000123")
			require.Contains(t, part, "Acme Pro Edition")
			require.NotContains(t, part, "%!")
		}
		require.Empty(t, p.files)

		m, err = mail.RenderCanceled(c, mail.Cancellation{Amount: euro(0), Free: true})
		require.NoError(t, err)
		p = parse(t, m)
		require.NotContains(t, p.text+p.html, "0.00", "nothing goes back")
		require.NotContains(t, p.text, "%!")
	}
}

// A term that ends as a day begins is valid until the day before.
func TestNoticeNamesTheLastDay(t *testing.T) {
	t.Parallel()
	for end, day := range map[time.Time]string{
		time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC):   "31 December 2031",
		time.Date(2031, 12, 31, 8, 0, 0, 0, time.UTC): "31 December 2031",
	} {
		c := content()
		c.ValidUntil = &end
		m, err := mail.RenderNotice(c, mail.Notice{Operation: keyturn.OpRenew})
		require.NoError(t, err)
		require.Contains(t, parse(t, m).text, "Valid until: "+day)
	}
}

func TestNothingPrintsAKeyOrACustomer(t *testing.T) {
	t.Parallel()
	m, err := mail.RenderKeys(mail.Template{}, content())
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "content", content(), "message", m)
	for _, text := range []string{fmt.Sprint(content(), m), fmt.Sprintf("%+v %#v %s", content(), m, m), log.String()} {
		require.NotContains(t, text, "AAAA")
		require.NotContains(t, text, "buyer")
		require.Contains(t, text, m.MessageID)
	}
}

// hostile draws strings that have broken mail programs, and any other string.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"\r\nBcc: victim@x.test", "a\nb", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "{KEY}", "{{.}}",
		"\x01.KEY\x02",
		"=?UTF-8?B?DQpCY2M6IHhAeS50ZXN0?=", "=HYPERLINK(\"x\")", "\x1b[31mred", "\u202egnp.exe", "\u2028line", "\xff\xfe",
		"\x00",
		"--=_a", ".\r\n", "javascript:alert(1)", strings.Repeat("ü", 5000), strings.Repeat("x", 5000), "'; DROP TABLE",
		"a\u00a0b", "%s%d%!",
	}))
}

func key() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`[A-Z0-9]{5}(-[A-Z0-9]{5}){4}`), hostile(),
		rapid.SampledFrom([]string{
			"a  b", " x ", "\tx\t", "=", "=3D", "k=\u00a0", "x\x7f", ".", "..", "From me", "&amp;lt;",
			`\`, "a+b", strings.Repeat("=k ", 1300),
		})).
		Filter(func(s string) bool {
			return s != "" && utf8.RuneCountInString(s) <= keyturn.MaxKeyLength && utf8.ValidString(s) &&
				!strings.ContainsAny(s, "\x00\r")
		})
}

// TestKeysSurviveAndNamesAreHarmless is invariant D3 and D5, and threats T9 and T10, over what customers, partners and
// merchants may write.
func TestKeysSurviveAndNamesAreHarmless(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := content()
		for _, field := range []*string{
			&c.SenderName, &c.Locale, &c.OrderID, &c.OrderPage, &c.ProductID, &c.ProductName, &c.ProductShort,
			&c.Customer.FirstName, &c.Customer.LastName, &c.Customer.Email, &c.Customer.Company,
			&c.Customer.Address,
			&c.LicenseFor, &c.AdditionalInfo, &c.ParentKey, &c.InstructionsURL, &c.DownloadURL,
		} {
			if rapid.Bool().Draw(t, "change") {
				*field = hostile().Draw(t, "value")
			}
		}
		c.Keys = rapid.SliceOfN(key(), 1, 4).Draw(t, "keys")
		c.Attachments = []mail.Attachment{{
			Name: hostile().Draw(t, "name"), ContentType: hostile().Draw(t, "type"),
			Data: []byte(hostile().Draw(t, "data")),
		}}
		template := mail.Template{
			Subject: "{PROGRAM_NAME} {FNAME} {ORDER_ID} {COMPANY}",
			Text:    "{FNAME}\n{KEY}\n{ADDRESS} {URL}",
			HTML: rapid.SampledFrom([]string{
				"",
				`<p>{FNAME}</p>{KEY}<a href="{URL}" title='{COMPANY}' style="color:{CITY}">{LNAME}</a>`,
			}).Draw(t, "html"),
		}
		m, err := mail.RenderKeys(template, c)
		require.NoError(t, err)
		again, err := mail.RenderKeys(template, c)
		require.NoError(t, err)
		require.Equal(t, string(m.Data), string(again.Data), "rendering is a pure function")

		p := parse(t, m)
		require.NotContains(t, p.subject, "\n")
		require.NotContains(t, p.subject, "\r")
		separator := "\n"
		if strings.Contains(strings.Join(c.Keys, ""), "\n") {
			separator = "\n\n"
		}
		require.Contains(t, p.text, "\n"+strings.Join(c.Keys, separator)+"\n")
		escaped, _, found := strings.Cut(p.html[strings.Index(p.html, "<code>")+len("<code>"):], "</code>")
		require.True(t, found)
		var unescaped []string
		for _, line := range strings.Split(escaped, "<br>") {
			line = strings.TrimSuffix(strings.TrimPrefix(line, `<pre style="margin:0;white-space:pre-wrap">`), "</pre>")
			require.NotContains(t, line, "<")
			unescaped = append(unescaped, html.UnescapeString(line))
		}
		require.Equal(t, c.Keys, unescaped)
		for _, active := range []string{"<script", "<img", `href="javascript:`, "onerror=alert(1)>"} {
			require.NotContains(t, p.html, active)
		}
		require.Len(t, p.files, 1)
		require.Equal(t, string(c.Attachments[0].Data), p.files[0].data)
		require.NotContains(t, p.files[0].name, "/")

		canceled, err := mail.RenderCanceled(c, mail.Cancellation{Amount: c.TotalPrice})
		require.NoError(t, err)
		parse(t, canceled)
		alert, err := mail.RenderAlert(mail.Alert{
			Envelope: c.Envelope, Subject: c.ProductName,
			Entries: []mail.AlertEntry{{Cause: c.OrderID, Link: c.OrderPage}},
		})
		require.NoError(t, err)
		require.NotContains(t, parse(t, alert).html, "<script")
	})
}

// So many of the longest keys in ASCII fit into one e-mail, as keyturn.MaxUnitsByMail says.
func TestAsManyKeysAsAreSoldFitIntoOneEmail(t *testing.T) {
	c := content()
	c.Attachments, c.Keys = nil, nil
	for i := range keyturn.MaxUnitsByMail {
		c.Keys = append(c.Keys, fmt.Sprintf("%04d", i)+strings.Repeat("K", keyturn.MaxKeyLength-4))
	}
	_, err := mail.RenderKeys(mail.Template{}, c)
	require.NoError(t, err)
}
