package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// A customer asks, opens the link and finds a key on pages that have no script; nothing runs over on the narrowest
// screen, and axe-core finds nothing.
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
	b := surf(t)
	see := func(state string) {
		t.Helper()
		for _, width := range []int64{1000, 320} {
			b.run(chromedp.EmulateViewport(width, 900))
			b.fits(state)
			b.picture(state)
		}
		b.accessible(state, "")
		b.dark(true)
		b.accessible(state+" dark", "color-contrast")
		b.dark(false)
	}
	b.run(chromedp.Navigate(s.server.URL + "/library"))
	see("library ask")
	b.fill("email", "jean")
	b.press("Send me the link")
	see("library wrong address")
	b.refused("422")
	b.run(chromedp.SetValue(chromedp.CSS("#email"), "jean@buyer.test"))
	b.press("Send me the link")
	see("library sent")
	link := s.libraryMails()["jean@buyer.test"]
	b.run(chromedp.Navigate(s.server.URL + link))
	see("library link")
	b.press("Show my purchases")
	b.settles(s.server.URL + "/library/orders")
	see("library orders")
	text, html, _ := b.reads()
	require.Contains(t, text, o.id)
	require.NotContains(t, html, "<script nonce")
	b.run(chromedp.Click(`//a[normalize-space()="Older"]`), chromedp.WaitVisible(`//a[normalize-space()="Newest"]`))
	text, _, _ = b.reads()
	require.Contains(t, text, "ORD-1\n")
	require.NotContains(t, text, o.id+"\n")
	see("library last page")
	b.run(chromedp.Click(`//a[normalize-space()="Receipt"]`),
		chromedp.WaitVisible(`//a[normalize-space()="Back to your purchases"]`))
	see("library receipt")
	b.run(chromedp.Click(`//a[normalize-space()="Back to your purchases"]`),
		chromedp.WaitVisible(`//a[normalize-space()="Keys and links"]`))
	b.run(chromedp.Click(`//a[normalize-space()="Keys and links"]`), chromedp.WaitVisible(`//button`))
	text, _, location := b.reads()
	require.Contains(t, location, o.path)
	require.Contains(t, text, o.id)
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	b.press("Close")
	see("library closed")
	b.run(chromedp.Navigate(s.server.URL + "/library/orders"))
	see("library over")
	b.refused("403")
	b.run(chromedp.Navigate(s.server.URL + link))
	see("library link over")
	b.refused("410")
	b.calm()
}
