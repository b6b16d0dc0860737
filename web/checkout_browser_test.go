package web_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/internal/testkit/axe"
)

// The checkout page in a real browser, under the policy that it is served with: one browser, a customer per test.
func TestCheckoutInABrowser(t *testing.T) {
	t.Parallel()
	chrome := launch(t)
	for _, locale := range []string{"en", "de", "fr"} {
		t.Run("purchase in "+locale, func(t *testing.T) { buyInABrowser(t, chrome, locale, true) })
	}
	t.Run("purchase without script", func(t *testing.T) { buyInABrowser(t, chrome, "en", false) })
	for name, test := range map[string]func(*testing.T, context.Context){
		"purchase by keyboard":        buyByKeyboard,
		"small screens and dark ones": showEveryState,
		"an offer on the visit":       takeTheVisitsOffer,
		"an offer on leaving":         declineTheOfferOnLeaving,
		"what was typed":              keepWhatWasTyped,
		"back":                        goBackAtEachStep,
	} {
		t.Run(name, func(t *testing.T) { test(t, chrome) })
	}
}

// customer is somebody who opens a link's page in a browser.
func (c *checkoutShop) customer(chrome context.Context) *browser {
	c.t.Helper()
	b := another(c.t, chrome)
	b.run(chromedp.EmulateViewport(1000, 900))
	return b
}

func (b *browser) evaluate(script string) bool {
	b.t.Helper()
	return get(b, chromedp.Evaluate[bool](script))
}

// eventually waits until the script says true.
func (b *browser) eventually(script string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		ok, err := chromedp.Run(b, chromedp.Evaluate[bool](script))
		return err == nil && ok
	}, time.Minute, 20*time.Millisecond, script)
}

// click presses what the selector finds and waits for the page that answers.
func (b *browser) click(selector string) {
	b.t.Helper()
	_, err := chromedp.RunResponse(b, chromedp.Click(chromedp.CSS(selector)))
	require.NoError(b.t, err)
}

func (b *browser) fill(fields ...string) {
	b.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		b.run(chromedp.SendKeys(chromedp.CSS("#"+fields[i]), fields[i+1]))
	}
}

// fits says that nothing of the page runs over to the right.
func (b *browser) fits(state string) {
	b.t.Helper()
	require.Empty(b.t, get(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("body *")].filter((e) =>
		e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".unseen")).map((e) =>
		e.tagName + "." + e.className)`)), state)
	require.True(b.t, b.evaluate(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`), state)
}

// picture saves what the page looks like, for whoever wants to see it.
func (b *browser) picture(state string) {
	b.t.Helper()
	if folder := os.Getenv("KEYTURN_TEST_PICTURES"); folder != "" {
		picture := get(b, chromedp.FullScreenshot(100))
		name := filepath.Join(folder, strings.ReplaceAll(state, " ", "-")+".png")
		require.NoError(b.t, os.WriteFile(name, picture, 0o600))
	}
}

// accessible has axe-core look at the page as it is, by all of its rules or by one.
func (b *browser) accessible(state, rule string) {
	b.t.Helper()
	b.picture(state)
	if b.evaluate(`typeof axe === "undefined"`) {
		get(b, chromedp.Evaluate[int](axe.Script+";0"))
	}
	which := `{}`
	if rule != "" {
		which = `{runOnly: {type: "rule", values: ["` + rule + `"]}}`
	}
	found := get(b, chromedp.Evaluate[[]string](`axe.run(document, `+which+`).then((result) =>
		result.violations.map((v) => v.id + ": " + v.help + " at " + v.nodes.map((n) => n.target.join(" ")).join(", ")))`,
		chromedp.EvalAwaitPromise))
	assert.Empty(b.t, found, state)
}

func (b *browser) dark(on bool) {
	b.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[on]
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
	require.NoError(b.t, err)
}

func buyInABrowser(t *testing.T, chrome context.Context, locale string, script bool) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = locale })
	b := c.customer(chrome)
	_, err := chromedp.Call(b, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: !script})
	require.NoError(t, err)
	b.run(chromedp.Navigate(c.origin + page))
	text, _, _ := b.reads()
	require.Contains(t, text, map[string]string{
		"en": "Order and pay", "de": "Zahlungspflichtig bestellen", "fr": "Commander avec obligation de paiement",
	}[locale])
	require.True(t, b.evaluate(`document.documentElement.lang === "`+locale+`"`))
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "FR"))
	b.fill("email", "ada@buyer.test", "firstName", "Ada")
	b.run(chromedp.Click(chromedp.CSS("#consent")))
	require.Equal(t, script, b.evaluate(`document.querySelector(".to").innerText.includes("ada@buyer.test")`))
	b.click(".pay") // the policy lets it lead to the processor, which is at another origin
	_, _, location := b.reads()
	require.Contains(t, location, c.sandbox.Origin()+"/sandbox/pay/")
	b.click(`[value="pay"]`)
	b.settles(c.origin + page)
	text, html, _ := b.reads()
	require.Contains(t, text, map[string]string{
		"en": "Thank you for your order", "de": "Vielen Dank für Ihre Bestellung", "fr": "Merci pour votre commande",
	}[locale])
	require.Contains(t, html, `href="/o/`)
	require.Empty(t, c.referrers.all(), "no request says which page it comes from")
	b.calm()
}

