package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The confirmation says in the customer's language what was bought, what was promised, and what the customer agreed to,
// in the words of the page; its link leads to the order's page.
func TestAnOrderIsConfirmedInThreeLanguages(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "G-1", "G-2", "G-3", "G-4",
		"G-5", "G-6", "G-7", "G-8", "G-9")
	_, _, err := s.db.PutShop(t.Context(), keyturn.Shop{Legal: keyturn.Legal{
		Seller: "The Shop Ltd, 1 High Street, London", Contact: "help@shop.test", Terms: "https://shop.test/terms",
	}})
	require.NoError(t, err)
	for locale, says := range map[string][]string{
		"en-GB": {
			"confirmation", "Hello Jean,",
			"You are charged only when your keys are ready: by ", "Total, all taxes included: 30.00 EUR",
			"Seller: The Shop Ltd, 1 High Street, London",
			"You agreed to this on ", "> I want my order to be carried out at once",
			"Your right of withdrawal", "Until then you can withdraw",
		},
		"de-DE": {
			"Bestätigung", "Guten Tag Jean,", "Abgebucht wird erst, wenn Ihre Schlüssel da sind: bis ",
			"Summe, alle Steuern enthalten: 30,00 EUR", "Verkäufer: The Shop Ltd", "Dem haben Sie am ",
			"> Ich möchte, dass meine Bestellung sofort ausgeführt wird", "Ihr Widerrufsrecht", "Bis dahin können Sie",
		},
		"fr-FR": {
			"confirmation", "Bonjour Jean,", "Vous n’êtes débité que lorsque vos clés sont prêtes : au plus tard le ",
			"Total, toutes taxes comprises : 30,00 EUR", "Vendeur : The Shop Ltd", "Vous avez accepté ceci le ",
			"> Je demande l’exécution immédiate de ma commande", "Votre droit de rétractation", "Jusque-là, vous pouvez",
		},
	} {
		link := s.linkOf(keyturn.CheckoutLink{Locale: locale, LineItems: []keyturn.LinkLine{{
			ProductID: "game", Name: "Orbit Editor, 5 Geräte", UnitPrice: "10.00",
			Quantity: keyturn.LinkQuantity{Value: 2, Min: 2, Max: 2},
		}}}, "", "game")
		s.buy(link)
		s.awaitLink(link, keyturn.OrderCompleted)
		confirmation := s.mailAbout(link, says[0])
		s.keep("confirmation", locale, confirmation)
		for _, sentence := range says[1:] {
			require.Contains(t, confirmation.Text, sentence)
		}
		colon, point := ": ", "."
		switch locale {
		case "fr-FR":
			colon, point = " : ", ","
		case "de-DE":
			point = ","
		}
		require.Contains(t, confirmation.Text, "Orbit Editor, 5 Geräte"+colon+
			strings.ReplaceAll("2 × 10.00 EUR = 20.00 EUR", ".", point))
		require.Contains(t, confirmation.Text, "The game"+colon+"10"+point+"00 EUR")
		require.NotContains(t, confirmation.Text, "G-", "it brings no key")
		page := regexp.MustCompile(`http://\S+/o/\S+`).FindString(confirmation.Text)
		resp, body := s.visit("GET", strings.TrimSpace(page), nil)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, body, link)
	}
	s.audit()
}

// mailAbout is the buyer's e-mail whose subject names the order and has these words.
func (s *stack) mailAbout(order, words string) (found letter) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		all := ""
		for _, l := range s.letters(buyer) {
			if strings.Contains(l.Subject, order) && strings.Contains(l.Subject, words) {
				found = l
				return true, ""
			}
			all += l.Subject + " | "
		}
		return false, all
	})
	return found
}

// keep writes an e-mail into a folder for a person to read.
func (s *stack) keep(name, locale string, l letter) {
	s.t.Helper()
	if folder := os.Getenv("KEYTURN_KEEP_MAILS"); folder != "" {
		require.NoError(s.t, os.WriteFile(filepath.Join(folder, name+"-"+locale+".eml"), []byte(l.Raw), 0o600))
	}
}
