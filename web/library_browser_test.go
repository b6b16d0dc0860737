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
// the narrowest screen, and axe-core finds nothing on the pages that no scene shows.
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
	for _, lang := range keyturn.PageLanguages {
		t.Run(lang, func(t *testing.T) { openLibrary(t, surf(t), o, lang) })
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
		b.fitsScreens(state + " " + lang)
	}
	// seeAlone looks at what no scene shows.
	seeAlone := func(state string) {
		t.Helper()
		see(state)
		if lang == "en" || everywhere() {
			b.accessible(state + " " + lang)
		}
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
	seeAlone("library last page")
	b.click(`[href^="/library/receipts/"]`)
	seeAlone("library receipt")
	b.click(".receipt a")
	b.settles(s.server.URL + "/library/orders")
	b.click(`.links [aria-describedby="item-0-0"]`)
	text, _, location := b.reads()
	require.Contains(t, location, o.path)
	require.Contains(t, text, o.id)
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	b.click(`[action="/library/close"] button`)
	seeAlone("library closed")
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	seeAlone("library over")
	b.refused("403")
	b.run(chromedp.Navigate(s.server.URL + link))
	seeAlone("library link over")
	b.refused("410")
	b.calm()
}