// buyByKeyboard presses nothing but keys.
func buyByKeyboard(t *testing.T, chrome context.Context) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b := c.customer(chrome)
	b.run(chromedp.Navigate(c.origin + page))
	to := func(selector string) {
		t.Helper()
		for range 30 {
			b.run(chromedp.KeyEvent(kb.Tab))
			if b.evaluate(`document.activeElement.matches('` + selector + `')`) {
				require.True(t, b.evaluate(`document.activeElement.matches(":focus-visible")`))
				return
			}
		}
		t.Fatal("no key leads to " + selector)
	}
	to("#email")
	b.run(chromedp.KeyEvent("ada@buyer.test"))
	to("#country")
	b.run(chromedp.KeyEvent("France"))
	to("#consent")
	b.run(chromedp.KeyEvent(" "))
	to(".pay")
	_, err := chromedp.RunResponse(b, chromedp.KeyEvent(kb.Enter))
	require.NoError(t, err)
	_, _, location := b.reads()
	require.Contains(t, location, "/sandbox/pay/")
	to(`[value="pay"]`)
	_, err = chromedp.RunResponse(b, chromedp.KeyEvent(kb.Enter))
	require.NoError(t, err)
	b.settles(c.origin + page)
	text, _, _ := b.reads()
	require.Contains(t, text, "Thank you for your order")
	b.calm()
}

