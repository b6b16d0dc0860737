package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// takeTheVisitsOffer: the offer opens by itself, once; it replaces the item and can be undone.
func takeTheVisitsOffer(t *testing.T) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.Offers.OnVisit = []keyturn.LinkOffer{{ID: "o1", Headline: "More", LineItem: keyturn.LinkLine{
			ProductID: "game", Name: "The Game Deluxe", UnitPrice: "15.00",
		}}}
		l.Offers.OnLeave = []keyturn.LinkOffer{{ID: "o2", Headline: "Less", LineItem: keyturn.LinkLine{
			ProductID: "game", Name: "The Game Light", UnitPrice: "5.00",
		}}}
	})
	b := c.customer()
	b.run(chromedp.Navigate(c.origin + page))
	b.eventually(`document.querySelector("dialog[open]")?.innerText.includes("The Game Deluxe") === true`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.eventually(`document.querySelector("dialog") === null`)
	text, _, _ := b.reads()
	require.Contains(t, text, "The Game Deluxe", "without an answer it stands on the page")
	b.run(chromedp.Reload())
	require.False(t, b.evaluate(`document.querySelector("dialog") !== null`), "it opens once")

	b.click(`.offers[data-when=visit] [value="accept"]`)
	text, _, _ = b.reads()
	require.Contains(t, text, "15.00")
	require.NotContains(t, text, "The Game Light", "who has replaced something is left alone")
	b.leave()
	require.False(t, b.evaluate(`document.querySelector("dialog") !== null`))
	b.click(`[value="undo"]`)
	text, _, _ = b.reads()
	require.Contains(t, text, "The Game, 2026")
	b.calm()
}

// leave moves the mouse out of the window.
func (b *browser) leave() {
	b.t.Helper()
	b.pointerLeaves("mouse")
}

func (b *browser) pointerLeaves(kind string) {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](
		`document.documentElement.dispatchEvent(new PointerEvent("pointerleave", {pointerType: "` + kind + `"}))`))
}

// declineTheOfferOnLeaving: it opens when the mouse leaves, not while something is typed; declined, it is gone.
func declineTheOfferOnLeaving(t *testing.T) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.Offers.OnLeave = []keyturn.LinkOffer{{ID: "o2", Headline: "Less", LineItem: keyturn.LinkLine{
			ProductID: "game", Name: "The Game Light", UnitPrice: "5.00",
		}}}
	})
	b := c.customer()
	b.run(chromedp.Navigate(c.origin+page), chromedp.Focus(chromedp.CSS("#firstName")))
	require.True(t, b.evaluate(`document.querySelector(".agree").compareDocumentPosition(
		document.querySelector(".offers")) === Node.DOCUMENT_POSITION_FOLLOWING`), "it stands below the button")
	b.leave()
	require.False(t, b.evaluate(`document.querySelector("dialog") !== null`), "nobody is disturbed while typing")
	b.run(chromedp.Focus(chromedp.CSS(".pay")))
	b.pointerLeaves("touch")
	require.False(t, b.evaluate(`document.querySelector("dialog") !== null`), "a finger that is lifted leaves nothing")
	b.leave()
	require.True(t, b.evaluate(`document.querySelector("dialog[open]").contains(document.activeElement)`))
	b.run(chromedp.KeyEvent(kb.Escape))
	b.eventually(`document.querySelector("dialog") === null`)
	require.True(t, b.evaluate(`document.activeElement.matches(".pay")`), "the focus is where it was")
	b.leave()
	require.False(t, b.evaluate(`document.querySelector("dialog") !== null`), "it opens once")
	b.click(`.offers [value="decline"]`)
	text, _, _ := b.reads()
	require.NotContains(t, text, "The Game Light")
	b.run(chromedp.Reload())
	text, _, _ = b.reads()
	require.NotContains(t, text, "The Game Light")
	b.calm()
}

// keepWhatWasTyped: a change of the order loads the page anew, and what was typed is still there. A slip in the address
// is pointed out.
func keepWhatWasTyped(t *testing.T) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2}
	})
	b := c.customer()
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@gmial.com", "lastName", "Lovelace")
	require.True(t, b.evaluate(`document.getElementById("slip").innerText === "Did you mean ada@gmail.com?"`))
	b.run(chromedp.Click(chromedp.CSS("#slip")))
	require.True(t, b.evaluate(`document.getElementById("to").innerText === "ada@gmail.com"`))
	require.True(t, b.evaluate(`document.getElementById("slip").hidden`))
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "FR"), chromedp.Click(chromedp.CSS("#consent")),
		chromedp.SetValue(chromedp.CSS("#quantity-0"), "2"))
	b.click(".quantity button")
	text, _, _ := b.reads()
	require.Contains(t, text, "20.00")
	require.True(t, b.evaluate(`["email", "lastName", "country"].map((id) => document.getElementById(id).value).join() ===
		"ada@gmail.com,Lovelace,FR" && document.getElementById("consent").checked`))
	require.True(t, b.evaluate(`sessionStorage.length === 0`), "nothing typed stays behind")

	// Who is no consumer of the European Union is not asked to agree.
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("country").dispatchEvent(new Event("input"))`))
	require.True(t, b.evaluate(`document.querySelector(".consent").hidden`))
	b.calm()
}
