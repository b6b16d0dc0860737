package e2e_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var libraryLink = regexp.MustCompile(`http://\S+/library/\S+`)

// A customer finds all orders of their address again by the link that an e-mail brings, in the shop's face and the
// language of the latest order. An address without orders gets nothing. The audit finds each e-mail booked.
func TestACustomerFindsEverythingAgain(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Name: "The game", Sources: sources(fromPool("keys"))}, "GAME-1", "GAME-2")
	_, _, err := s.db.PutShop(t.Context(), keyturn.Shop{Name: "Kiosk"})
	require.NoError(t, err)
	paid := s.order("game")
	s.await(paid, keyturn.OrderCompleted)
	link := s.linkOf(keyturn.CheckoutLink{Locale: "de"}, "", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitLetters(3)

	for _, address := range []string{buyer, "nobody@buyer.test"} {
		resp, _ := s.visit("POST", "/library", url.Values{"email": {address}})
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	letter := s.awaitLetters(4)[3]
	require.Equal(t, "Ihre Einkäufe bei Kiosk", letter.Subject)
	require.Contains(t, letter.Text, "Er gilt einmal, bis ")
	require.NotContains(t, letter.Text, "GAME-")
	page := libraryLink.FindString(letter.Text)
	resp, body := s.visit("GET", page, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	resp, body = s.visit("POST", page, url.Values{})
	require.Equal(t, http.StatusSeeOther, resp.StatusCode, body)
	require.NotEmpty(t, resp.Cookies())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.pages.URL+resp.Header.Get("Location"),
		http.NoBody)
	require.NoError(t, err)
	req.AddCookie(resp.Cookies()[0])
	list, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer list.Body.Close()
	require.Equal(t, http.StatusOK, list.StatusCode)
	shown := textOf(s, "text/html", "", list.Body)
	require.Contains(t, shown, "/o/"+s.db.PageToken(paid.Order.ID))
	require.Contains(t, shown, "/o/"+s.db.PageToken(link))
	require.NotContains(t, shown, "GAME-", "keys are shown by the order's page")
	require.Empty(t, s.letters("nobody@buyer.test"))
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM library_links WHERE due_at IS NOT NULL`) == 0, "a link is due"
	})
	s.atRest(paid, s.orderOf(link))
}