// showEveryState looks at every state of the page: nothing runs over on the narrowest screen, and axe-core finds
// nothing, in light and in dark colors.
func showEveryState(t *testing.T, chrome context.Context) {
	t.Helper()
	c := openCheckoutShop(t)
	c.settings(keyturn.Shop{
		Name: "Kiosk", Logo: picture(t, 120, 32),
		Legal: keyturn.Legal{
			Terms: "https://kiosk.example/terms", Privacy: "https://kiosk.example/privacy",
			Imprint: "https://kiosk.example/imprint", Seller: "Kiosk Ltd, 1 Main Street, Dublin", Contact: "help@kiosk.example",
		},
		Checkout: keyturn.CheckoutSettings{Fields: keyturn.CheckoutFields{
			Street: keyturn.FieldRequired, ZipCode: keyturn.FieldOptional, City: keyturn.FieldOptional,
		}},
	})
	b := c.customer(chrome)
	see := func(state string) {
		t.Helper()
		for _, width := range []int64{1000, 320} {
			b.run(chromedp.EmulateViewport(width, 900))
			b.fits(state)
			if width > 320 {
				b.picture(state + " wide")
			}
		}
		b.accessible(state, "")
		b.dark(true)
		b.accessible(state+" dark", "color-contrast")
		b.dark(false)
	}
	game, err := catalog.CheckProduct(keyturn.Product{
		ID: "game", Name: "The Game", Image: picture(t, 64, 48), Sources: []keyturn.Source{keyturn.FromPool("p")},
	}, false)
	require.NoError(t, err)
	_, _, err = c.db.PutProduct(t.Context(), game)
	require.NoError(t, err)
	suite := keyturn.LinkOffer{ID: "o1", Headline: "The whole suite", Text: "All in one.", LineItem: keyturn.LinkLine{
		ProductID: "game", Name: "The Game, every season", Description: "All of it.", UnitPrice: "79.00", ListPrice: "99.00",
	}}
	full := func(l *keyturn.CheckoutLink) {
		l.Locale = "de"
		l.LineItems[0].Name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
		l.LineItems[0].Description = "Für den eigenen Rechner, ohne Ende."
		l.LineItems[0].ListPrice = "19.99"
		l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 10}
		l.Offers.OnVisit, l.Offers.OnLeave = []keyturn.LinkOffer{suite}, []keyturn.LinkOffer{suite}
		l.Offers.OnLeave[0].ID, l.Offers.OnLeave[0].Headline = "o2", "Before you go"
		l.Customer = keyturn.Customer{
			Email: "a-very-long-mailbox-name-that-goes-on-and-on@and-an-equally-long-domain.buyer.test", LastName: "Dupont",
		}
	}
	id, page := c.link(full)
	b.run(chromedp.Navigate(c.origin + page))
	b.eventually(`document.querySelector("dialog[open]") !== null`)
	see("visit offer")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.eventually(`document.querySelector("dialog") === null`)
	see("open")
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`))
	see("open changing")
	require.NoError(t, c.db.CancelLink(t.Context(), id, "test", "over"))
	b.run(chromedp.Reload())
	see("canceled")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b.run(chromedp.Navigate(c.origin + page))
	b.calm()
	b.click(".pay")
	b.refused("422")
	require.True(t, b.evaluate(`document.activeElement.id === "wrong"`))
	see("with errors")
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	_, _, pay := b.reads()
	see("sandbox")
	b.run(chromedp.Navigate(c.origin + page))
	see("paying")
	b.run(chromedp.Navigate(pay))
	b.click(`[value="pay-late"]`)
	b.settles(c.origin + page)
	see("processing")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.LineItems[0].UnitPrice = "0.00"; l.Locale = "fr" })
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	b.settles(c.origin + page)
	see("thanks")
	b.run(chromedp.Click(chromedp.CSS(".buttons a")), chromedp.WaitVisible(chromedp.CSS(".facts")))
	require.True(t, b.evaluate(`document.querySelector(".picture").complete`))
	see("order page")
	other := c.customer(chrome)
	other.run(chromedp.Navigate(c.origin + page))
	b = other
	see("used")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	for range keyturn.MaxLinkPayments {
		_, body := c.do("GET", page, nil)
		form := ada(c.version(body))
		form.Set("street", "1 Main Street")
		resp, _ := c.do("POST", page+"/order", form)
		require.Equal(t, 303, resp.StatusCode)
		_, _ = c.do("POST", page+"/reopen", nil)
	}
	b.run(chromedp.Navigate(c.origin + page))
	b.calm()
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	require.True(t, b.evaluate(`document.querySelector("[role=alert]").innerText.includes("begun too often")`))
	b.refused("429")
	see("begun too often")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	c.processors["sandbox"] = faulty{c.sandbox, errUnavailable}
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	b.refused("503")
	see("processor down")
	c.processors["sandbox"] = c.sandbox

	id, page = c.link(nil)
	require.Equal(t, 1, c.count(`WITH gone AS (UPDATE checkout_links SET created_at = now() - interval '2 days',
		expires_at = now() - interval '1 day' WHERE id = $1 RETURNING 1) SELECT count(*) FROM gone`, id))
	b.run(chromedp.Navigate(c.origin + page))
	see("expired")
	b.calm()
	b.run(chromedp.Navigate(c.origin + "/c/nobody-knows-this"))
	b.refused("404")
	see("unknown")
}

// takeTheVisitsOffer: the offer opens by itself, once; it replaces the item and can be undone.
func takeTheVisitsOffer(t *testing.T, chrome context.Context) {
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
	b := c.customer(chrome)
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
func declineTheOfferOnLeaving(t *testing.T, chrome context.Context) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.Offers.OnLeave = []keyturn.LinkOffer{{ID: "o2", Headline: "Less", LineItem: keyturn.LinkLine{
			ProductID: "game", Name: "The Game Light", UnitPrice: "5.00",
		}}}
	})
	b := c.customer(chrome)
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
func keepWhatWasTyped(t *testing.T, chrome context.Context) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) {
		l.Locale = "en"
		l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 2}
	})
	b := c.customer(chrome)
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

// goBackAtEachStep: wherever the customer presses back, the page says where things stand, and nothing is bought twice.
func goBackAtEachStep(t *testing.T, chrome context.Context) {
	t.Helper()
	c := openCheckoutShop(t)
	id, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b := c.customer(chrome)
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test", "lastName", "Lovelace")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	b.walk(-1)
	b.eventually(`document.querySelector("main")?.innerText.includes("Your payment is open") === true`)
	b.press("Change my order")
	b.eventually(`document.getElementById("email")?.value === "ada@buyer.test"`)
	require.True(t, b.evaluate(`document.getElementById("lastName").value === "Lovelace"`))
	b.click(".pay")
	_, _, pay := b.reads()
	b.click(`[value="pay"]`)
	b.settles(c.origin + page)
	b.walk(-1)
	b.settles(pay)
	// The browser shows the processor's page as it was left, so the customer presses again.
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector('[value="pay"]').click()`))
	b.settles(c.origin + page)
	text, _, _ := b.reads()
	require.Contains(t, text, "Thank you for your order")
	link, err := c.db.Link(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, link.Payments, 2)
	require.Equal(t, keyturn.PaymentExpired, link.Payments[0].Status)
	require.Equal(t, keyturn.PaymentAuthorized, link.Payments[1].Status)
	b.calm()
}
