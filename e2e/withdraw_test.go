package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// press posts a form of a page as its reader does who presses the button with these words, and gives what follows.
func (s *stack) press(page, words string, form url.Values) (*http.Response, string) {
	s.t.Helper()
	_, body := s.visit("GET", page, nil)
	m := regexp.MustCompile(`(?s)<form method="post" action="([^"]+)">(?:\s*<input[^>]*>)*\s*<button[^>]*>` + regexp.QuoteMeta(words)).
		FindStringSubmatch(body)
	require.NotNil(s.t, m, "no button %q in %s", words, body)
	return s.visit("POST", m[1], form)
}

var decisionInput = regexp.MustCompile(`name="decision" value="([^"]+)"`)

// Within the time that the shop offers, a customer withdraws on the order's page in two steps, without script; it is
// confirmed by e-mail with date and time, the key is taken back, and the money returns.
func TestACustomerWithdrawsOnTheOrdersPage(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1")
	_, _, err := s.db.PutShop(t.Context(), keyturn.Shop{
		Checkout: keyturn.CheckoutSettings{Withdrawal: keyturn.WithdrawalOffered},
	})
	require.NoError(t, err)
	link := s.linkOf(keyturn.CheckoutLink{Locale: "de"}, "", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
	confirmation := s.mailAbout(link, "Bestätigung")
	s.keep("confirmation-offered", "de", confirmation)
	require.Contains(t, confirmation.Text, "Sie können den Vertrag bis einschließlich ")
	require.NotContains(t, confirmation.Text, "zugestimmt", "nobody was asked to agree to anything")
	s.mailAbout("", "Ihr Schlüssel")

	page := "/o/" + s.db.PageToken(link)
	_, body := s.visit("GET", page, nil)
	require.Contains(t, body, "ohne einen Grund zu nennen")
	resp, body := s.press(page, "Hier den Vertrag widerrufen", url.Values{})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, body, "Widerruf bestätigen")
	require.Zero(t, s.count(`SELECT count(*) FROM payment_mails WHERE kind = 'withdrawal'`), "nothing has happened yet")
	decision := url.Values{"decision": {decisionInput.FindStringSubmatch(body)[1]}}
	for range 2 {
		resp, _ = s.visit("POST", page+"/withdrawal", decision)
		require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	}
	_, body = s.visit("GET", page, nil)
	require.Contains(t, body, "Sie haben den Vertrag ")
	require.NotContains(t, body, "Hier den Vertrag widerrufen")

	received := s.mailAbout(link, "Ihr Widerruf ist eingegangen")
	s.keep("withdrawal", "de", received)
	require.Regexp(t, `ist am \d+\. \pL+ \d{4}, \d\d:\d\d UTC bei uns eingegangen`, received.Text)
	require.Contains(t, received.Text, "gelten nicht mehr")
	s.awaitLink(link, keyturn.OrderCanceled)
	back := s.mailAbout(link, "Sie erhalten nach Ihrem Widerruf Ihr Geld zurück")
	s.keep("withdrawn-refunded", "de", back)
	require.Contains(t, back.Text, "Sie haben den Vertrag über The game aus Ihrer Bestellung "+link+" widerrufen.")
	require.Contains(t, back.Text, "erstatten 10,00 EUR")
	require.NotContains(t, back.Text, "tut uns leid")
	require.Equal(t, 1000, s.count(`SELECT sum(amount_minor) FROM sandbox_refunds WHERE order_id = $1`, link))
	s.awaitLetters(4)
	s.audit()
}

// Who was not charged because the authorization was lost can order the same again, once, from the e-mail.
func TestACustomerOrdersAgain(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1", "G-2")
	link := s.linkOf(keyturn.CheckoutLink{Locale: "en"}, "capture-refused", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCanceled)
	ended := s.mailAbout(link, "we could not deliver, and you were not charged")
	s.keep("ended-again", "en", ended)
	require.Contains(t, ended.Text, "The payment could not be completed in time.")
	require.Contains(t, ended.Text, "you can order the same at the same price until ")
	page := regexp.MustCompile(`http://\S+/o/\S+`).FindString(ended.Text)
	require.NotEmpty(t, page)
	var made []string
	for range 3 {
		resp, body := s.press(page, "Order again", url.Values{})
		require.Equal(t, http.StatusSeeOther, resp.StatusCode, body)
		made = append(made, resp.Header.Get("Location"))
	}
	require.Equal(t, made[0], made[1])
	require.Equal(t, made[0], made[2])
	require.Equal(t, 1, s.count(`SELECT count(*) FROM checkout_links WHERE reference = $1`, "again-"+link))
	resp, body := s.visit("GET", made[0], nil)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, body, "The game")
	require.NotContains(t, body, buyer, "what is on file is not shown")
	s.audit()
}

// A provider that takes the money after it had refused to: it goes back, and the customer, who was told that nothing
// was charged, is told the truth.
func TestALateCaptureIsCorrected(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1")
	link := s.linkOf(keyturn.CheckoutLink{Locale: "en"}, "capture-refused", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCanceled)
	s.mailAbout(link, "we could not deliver, and you were not charged")
	payment := s.texts(`SELECT id FROM payments WHERE order_id = $1`, link)[0]
	s.exec(`UPDATE sandbox_sessions SET status = 'captured', captured_minor = total_minor WHERE payment_id = $1`, payment)
	s.exec(`INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency)
		SELECT reference, order_id, captured_minor, currency FROM sandbox_sessions WHERE payment_id = $1`, payment)
	require.NoError(t, s.db.LookAtPayment(t.Context(), payment))
	s.starter.Wake()
	corrected := s.mailAbout("", "More was charged than we told you")
	s.keep("corrected", "en", corrected)
	require.Contains(t, corrected.Text, "We are sending 10.00 EUR back to the means of payment you used.")
	s.eventually(func() (bool, string) {
		back := s.texts(`SELECT status FROM payment_refunds WHERE payment_id = $1`, payment)
		return len(back) == 1 && back[0] == "DONE", fmt.Sprint(back)
	})
	s.audit()
}

// The page of a used link sends the order page's address to the order's e-mail address, and shows neither.
func TestAUsedLinkSendsTheOrdersPage(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1")
	link := s.linkOf(keyturn.CheckoutLink{Locale: "fr"}, "", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitLetters(2)
	checkout := "/c/" + s.db.LinkToken(link)
	for i := range 4 {
		resp, body := s.press(checkout, "Renvoyez-moi la page de ma commande", url.Values{})
		want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 3]
		require.Equal(t, want, resp.StatusCode)
		require.NotContains(t, body, "buyer.test")
		require.NotContains(t, body, s.db.PageToken(link))
	}
	letters := s.awaitLetters(5)
	s.keep("order-page", "fr", letters[4])
	require.Equal(t, "La page de votre commande "+link, letters[4].Subject)
	require.Contains(t, letters[4].Text, "/o/"+s.db.PageToken(link))
	require.NotContains(t, letters[4].Text, "G-1")
	s.audit()
}
