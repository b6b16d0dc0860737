package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/mail"
)

// A sample is in the shop's face and in the words of a product and a language, and a test goes to its one address.
func TestSamplesOfMails(t *testing.T) {
	t.Parallel()
	var sent []mail.Message
	var refused error
	b := newBench(t, func(c *api.Config) {
		c.SendMail = func(_ context.Context, m mail.Message) error {
			sent = append(sent, m)
			return refused
		}
		c.TestMails = &throttle.Throttle{Most: 2, Every: time.Hour}
	})
	b.must(t, "PUT", "/v1/shop", `{"name": "Kiosk", "color": "#102030", "legal": {"contact": "help@kiosk.test"}}`)
	b.must(t, "PUT", "/v1/products/app", `{"name": "The App", "shortName": "App", "sources": [{"type": "manual"}],
		"email": {"text": "{PROGRAM_SHORT}: {KEY}", "languages": {"fr": {"text": "Clé de {PROGRAM_SHORT}, {LICENSE_FOR}, {ADDINFO_TEXT}: {KEY}"}}}}`)

	var m keyturn.MailSample
	b.must(t, "POST", "/v1/mails/preview", `{"productId": "app", "locale": "fr-CA"}`).into(t, &m)
	require.Equal(t, `"Kiosk" <keys@shop.test>`, m.From)
	require.Equal(t, "help@kiosk.test", m.ReplyTo)
	require.Equal(t, "Vos clés The App", m.Subject)
	require.Contains(t, m.Text, "Clé de App, Ada Martin, ada@buyer.example, What the customer filled in: \nSAMPLE-0001-")
	require.Contains(t, m.HTML, "border-top:4px solid #102030")
	b.must(t, "POST", "/v1/mails/preview", `{"productId": "app", "locale": "de"}`).into(t, &m)
	require.Contains(t, m.Text, "\nApp: \nSAMPLE-0001-")
	for _, kind := range keyturn.SampleKinds {
		b.must(t, "POST", "/v1/mails/preview", `{"kind": "`+kind+`"}`).into(t, &m)
		require.NotEmpty(t, m.Subject, kind)
		require.NotContains(t, m.Text+m.HTML, "%!", kind)
	}
	require.Empty(t, sent)

	b.must(t, "POST", "/v1/mails/test", `{"email": "you@kiosk.test"}`).into(t, &m)
	require.True(t, m.Sent)
	require.Len(t, sent, 1)
	require.Equal(t, "you@kiosk.test", sent[0].To)

	refused = keyturn.Errorf(keyturn.KindUnavailable, "451 no")
	test := []string{"Authorization", b.token(t, "merchant", api.ScopeCatalogWrite)}
	b.play(t, []scenario{
		{"the mail server is down", "POST", "/v1/mails/test", test, `{"email": "you@kiosk.test"}`, 503, nil, nil},
		{"too many", "POST", "/v1/mails/test", test, `{"email": "you@kiosk.test"}`, 429, []string{"wait"}, nil},
		{"no address", "POST", "/v1/mails/test", test, `{}`, 422, []string{`"location":"email"`}, nil},
		{"no such kind", "POST", "/v1/mails/preview", nil, `{"kind": "news"}`, 422, []string{"must be one of keys, "}, nil},
		{"no such product", "POST", "/v1/mails/preview", nil, `{"productId": "none"}`, 404, nil, nil},
		{
			"a language without a key", "PUT", "/v1/products/app", nil, `{"name": "App", "sources": [{"type": "manual"}],
			"email": {"languages": {"fr": {"text": "Merci"}, "x": {}}}}`, 422,
			[]string{`"location":"email.languages.fr.text"`, `"location":"email.languages.x"`},
			nil,
		},
		{
			"no color", "PUT", "/v1/shop", nil, `{"color": "red", "replyTo": "nobody"}`, 422,
			[]string{`"location":"color"`, `"location":"replyTo"`},
			nil,
		},
	})
}
