package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
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

// Keys that are more than an e-mail carries reach their buyer all the same: an e-mail without them leads to the order
// page, its acceptance delivers the line, and the audit knows it. Where no page shows them, such an order is refused.
func TestWhatNoEmailCarriesIsOnThePage(t *testing.T) {
	const units = 400
	s := start(t, options{})
	var keys []string
	for i := range units {
		keys = append(keys, fmt.Sprintf("KEY-%03d-", i)+strings.Repeat("鍵", keyturn.MaxKeyLength-8))
	}
	s.product(keyturn.Product{ID: "game", Name: "The game", Sources: sources(fromPool("long-keys"))}, keys...)
	a := s.accept([]keyturn.LineItem{{ProductID: "game", Quantity: units, GrossPrice: "400.00"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	f := fulfillment(a)
	require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(f))
	letter := s.awaitLetters(1)[0]
	page := "/o/" + s.db.PageToken(a.Order.ID)
	require.Contains(t, letter.Text, page)
	require.NotContains(t, letter.Raw, "KEY-000")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM deliveries WHERE by_page AND status = 'SENT'`))
	resp, body := s.visit("POST", page+"/lines/"+f+"/keys", url.Values{})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, body, keys[0])
	require.Contains(t, body, keys[units-1])
	s.atRest(a)

	s.product(keyturn.Product{ID: "hidden", PageKeys: keyturn.PageKeysNever, Sources: sources(fromPool("long-keys"))})
	order := keyturn.Order{
		ID: "too-many", Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_2"},
		Customer:  keyturn.Customer{ID: "jean", Email: buyer, Country: "FR"},
		LineItems: []keyturn.LineItem{{ProductID: "hidden", Quantity: keyturn.MaxUnitsByMail + 1, GrossPrice: "1.00"}},
	}
	_, _, err := s.db.Accept(t.Context(), db.AcceptInput{
		Order: order, Client: "test", IdempotencyKey: "k", RequestHash: []byte("k"),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
	require.ErrorContains(t, err, "must be at most 1000")
}
