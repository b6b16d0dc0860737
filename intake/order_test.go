package intake_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/intake"
	"keyturn.dev/keyturn/mail"
)

func order() keyturn.Order {
	return keyturn.Order{
		ID: "shop-1001", Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_123"},
		Customer: keyturn.Customer{
			ID: "c-1", Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR", FirstName: "Ada", LastName: "Lovelace",
		},
		LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "29.99"}},
	}
}

// What shops really send, and what is stored of it.
func TestOrdersOfRealShops(t *testing.T) {
	t.Parallel()
	type field struct {
		name  string
		of    func(o *keyturn.Order) *string
		given map[string]string // given → stored
	}
	for _, f := range []field{
		{"customer.email", func(o *keyturn.Order) *string { return &o.Customer.Email }, map[string]string{
			"  ada@buyer.test\n": "ada@buyer.test", "\u202aada@buyer.test\u202c": "ada@buyer.test",
			"\uFEFFada@buyer.test\u200B": "ada@buyer.test", "Ada@Buyer.Test": "Ada@Buyer.Test",
			"joerg@müllershop.example": "joerg@müllershop.example", ".a..b.@docomo.ne.jp": ".a..b.@docomo.ne.jp",
		}},
		{"customer.country", func(o *keyturn.Order) *string { return &o.Customer.Country }, map[string]string{
			"fr": "FR", " fr ": "FR", "FRA": "FR", "deu": "DE", "UK": "GB", "EL": "GR", "XK": "XK", "": "",
		}},
		{"customer.locale", func(o *keyturn.Order) *string { return &o.Customer.Locale }, map[string]string{
			"en-US-u-mu-celsius": "en-US", "de_DE.UTF-8": "de-DE", "en_GB@euro": "en-GB", "fr-FR": "fr-FR", "en_US": "en_US",
			"zh-Hant-TW": "zh-Hant-TW", "de-DE-1996-u-co-phonebk": "de-DE", "en-US-x-private": "en-US", "": "", " fr ": "fr",
			"sr-Latn-RS-u-nu-latn": "sr-Latn-RS", "en-US-posix": "en-US-posix", "C.UTF-8": "C.UTF-8 is refused",
		}},
		{"customer.firstName", func(o *keyturn.Order) *string { return &o.Customer.FirstName }, map[string]string{
			"  Ada \t Maria ": "Ada Maria", "\u200fעדה\u200f": "עדה", "👩\u200d💻": "👩\u200d💻", "Ad\uFFFDle": "Ad?le",
			"Smith \u0096 Co": "Smith Co", "A\u202eda": "Ada", "Je\u001ban": "Jean", "Anne\r\nMarie": "Anne Marie",
			"نمی\u200cخواهم": "نمی\u200cخواهم", "": "", " ": "",
		}},
		{"customer.companyName", func(o *keyturn.Order) *string { return &o.Customer.CompanyName }, map[string]string{
			"Boulangerie Dupain SIRET 732 829 320 00074": "Boulangerie Dupain SIRET 732 829 320 00074",
			strings.Repeat("Gesellschaft ", 30):          strings.TrimSpace(strings.Repeat("Gesellschaft ", 30)),
			"Müller & Söhne\u00a0GmbH":                   "Müller & Söhne GmbH",
		}},
		{"customer.street", func(o *keyturn.Order) *string { return &o.Customer.Street }, map[string]string{
			"12 Rue des Lilas\nBâtiment B": "12 Rue des Lilas, Bâtiment B", "a\r\nb\r\n\r\nc\r\n": "a, b, c",
			"a,\nb": "a, b", "a\u2028b": "a, b", "\na": "a", "12\true": "12 rue",
		}},
		{"customer.zipCode", func(o *keyturn.Order) *string { return &o.Customer.ZipCode }, map[string]string{
			"SW1A\u00a01AA": "SW1A 1AA", " 75001 ": "75001", "〒100-0001": "〒100-0001",
		}},
		{"customer.phone", func(o *keyturn.Order) *string { return &o.Customer.Phone }, map[string]string{
			"\u202a+49 30 1234567\u202c": "+49 30 1234567", "+33\u202f1\u202f23\u202f45": "+33 1 23 45",
		}},
		{"currency", func(o *keyturn.Order) *string { return &o.Currency }, map[string]string{"eur": "EUR", " Eur ": "EUR"}},
		{"payment.provider", func(o *keyturn.Order) *string { return &o.Payment.Provider }, map[string]string{
			" sandbox ": "sandbox",
		}},
		{"cartExternalContext", func(o *keyturn.Order) *string { return &o.CartExternalContext }, map[string]string{
			"eyJh\r\nIjox\r\nfQ==\r\n": "eyJhIjoxfQ==", "{\n\t\"a\": 1\n}": `{"a": 1}`,
		}},
		{"lineItems[0].grossPrice", func(o *keyturn.Order) *string { return &o.LineItems[0].GrossPrice }, map[string]string{
			"29.9900": "29.99", "29.9": "29.90", "30": "30.00", " 29.99": "29.99", "0": "0.00",
		}},
		{
			"lineItems[0].operation", func(o *keyturn.Order) *string { return (*string)(&o.LineItems[0].Operation) },
			map[string]string{"CREATE": "create", " create ": "create", "": ""},
		},
		{
			"lineItems[0].trialContext", func(o *keyturn.Order) *string { return &o.LineItems[0].TrialContext },
			map[string]string{"creation": "CREATION", "": ""},
		},
		{"lineItems[0].id", func(o *keyturn.Order) *string { return &o.LineItems[0].ID }, map[string]string{"": "", " ": ""}},
	} {
		for given, want := range f.given {
			o := order()
			*f.of(&o) = given
			o = intake.Order(o)
			if refused := strings.HasSuffix(want, " is refused"); refused {
				require.ErrorContains(t, o.Check(mail.CheckAddress), f.name)
				continue
			}
			require.Equal(t, want, *f.of(&o), "%s %q", f.name, given)
			require.NoError(t, o.Check(mail.CheckAddress), "%s %q", f.name, given)
		}
	}
}

