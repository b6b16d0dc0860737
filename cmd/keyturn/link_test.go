package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

func TestLinksAndPaymentsFromTheCommandLine(t *testing.T) {
	s := newPoolShop(t)
	file := s.file("link.json", `{"reference": "CRM-1", "currency": "EUR",
		"customer": {"email": "jean@buyer.test", "country": "FR"},
		"lineItems": [{"productId": "game", "name": "The Game", "unitPrice": "10", "quantity": {"value": 1, "max": 3}}]}`)
	made := into[keyturn.LinkView](s, "link", "create", "-f", file)
	require.Contains(t, made.URL, "https://shop.test/c/")
	again := s.run("link", "create", "-f", file)
	require.Contains(t, again, "was made before")
	require.Contains(t, again, made.URL)
	require.Contains(t, again, "1 (1 to 3) × 10.00 EUR  The Game")
	require.Regexp(t, `^LINK +SINCE +STATUS +TOTAL +REFERENCE\n`+made.ID, s.run("link", "list", "--reference", "CRM-1"))
	for _, what := range []string{"link", "payment"} {
		_, err := execute(t, what, "list", "--limit", "0")
		require.ErrorContains(t, err, "between 1 and 200")
	}
	require.Contains(t, s.run("--output", "json", "link", "create", "-f", s.file("and.json", `{"currency": "EUR",
		"lineItems": [{"productId": "game", "name": "A & B", "unitPrice": "1"}]}`)), `"A & B"`)
	require.NotContains(t, s.run("link", "list", "--status", "USED"), made.ID)
	require.NotContains(t, s.run("link", "show", made.ID), "jean@buyer.test")
	require.Equal(t, "jean@buyer.test", into[keyturn.LinkView](s, "link", "show", made.ID, "--customer").Customer.Email)

	page, err := s.d.CheckoutPage(t.Context(), s.d.LinkToken(made.ID))
	require.NoError(t, err)
	begun, err := s.d.BeginPayment(t.Context(), db.PaymentStart{
		Token: s.d.LinkToken(made.ID), Version: page.Version, Customer: page.Customer, PayWithin: 30 * time.Minute,
		CheckAddress: func(string) error { return nil },
		Respond:      func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(t, err)
	for _, out := range []string{
		s.run("payment", "show", begun.ID), s.run("payment", "list", "--status", "CREATED"),
		s.run("payment", "refresh", begun.ID), s.run("link", "show", made.ID),
	} {
		require.Contains(t, out, begun.ID)
		require.Contains(t, out, "CREATED")
	}
	require.Contains(t, s.run("payment", "show", begun.ID), made.ID, "the link, of which there is no order yet")
	_, err = execute(t, "link", "cancel", made.ID, "--reason", "over")
	require.ErrorContains(t, err, "paying")
	_, err = s.d.Reconcile(t.Context(), begun.ID, keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, SessionReference: "s-1", PaymentReference: "pi-1",
		Authorized: keyturn.Money{Minor: 1000, Currency: "EUR"},
	}, "test", func(db.Accepted) ([]byte, error) { return []byte("{}"), nil })
	require.NoError(t, err)
	sold := s.run("order", "show", made.OrderID)
	require.Regexp(t, `payment +sandbox pi-1  AUTHORIZED  authorized 10.00, captured 0.00, refunded 0.00  capture by `, sold)
	require.Regexp(t, `link +`+made.ID+` CRM-1\n`, sold)
	_, err = execute(t, "link", "list", "--api", "http://127.0.0.1:1")
	require.ErrorContains(t, err, "which --api or KEYTURN_API gives")

	other := s.file("other.json", `{"currency": "EUR", "lineItems": [
		{"productId": "game", "name": "The Game", "unitPrice": "10"}]}`)
	first := into[keyturn.LinkView](s, "link", "create", "-f", other)
	second := into[keyturn.LinkView](s, "link", "create", "-f", other)
	require.NotEqual(t, first.ID, second.ID, "nothing says that it is the same")
	require.Equal(t, keyturn.MaxLinkPayments, into[keyturn.LinkView](s, "link", "reopen", second.ID, "--reason",
		"the customer asks").PaymentsLeft)
	require.Contains(t, s.run("link", "cancel", first.ID, "--reason", "over"), "CANCELED")
	_, err = execute(t, "link", "create", "-f", s.file("bad.json", `{"currency": "EUR", "price": 1}`))
	require.ErrorContains(t, err, "is not a checkout link")
}
