package web_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/internal/testkit/axe"
)

// fits says that nothing of the page runs over to the right.
func (b *browser) fits(state string) {
	b.t.Helper()
	require.Empty(b.t, get(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("body *")].filter((e) =>
		e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".unseen")).map((e) =>
		e.tagName + "." + e.className)`)), state)
	require.True(b.t, b.evaluate(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`), state)
}

// screens are as wide as a desktop's window and as the narrowest telephone.
var screens = []int64{1000, 320}

// fitsScreens says that nothing of the page runs over on any screen; the page is on the narrowest one then.
func (b *browser) fitsScreens(state string) {
	b.t.Helper()
	for _, width := range screens {
		b.run(chromedp.EmulateViewport(width, 900))
		b.fits(state)
		b.picture(state + " " + strconv.FormatInt(width, 10))
	}
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

// contrast is the rule of axe-core that colors decide on.
const contrast = `{runOnly: {type: "rule", values: ["color-contrast"]}}`

// accessible has axe-core look at the page, in light and in dark colors. Pages that a scene shows are looked at there.
func (b *browser) accessible(state string) {
	b.t.Helper()
	assert.Empty(b.t, b.axe(`{}`), state)
	b.dark(true)
	b.picture(state + " dark")
	assert.Empty(b.t, b.axe(contrast), "%s, dark", state)
	b.dark(false)
}

// axe is what axe-core finds wrong with the page as it is.
func (b *browser) axe(options string) []string {
	b.t.Helper()
	if b.evaluate(`typeof axe === "undefined"`) {
		get(b, chromedp.Evaluate[int](axe.Script+";0"))
	}
	return get(b, chromedp.Evaluate[[]string](
		`axe.run(document, {resultTypes: ["violations"], ...`+options+`}).then((result) =>
		result.violations.map((v) => v.id + ": " + v.help + " at " + v.nodes.map((n) => n.target.join(" ")).join(", ")))`,
		chromedp.EvalAwaitPromise))
}

func (b *browser) dark(on bool) {
	b.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[on]
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
	require.NoError(b.t, err)
}

// showEveryState leads to every state of the page in a shop with long names: nothing runs over on the narrowest screen.
// Where axe-core looks at a state, it has no scene.
func showEveryState(t *testing.T) {
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
	b := c.customer()
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
	b.fitsScreens("visit offer")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.eventually(`document.querySelector("dialog") === null`)
	b.fitsScreens("open")
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`))
	b.fitsScreens("open changing")
	require.NoError(t, c.db.CancelLink(t.Context(), id, "test", "over"))
	b.run(chromedp.Reload())
	b.fitsScreens("canceled")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b.run(chromedp.Navigate(c.origin + page))
	b.calm()
	b.click(".pay")
	b.refused("422")
	require.True(t, b.evaluate(`document.activeElement.id === "wrong"`))
	b.fitsScreens("with errors")
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	_, _, pay := b.reads()
	b.fitsScreens("sandbox")
	b.accessible("sandbox")
	b.run(chromedp.Navigate(c.origin + page))
	b.fitsScreens("paying")
	b.run(chromedp.Navigate(pay))
	b.click(`[value="pay-late"]`)
	b.settles(c.origin + page)
	b.fitsScreens("processing")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.LineItems[0].UnitPrice = "0.00"; l.Locale = "fr" })
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	b.settles(c.origin + page)
	b.fitsScreens("thanks")
	b.run(chromedp.Click(chromedp.CSS(".buttons a")), chromedp.WaitVisible(chromedp.CSS(".facts")))
	require.True(t, b.evaluate(`document.querySelector(".picture").complete`))
	b.fitsScreens("order page")
	other := c.customer()
	other.run(chromedp.Navigate(c.origin + page))
	b = other
	b.fitsScreens("used")

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
	require.True(t, b.evaluate(`document.querySelector("[role=alert]").innerText.includes("begun too often")`))
	require.True(t, b.evaluate(`!document.querySelector("form")`))
	b.fitsScreens("begun too often")

	_, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	c.processors["sandbox"] = faulty{c.sandbox, errUnavailable}
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test", "street", "1 Main Street")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "US"))
	b.click(".pay")
	b.refused("503")
	b.fitsScreens("processor down")
	c.processors["sandbox"] = c.sandbox

	id, page = c.link(nil)
	require.Equal(t, 1, c.count(`WITH gone AS (UPDATE checkout_links SET created_at = now() - interval '2 days',
		expires_at = now() - interval '1 day' WHERE id = $1 RETURNING 1) SELECT count(*) FROM gone`, id))
	b.run(chromedp.Navigate(c.origin + page))
	b.fitsScreens("expired")

	c.settings(keyturn.Shop{
		Name: "Kiosk", Checkout: keyturn.CheckoutSettings{Withdrawal: keyturn.WithdrawalOffered},
	})
	id, page = c.link(func(l *keyturn.CheckoutLink) { l.Locale = "de" })
	b.run(chromedp.Navigate(c.origin + page))
	b.fill("email", "ada@buyer.test")
	b.run(chromedp.SetValue(chromedp.CSS("#country"), "DE"))
	b.click(".pay")
	b.click("button[value=pay]")
	b.run(chromedp.Navigate(c.origin + "/o/" + c.db.PageToken(id)))
	b.fitsScreens("order that can be withdrawn from")
	b.click(`form[action$="/withdrawal"] button`)
	b.fitsScreens("withdrawal to confirm")
	b.click(`form[action$="/withdrawal"] button`)
	require.True(t, b.evaluate(`document.body.innerText.includes("widerrufen.")`))
	b.fitsScreens("withdrawn")
	b.run(chromedp.Navigate(c.origin + page))
	b.fitsScreens("used by who withdrew")
	b.calm()
	b.run(chromedp.Navigate(c.origin + "/c/nobody-knows-this"))
	b.refused("404")
	b.fitsScreens("unknown")
	b.accessible("unknown")
}
