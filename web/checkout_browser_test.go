package web_test

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The checkout page in a real browser, under the policy that it is served with: a customer per test.
func TestCheckoutInABrowser(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"en", "de", "fr"} {
		t.Run("purchase in "+locale, func(t *testing.T) { buyInABrowser(t, locale, true) })
	}
	t.Run("purchase without script", func(t *testing.T) { buyInABrowser(t, "en", false) })
	for name, test := range map[string]func(*testing.T){
		"purchase by keyboard":        buyByKeyboard,
		"small screens and dark ones": showEveryState,
		"an offer on the visit":       takeTheVisitsOffer,
		"an offer on leaving":         declineTheOfferOnLeaving,
		"what was typed":              keepWhatWasTyped,
		"back":                        goBackAtEachStep,
	} {
		t.Run(name, func(t *testing.T) { test(t) })
	}
}

// customer is somebody who opens a link's page in a browser.
func (c *checkoutShop) customer() *browser {
	c.t.Helper()
	b := surf(c.t)
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

func buyInABrowser(t *testing.T, locale string, script bool) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = locale })
	b := c.customer()
	_, err := chromedp.Call(b, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: !script})
	require.NoError(t, err)
	_, err = chromedp.Call(b, emulation.SetTimezoneOverride,
		emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
	require.NoError(t, err)
	b.run(chromedp.Navigate(c.origin + page))
	text, _, _ := b.reads()
	require.Equal(t, script, b.evaluate(`document.getElementById("zone").hidden`), "what names UTC is for UTC alone")
	require.Equal(t, script, b.evaluate(`/(GMT|UTC)[-−][45]|E[SD]T/.test(document.querySelector(".promise").textContent)`))
	require.Equal(t, !script, b.evaluate(`/\d\sUTC(?![-−+])/.test(document.querySelector(".promise").textContent)`))
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
func buyByKeyboard(t *testing.T) {
	t.Helper()
	c := openCheckoutShop(t)
	_, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b := c.customer()
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

// goBackAtEachStep: wherever the customer presses back, the page says where things stand, and nothing is bought twice.
func goBackAtEachStep(t *testing.T) {
	t.Helper()
	c := openCheckoutShop(t)
	id, page := c.link(func(l *keyturn.CheckoutLink) { l.Locale = "en" })
	b := c.customer()
	b.run(chromedp.Navigate(c.origin + page))
	b.click(".pay") // the answer is the page again, and whoever comes back to it is not asked to send the form once more
	b.refused("422")
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
