package mail_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/mail"
)

var update = flag.Bool("update", false, "write the golden messages anew; read the difference before you commit it")

// TestGolden pins every byte: a message that is rendered again after a deploy must be the message that was stored.
func TestGolden(t *testing.T) {
	t.Parallel()
	french := content()
	french.Locale, french.SenderName, french.Keys = "fr-FR", "Boutique Été", []string{"CLÉ-1", "K<&>\"'2=", "K3 "}
	french.Links = []string{"https://acme.test/activate?x=1&y=2", "javascript:alert(1)"}
	french.Attachments = []mail.Attachment{
		{
			Name: "licence été.lic", ContentType: "application/x-license",
			Data: []byte("signed \x00\x01 bytes, longer than one line of base64 can be: 0123456789"),
		},
		{Name: `..\..\evil.exe`, ContentType: "nonsense", Data: []byte{}},
	}
	linkOnly := content()
	linkOnly.Keys, linkOnly.Links, linkOnly.Customer = nil, []string{"https://acme.test/a"}, mail.Customer{}
	german := content()
	german.Locale = "de"
	operations := mail.Alert{
		Envelope: content().Envelope, Subject: "2 lines need a person",
		Entries: []mail.AlertEntry{
			{
				Cause: "OutOfStock", OrderID: "ORD-1", Product: "acme-pro", Happened: "The pool acme-pro-keys is empty.",
				Next: "The line waits until keys are imported.", Link: "https://ops.test/f/1",
			},
			{Cause: "<script>", OrderID: "ORD-2\r\nBcc: x@y.test", Link: "javascript:alert(1)"},
		},
	}
	own := mail.Template{
		Subject: "Your {PROGRAM_NAME} key",
		Text: "Thank you, {FNAME}. Your key: {KEY}\n\nInstall: {URL}\nBraces: {} {x} {{KEY}} {UNKNOWN}\n.a line that " +
			"begins with a dot",
		HTML: `<p>Thank you, {FNAME}.</p><p title="{LNAME}">Keys: {KEY}</p><a href="{URL_FULL}">download</a>`,
	}
	for name, rendered := range map[string]func() (mail.Message, error){
		"keys_default.eml": func() (mail.Message, error) { return mail.RenderKeys(mail.Template{}, content()) },
		"keys_text.eml": func() (mail.Message, error) {
			return mail.RenderKeys(mail.Template{Text: own.Text}, content())
		},
		"keys_french.eml":    func() (mail.Message, error) { return mail.RenderKeys(own, french) },
		"keys_link_only.eml": func() (mail.Message, error) { return mail.RenderKeys(mail.Template{}, linkOnly) },
		"canceled.eml": func() (mail.Message, error) {
			return mail.RenderCanceled(content(), mail.Cancellation{Amount: euro(2999), Reason: mail.ReasonOutOfStock})
		},
		"canceled_german.eml": func() (mail.Message, error) { return mail.RenderCanceled(german, mail.Cancellation{}) },
		"keys_shop.eml": func() (mail.Message, error) {
			c := content()
			c.Shop = shop()
			return mail.RenderKeys(mail.Template{}, c)
		},
		"alert.eml": func() (mail.Message, error) { return mail.RenderAlert(operations) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := rendered()
			require.NoError(t, err)
			again, err := rendered()
			require.NoError(t, err)
			require.Equal(t, m, again)
			parse(t, m)
			path := filepath.Join("testdata", name)
			if *update {
				require.NoError(t, os.WriteFile(path, m.Data, 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(m.Data))
		})
	}
}
