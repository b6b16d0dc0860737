package web_test

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// A customer asks, opens the link and finds a key on pages that have no script, in each language; nothing runs over on
// the narrowest screen, and axe-core finds nothing.
func TestBrowserOpensALibrary(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Name: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk", Sources: fromPool},
		canary+"-1")
	s.sold(keyturn.Product{ID: "filed", Name: "Acme Files", Sources: fromEndpoint})
	for range db.LibraryOrders {
		s.buy("de", "filed")
	}
	o := s.buy("de", "acme", "filed")
	o.deliver(0)
	o.call(1, db.CallResult{Files: []db.File{{Name: "a.lic", Data: []byte(canary)}}})
	o.send(1, nil, true)
	chrome := launch(t)
	for _, lang := range keyturn.PageLanguages {
		t.Run(lang, func(t *testing.T) { openLibrary(t, another(t, chrome), o, lang) })
	}
}

func openLibrary(t *testing.T, b *browser, o order, lang string) {
	t.Helper()
	s := o.shop
	_, err := chromedp.Call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"Accept-Language": lang},
	})
	require.NoError(t, err)
	see := func(state string) {
		t.Helper()
		require.True(t, b.evaluate(`document.documentElement.lang === "`+lang+`"`), state)
		for _, width := range []int64{1000, 320} {
			b.run(chromedp.EmulateViewport(width, 900))
			b.fits(state)
			b.picture(state + " " + lang)
		}
		b.accessible(state+" "+lang, "")
		b.dark(true)
		b.accessible(state+" dark "+lang, "color-contrast")
		b.dark(false)
	}
	b.run(chromedp.Navigate(s.server.URL + "/library"))
	see("library ask")
	b.fill("email", "jean")
	b.click(".ask button")
	see("library wrong address")
	b.refused("422")
	b.run(chromedp.SetValue(chromedp.CSS("#email"), "jean@buyer.test"))
	b.click(".ask button")
	see("library sent")
	link := s.libraryMails()["jean@buyer.test"]
	b.run(chromedp.Navigate(s.server.URL + link))
	see("library link")
	b.click("main .primary")
	b.settles(s.server.URL + "/library/orders")
	see("library orders")
	text, html, _ := b.reads()
	require.Contains(t, text, o.id)
	require.NotContains(t, html, "<script nonce")
	b.click("[rel=next]")
	text, _, _ = b.reads()
	require.Contains(t, text, "ORD-1\n")
	require.NotContains(t, text, o.id+"\n")
	see("library last page")
	b.click(`[href^="/library/receipts/"]`)
	see("library receipt")
	b.click(".receipt a")
	b.settles(s.server.URL + "/library/orders")
	b.click(`.links [aria-describedby="item-0-0"]`)
	text, _, location := b.reads()
	require.Contains(t, location, o.path)
	require.Contains(t, text, o.id)
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	b.click(`[action="/library/close"] button`)
	see("library closed")
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	see("library over")
	b.refused("403")
	b.run(chromedp.Navigate(s.server.URL + link))
	see("library link over")
	b.refused("410")
	b.calm()
}
