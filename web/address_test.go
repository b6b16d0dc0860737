package web_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// comesBack has the newest e-mail of a line come back.
func (o order) comesBack(i int) {
	o.shop.t.Helper()
	v, err := o.shop.db.Fulfillment(context.Background(), o.lines[i])
	require.NoError(o.shop.t, err)
	var newest string
	for _, d := range v.Deliveries {
		if d.Kind == keyturn.DeliveryKeys {
			newest = d.ID
		}
	}
	o.shop.comesBack(o.shop.db.MailRef(newest))
}

// comesBack has the e-mail with a reference come back.
func (s *shop) comesBack(ref string) {
	s.t.Helper()
	result, err := s.db.Bounced(context.Background(), db.BounceReport{
		Refs: []string{ref}, Kind: keyturn.BounceBadAddress, Status: "5.1.1", Via: keyturn.InletSMTP,
	})
	require.NoError(s.t, err)
	require.Equal(s.t, db.BounceBooked, result)
}

func TestThePageAsksForAnotherAddress(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	address := func(given string) url.Values { return url.Values{"email": {given}} }
	require.NotContains(t, o.get().body, `name="email"`, "nothing came back")
	require.Equal(t, http.StatusConflict, o.post(0, "address", address("ada@buyer.test")).status)

	o.comesBack(0)
	page := o.get()
	require.Contains(t, page.shown(), "Our e-mail to j…@buyer.test came back: it did not reach you.")
	require.Contains(t, page.shown(), "You can open your key here.")
	require.NotContains(t, page.body, "jean@buyer.test", "the address is masked")
	for _, bad := range []string{"", "ada", "ada@buyer.test, x@y.test", "ada@buyer.test\r\nBcc: x@y.test", `"><script>@x.y`} {
		got := o.post(0, "address", address(bad))
		require.Equal(t, http.StatusUnprocessableEntity, got.status, bad)
		require.Contains(t, got.shown(), "This is not an e-mail address")
		require.NotContains(t, got.body, "<script>@")
	}
	require.Contains(t, o.post(0, "address", address("jean@buyer.test")).shown(), "This is the address that the e-mail")
	got := o.post(0, "address", address(" ada@buyer.test "))
	require.Equal(t, 200, got.status)
	require.Contains(t, got.shown(), "We are sending the e-mail to the new address.")
	require.Contains(t, o.get().shown(), "On its way to a…@buyer.test.")
	require.Equal(t, 303, s.ask(http.MethodGet, o.path+"/lines/"+o.lines[0]+"/address", nil).status)
	for _, to := range []string{"b@buyer.test", "c@buyer.test"} {
		o.comesBack(0)
		require.Equal(t, 200, o.post(0, "address", address(to)).status)
	}
	o.comesBack(0)
	require.Equal(t, http.StatusTooManyRequests, o.post(0, "address", address("d@buyer.test")).status)
	require.NotContains(t, o.get().body, `name="email"`)
	require.Equal(t, 3, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer' AND what = 'address'`))
}

// Of several keys the page speaks in the plural.
func TestThePageAsksForTheAddressOfSeveralKeys(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1", canary+"-2")
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "de"},
		keyturn.LineItem{ProductID: "acme", Quantity: 2, GrossPrice: "20.00"})
	o.deliver(0)
	o.comesBack(0)
	for _, part := range []string{
		"Ihre Schlüssel sind da, aber unsere E-Mail kam zurück.", "Sie können Ihre Schlüssel hier anzeigen.",
		"wir senden dieselben Schlüssel dorthin",
	} {
		require.Contains(t, o.get().shown(), part)
	}
}

func TestThePageWaitsForTheShopsYes(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool, PageKeys: keyturn.PageKeysNever}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	o.comesBack(0)
	require.NotContains(t, o.get().shown(), "You can open your key here.")
	got := o.post(0, "address", url.Values{"email": {"ada@buyer.test"}})
	require.Contains(t, got.shown(), "The shop looks at it before anything is sent there")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM deliveries`))
	_, err := s.db.AcceptAddress(context.Background(), o.lines[0], "", "ops", letter)
	require.NoError(t, err)
	require.Contains(t, o.get().shown(), "On its way to a…@buyer.test.")
}

// A customer whose e-mail came back corrects the address in a browser, with and without scripts.
func TestABrowserCorrectsTheAddress(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Name: "Acme Pro", Sources: fromPool}, canary+"-1", canary+"-2", canary+"-3")
	for _, locale := range []string{"en", "fr", "de"} {
		o := s.buy(locale, "acme")
		o.deliver(0)
		o.comesBack(0)
		b := surf(t)
		b.run(chromedp.Navigate(s.server.URL + o.path))
		b.fitsScreens("came back " + locale)
		b.run(chromedp.SendKeys(`input[name=email]`, "ada@buyer.test"))
		b.press(map[string]string{"en": "Send it there", "fr": "Envoyer à cette adresse", "de": "Dorthin senden"}[locale])
		text, _, _ := b.reads()
		require.Contains(t, text, "a…@buyer.test")
		require.NotContains(t, text, canary)
		b.calm()
	}
}

// A customer whose confirmation came back gives another address in a browser before the key is sent: both go there.
func TestABrowserCorrectsTheAddressOfAConfirmation(t *testing.T) {
	t.Parallel()
	for lang, says := range map[string]struct{ cameBack, button, done string }{
		"en": {"Our e-mail to e…@mail.example came back", "Use this address", "We are sending the e-mail to the new address."},
		"fr": {"Notre e-mail à j…@mail.example nous est revenu", "Utiliser cette adresse", "Nous envoyons l’e-mail à la nouvelle"},
		"de": {"Unsere E-Mail an l…@mail.example kam zurück", "Diese Adresse verwenden", "Wir senden die E-Mail an die neue"},
	} {
		s := openStage(t, lang)
		o, pay := s.unconfirmed()
		b := surf(t)
		b.run(chromedp.Navigate(s.origin + o.path))
		text, _, _ := b.reads()
		require.Contains(t, text, says.cameBack)
		b.run(chromedp.SendKeys(`input[name=email]`, "ada@mail.example"))
		b.press(says.button)
		text, html, _ := b.reads()
		require.Contains(t, text, says.done)
		require.NotContains(t, html, `name="email"`)
		b.calm()

		s.posted = nil
		s.paymentMails(pay)
		to := map[string]string{}
		for _, letter := range s.posted {
			to[letter.to] = letter.text
		}
		require.Len(t, s.posted, 2)
		require.Contains(t, to["ada@mail.example"], "49", "the confirmation")
		require.Contains(t, to[s.buyer().Email], "a…@mail.example", "the old address is told")
		o.claim(0)
		s.captured(o, 0)
		o.send(0, nil, true)
		require.Equal(t, "ada@mail.example", s.letter().to, "the key")
	}
}
