package e2e_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/inbox"
)

// A mailbox that refuses every e-mail keeps nobody from their key: the customer opens it on the order page, the line is
// delivered by that, and its workflow ends. An order that came in paid, and one of a checkout link.
func TestAKeyInHandReachesItsBuyerWithoutEmail(t *testing.T) {
	s := start(t, options{})
	refuse := func(_, to string) error {
		if to == buyer {
			return inbox.Reject(550)
		}
		return nil
	}
	s.inbox.Fail(refuse)
	s.product(keyturn.Product{
		ID: "game", Name: "The game", Sources: sources(fromPool("game-keys")), Retry: every(time.Hour, 72*time.Hour),
	}, "GAME-1", "GAME-2")
	paid := s.order("game")
	s.await(paid, keyturn.OrderPartialCompleted)
	link := s.link("", "game")
	s.buy(link)
	s.awaitLink(link, keyturn.OrderPartialCompleted)

	for i, id := range []string{paid.Order.ID, link} {
		page := "/o/" + s.db.PageToken(id)
		f := s.texts(`SELECT fulfillment_id FROM line_items WHERE order_id = $1`, id)[0]
		_, body := s.visit("GET", page, nil)
		require.NotContains(t, body, "GAME-")
		resp, body := s.visit("POST", page+"/lines/"+f+"/keys", url.Values{})
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, body, "GAME-"+string(rune('1'+i)))
		require.Equal(t, "PENDING OBTAINED RETRYING DELIVERED", s.path(f))
	}
	s.await(paid, keyturn.OrderCompleted)
	s.awaitLink(link, keyturn.OrderCompleted)
	s.inbox.Fail(nil)
	require.Contains(t, s.awaitLetters(1)[0].Subject, "confirmation", "the e-mail with the key is not sent any more")
	s.atRest(paid, s.orderOf(link))
	require.Len(t, s.letters(buyer), 1)
}
