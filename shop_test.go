package keyturn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

func TestShopSettings(t *testing.T) {
	t.Parallel()
	require.NoError(t, keyturn.Shop{}.Check(mail.CheckAddress))
	require.NoError(t, keyturn.Shop{}.WithDefaults().Check(mail.CheckAddress))
	for at, change := range map[string]func(*keyturn.Shop){
		"name":                    func(s *keyturn.Shop) { s.Name = "a\nb" },
		"legal.terms":             func(s *keyturn.Shop) { s.Legal.Terms = "http://shop.example/terms" },
		"legal.privacy":           func(s *keyturn.Shop) { s.Legal.Privacy = "javascript:alert(1)" },
		"legal.imprint":           func(s *keyturn.Shop) { s.Legal.Imprint = "https://user@shop.example" },
		"legal.seller":            func(s *keyturn.Shop) { s.Legal.Seller = strings.Repeat("x", 501) },
		"legal.contact":           func(s *keyturn.Shop) { s.Legal.Contact = "call us" },
		"checkout.fields.phone":   func(s *keyturn.Shop) { s.Checkout.Fields.Phone = "mandatory" },
		"checkout.onDispute":      func(s *keyturn.Shop) { s.Checkout.OnDispute = "refund" },
		"checkout.onFraudWarning": func(s *keyturn.Shop) { s.Checkout.OnFraudWarning = "revoke" },
		"checkout.withdrawal":     func(s *keyturn.Shop) { s.Checkout.Withdrawal = "never" },
		"checkout.consent.es":     func(s *keyturn.Shop) { s.Checkout.Consent = map[string]string{"es": "Sí"} },
		"checkout.consent.en":     func(s *keyturn.Shop) { s.Checkout.Consent = map[string]string{"en": ""} },
		"checkout.consent": func(s *keyturn.Shop) {
			s.Checkout = keyturn.CheckoutSettings{Withdrawal: "offered", Consent: map[string]string{"en": "x"}}
		},
		"checkout.fields.zipCode":           func(s *keyturn.Shop) { s.Checkout.Fields.ZipCode = "Hidden" },
		"checkout.fields.firstName":         func(s *keyturn.Shop) { s.Checkout.Fields.FirstName = "no" },
		"checkout.fields.companyIdentifier": func(s *keyturn.Shop) { s.Checkout.Fields.CompanyIdentifier = "x" },
	} {
		var s keyturn.Shop
		change(&s)
		err := s.Check(mail.CheckAddress)
		require.ErrorContains(t, err, ": "+at+" ", at)
	}
}