// What cannot be delivered, refunded or kept safely is refused in whatever form it comes, with the field's name.
func TestOrdersThatNoFormHelps(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o *keyturn.Order){
		"customer.country": func(o *keyturn.Order) { o.Customer.Country = "FRANCE" },
		"customer.locale":  func(o *keyturn.Order) { o.Customer.Locale = "french!" },
		"customer.email":   func(o *keyturn.Order) { o.Customer.Email = "Ada <ada@buyer.test>" },
		"customer.lastName": func(o *keyturn.Order) {
			o.Customer.LastName = "4111\u00a01111\u00a01111\u00a01111" // no form hides a card
		},
		"customer.companyName":    func(o *keyturn.Order) { o.Customer.CompanyName = strings.Repeat("x", 501) },
		"lineItems[0].grossPrice": func(o *keyturn.Order) { o.LineItems[0].GrossPrice = "29.991" },
		"currency":                func(o *keyturn.Order) { o.Currency = "Euro" },
		"id":                      func(o *keyturn.Order) { o.ID = " 1001" },
		"payment.reference":       func(o *keyturn.Order) { o.Payment.Reference = "pay\n1" },
	} {
		o := order()
		change(&o)
		err := intake.Order(o).Check(mail.CheckAddress)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), name)
		require.ErrorContains(t, err, name)
	}
}

// An order that needs no help stays as it is, and whoever sent it keeps their own.
func TestOrderIsNotChangedInPlace(t *testing.T) {
	t.Parallel()
	o := order()
	require.Equal(t, o, intake.Order(o))
	o.LineItems[0].GrossPrice = "29.9900"
	o.Customer.FirstName = " Ada "
	_ = intake.Order(o)
	require.Equal(t, "29.9900", o.LineItems[0].GrossPrice)
	require.Equal(t, intake.Order(o), intake.Order(intake.Order(o)))
}
