package web_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestALateKeyIsOpenedOnThePage(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.claim(0)
	require.Equal(t, 409, o.post(0, "keys", nil).status, "the e-mail is tried first")
	o.send(0, &partnerDown, false)
	require.Contains(t, o.get().shown(), "You do not have to wait for it: open your key here.")
	require.NotContains(t, o.get().body, canary)
	got := o.post(0, "keys", nil)
	require.Equal(t, 200, got.status)
	require.Contains(t, got.body, canary+"-1")
	require.Contains(t, got.shown(), "Your key is shown below.")
	require.Contains(t, o.get().shown(), "Delivered Quantity 1")
	require.Contains(t, o.get().shown(), "You opened it on this page on ")
	require.Contains(t, o.get().shown(), "Your order is complete")
}

func TestProductsSayWhetherThePageShowsTheirKeys(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "shown", Sources: fromPool, PageKeys: keyturn.PageKeysAlways}, canary+"-1")
	o := s.buy("en", "shown")
	require.NotContains(t, o.get().body, canary)
	o.deliver(0)
	got := s.fetch(http.MethodGet, o.path, nil)
	require.Contains(t, got.body, canary+"-1")
	require.NotContains(t, got.shown(), "Show my key")
	require.NotContains(t, got.shown(), "Hide again")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer'`))
	require.Equal(t, 304, s.ask(http.MethodGet, o.path, nil, "If-None-Match", got.header.Get("ETag")).status,
		"a look for news shows nothing anew")
	require.Empty(t, s.ask(http.MethodHead, o.path, nil).body)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer'`))

	s.sold(keyturn.Product{ID: "hidden", Sources: fromPool, PageKeys: keyturn.PageKeysNever}, canary+"-2")
	o = s.buy("en", "hidden")
	o.deliver(0)
	require.NotContains(t, o.get().shown(), "Show my key")
	require.Equal(t, 409, o.post(0, "keys", nil).status)
	require.Equal(t, 409, o.post(0, "list", nil).status)
	require.NotContains(t, s.ask(http.MethodPost, o.path+"/keys", nil).body, canary)
}

func TestManyKeysAtOnce(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Name: "Acme Pro", Sources: fromPool}, canary+"-1", canary+"-2", canary+"-3",
		canary+"-4")
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en"},
		keyturn.LineItem{ProductID: "acme", Quantity: 2, GrossPrice: "59.98"},
		keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: "29.99"},
		keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: "29.99"})
	o.deliver(0)
	require.NotContains(t, o.get().shown(), "Show all my keys", "of one line there is nothing more to show")
	o.deliver(1)
	require.Contains(t, o.get().shown(), "Show all my keys")
	all := s.ask(http.MethodPost, o.path+"/keys", nil)
	require.Equal(t, 200, all.status)
	for _, key := range []string{canary + "-1", canary + "-2", canary + "-3"} {
		require.Contains(t, all.body, key)
	}
	require.NotContains(t, all.body, canary+"-4", "of the line that is not delivered")
	require.Equal(t, 1, strings.Count(all.body, "Copy all"))
	require.Equal(t, 2, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer' AND what = 'keys'`))
	require.Equal(t, 303, s.ask(http.MethodGet, o.path+"/keys", nil).status)

	list := o.post(0, "list", nil)
	require.Equal(t, 200, list.status)
	require.Equal(t, canary+"-1\r\n"+canary+"-2\r\n", list.body)
	require.Equal(t, `attachment; filename=ORD-1-1.txt`, list.header.Get("Content-Disposition"))
}

func TestTheEmailIsSentAgain(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	require.Equal(t, 409, o.post(0, "resend", nil).status)
	o.deliver(0)
	for range 3 {
		require.Contains(t, o.post(0, "resend", nil).shown(), "We are sending the e-mail again.")
	}
	got := o.post(0, "resend", url.Values{})
	require.Equal(t, 429, got.status)
	require.Contains(t, got.shown(), "This e-mail was sent again three times today.")
	require.Equal(t, 3, s.count(`SELECT count(*) FROM deliveries WHERE number > 1`))
}

// The order page in a browser: nothing runs over on the narrowest screen, times are the reader's, all keys are copied.
func TestOrderPageInABrowser(t *testing.T) {
	s := open(t)
	s.settings(keyturn.Shop{Name: "Boutique Été", Legal: keyturn.Legal{Contact: "aide@boutique.example"}})
	keys := []string{canary + strings.Repeat("-AAAA", 40)}
	for i := range 11 {
		keys = append(keys, canary+"-"+strconv.Itoa(i))
	}
	long := strings.Repeat("Überlanger-Produktname-", 6)
	s.sold(keyturn.Product{
		ID: "acme", Name: long, Sources: fromPool, URLToInstructions: "https://acme.test/" + strings.Repeat("long", 30),
	}, keys...)
	line := keyturn.LineItem{ProductID: "acme", Quantity: 2, GrossPrice: "59.98"}
	for _, locale := range []string{"en", "fr", "de"} {
		o := s.accept(keyturn.Customer{
			Email: strings.Repeat("jean.", 11) + "dupont@buyer.test", Locale: locale, FirstName: "Jean",
		}, line, line)
		o.deliver(0)
		o.claim(1)
		if locale == "en" {
			o.send(1, &partnerDown, false)
		}
		b := surf(t)
		_, err := chromedp.Call(b, emulation.SetTimezoneOverride,
			emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
		require.NoError(t, err)
		name := "order page " + locale
		b.run(chromedp.Navigate(s.server.URL + o.path))
		b.fitsScreens(name)
		require.True(t, b.evaluate(`document.getElementById("zone").hidden`), "each time names its zone")
		require.True(t, b.evaluate(`[...document.querySelectorAll("time[data-as]")].every((e) =>
			/(GMT|UTC)[-−][45]|E[SD]T/.test(e.textContent))`))
		if locale == "en" {
			b.press("Show my keys")
			b.fitsScreens(name + " keys")
			require.True(t, b.evaluate(`[...document.querySelectorAll("button.copy")].every((e) => !e.hidden)`))
		}
		b.calm()
	}
}
