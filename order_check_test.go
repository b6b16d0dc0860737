package keyturn_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

func goodOrder() keyturn.Order {
	return keyturn.Order{
		ID: "shop-1001", Currency: "EUR",
		Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_123"},
		Customer: keyturn.Customer{
			ID: "c-1", Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR",
			FirstName: "Ada", LastName: "Lovelace",
		},
		CartExternalContext: "eyJhIjoxfQ==",
		LineItems:           []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "29.99"}},
	}
}

// orderScenarios change one thing of a good order. field is what the refusal names; "" means that it is accepted.
type orderScenario struct {
	name   string
	change func(o *keyturn.Order)
	field  string
}

func runOrderScenarios(t *testing.T, scenarios []orderScenario) {
	t.Helper()
	for _, s := range scenarios {
		o := goodOrder()
		s.change(&o)
		wantFields(t, o.Check(mail.CheckAddress), s.name, s.field)
	}
}

func TestGoodOrder(t *testing.T) {
	t.Parallel()
	require.NoError(t, goodOrder().Check(mail.CheckAddress))
}

func TestOrderNumbers(t *testing.T) {
	t.Parallel()
	var all []orderScenario
	add := func(name, field string, change func(*keyturn.Order)) {
		all = append(all, orderScenario{name, change, field})
	}
	for _, q := range []int{0, -1, -1 << 63, 10_001, 1_000_000_000} {
		add(fmt.Sprint("quantity ", q), "lineItems[0].quantity", func(o *keyturn.Order) { o.LineItems[0].Quantity = q })
	}
	for _, q := range []int{1, 10_000} {
		add(fmt.Sprint("quantity ", q), "", func(o *keyturn.Order) { o.LineItems[0].Quantity = q })
	}
	for _, p := range []string{
		"", "-1", "-0", "1e400", "NaN", "0.30000000000000004", "29,99", "9007199254740993",
		"29.99 EUR", "1\x00",
	} {
		add("price "+p, "lineItems[0].grossPrice", func(o *keyturn.Order) { o.LineItems[0].GrossPrice = p })
	}
	for _, p := range []string{"0", "0.00", "10000000000"} {
		add("price "+p, "", func(o *keyturn.Order) { o.LineItems[0].GrossPrice = p })
	}
	for _, c := range []string{"", "eur", "EURO", "XXX", "US", "ÉUR", "EU\x00"} {
		add("currency "+c, "currency", func(o *keyturn.Order) { o.Currency = c }) // prices are not judged without one
	}
	add("yen with decimals", "lineItems[0].grossPrice", func(o *keyturn.Order) { o.Currency = "JPY" })
	add("yen", "", func(o *keyturn.Order) { o.Currency, o.LineItems[0].GrossPrice = "JPY", "2999" })
	add("no lines", "lineItems", func(o *keyturn.Order) { o.LineItems = nil })
	add("too many lines", "lineItems", func(o *keyturn.Order) {
		o.LineItems = slices.Repeat(o.LineItems,
			keyturn.MaxLines+1)
	})
	add("as many lines as can be", "", func(o *keyturn.Order) {
		o.LineItems = slices.Repeat(o.LineItems,
			keyturn.MaxLines)
	})
	runOrderScenarios(t, all)
}

func TestOrderIDs(t *testing.T) {
	t.Parallel()
	var all []orderScenario
	for _, id := range []string{" 1", "1 ", "a  b", "##1", "#", "# 1", "a,b", `a"b`, "a\tb"} {
		all = append(all, orderScenario{"order " + id, func(o *keyturn.Order) { o.ID = id }, "id"})
	}
	for _, id := range []string{
		"", " ", "-1", "../x", "a\n", "a\x00", "ü", "a?b", "a%2f",
		strings.Repeat("x", 101),
	} {
		all = append(all, orderScenario{"order " + id, func(o *keyturn.Order) { o.ID = id }, "id"})
		all = append(all, orderScenario{
			"product " + id, func(o *keyturn.Order) { o.LineItems[0].ProductID = id },
			"lineItems[0].productId",
		})
		all = append(all, orderScenario{
			"provider " + id, func(o *keyturn.Order) { o.Payment.Provider = id },
			"payment.provider",
		})
	}
	for _, id := range []string{
		"1", "A-1_2.3:4/5", "#1001", "1001/2", "#1001-F1", "RE 2026-0001", "1001+1", strings.Repeat("x", 100),
	} {
		all = append(all, orderScenario{"order " + id, func(o *keyturn.Order) { o.ID = id }, ""})
	}
	const line = "3b241101-e2bb-4255-8caf-4136c566a962"
	for _, id := range []string{"1", "../", "urn:uuid:" + line, "{" + line + "}", strings.ReplaceAll(line, "-", ""), line +
		" ", "zb241101-e2bb-4255-8caf-4136c566a962"} {
		all = append(all, orderScenario{"line " + id, func(o *keyturn.Order) { o.LineItems[0].ID = id }, "lineItems[0].id"})
	}
	two := func(a, b string) func(*keyturn.Order) {
		return func(o *keyturn.Order) {
			o.LineItems = slices.Repeat(o.LineItems, 2)
			o.LineItems[0].ID, o.LineItems[1].ID = a, b
		}
	}
	all = append(all,
		orderScenario{"line", func(o *keyturn.Order) { o.LineItems[0].ID = line }, ""},
		orderScenario{"two lines without an ID", two("", ""), ""},
		orderScenario{"one ID for two lines", two(line, line), "lineItems[1].id"},
		orderScenario{"one ID for two lines, in another case", two(line, strings.ToUpper(line)), "lineItems[1].id"},
	)
	runOrderScenarios(t, all)
}

// badTexts are what PostgreSQL cannot store, what breaks a mail header or a log line, and what hides or reverses text.
var badTexts = map[string]string{
	"NUL": "a\x00b", "invalid UTF-8": "a\xffb", "a surrogate": "a\xed\xa0\x80b", "replacement character": "a\uFFFDb",
	"line feed":       "a\nb",
	"carriage return": "a\rBcc: x@y.test", "escape": "\x1b[31mred", "delete": "a\x7fb", "next line": "a\u0085b",
	"line separator":         "a\u2028b",
	"right-to-left override": "gpj.\u202Eexe", "isolate": "a\u2066b", "too long": strings.Repeat("x", 501),
	"a megabyte": strings.Repeat("x", 1<<20),
}

// goodTexts look odd and are somebody's name.
var goodTexts = []string{
	"", "Ada", "Ňœçİ ß", "山田 太郎", "אדה", "عايدة", "👩‍💻", "e\u0301", "<script>alert(1)</script>", "{{.}}",
	"=HYPERLINK(\"x\")", "O'Brien; DROP TABLE orders",
	strings.Repeat("é", 500),
}

func TestOrderTexts(t *testing.T) {
	t.Parallel()
	texts := map[string]func(o *keyturn.Order) *string{
		"payment.reference":           func(o *keyturn.Order) *string { return &o.Payment.Reference },
		"customer.id":                 func(o *keyturn.Order) *string { return &o.Customer.ID },
		"customer.firstName":          func(o *keyturn.Order) *string { return &o.Customer.FirstName },
		"customer.lastName":           func(o *keyturn.Order) *string { return &o.Customer.LastName },
		"customer.companyName":        func(o *keyturn.Order) *string { return &o.Customer.CompanyName },
		"customer.companyIdentifier":  func(o *keyturn.Order) *string { return &o.Customer.CompanyIdentifier },
		"customer.street":             func(o *keyturn.Order) *string { return &o.Customer.Street },
		"customer.city":               func(o *keyturn.Order) *string { return &o.Customer.City },
		"customer.zipCode":            func(o *keyturn.Order) *string { return &o.Customer.ZipCode },
		"customer.phone":              func(o *keyturn.Order) *string { return &o.Customer.Phone },
		"lineItems[0].subscriptionId": func(o *keyturn.Order) *string { return &o.LineItems[0].SubscriptionID },
		"lineItems[0].trialContext":   func(o *keyturn.Order) *string { return &o.LineItems[0].TrialContext },
		"cartExternalContext":         func(o *keyturn.Order) *string { return &o.CartExternalContext },
		"customer.country":            func(o *keyturn.Order) *string { return &o.Customer.Country },
		"customer.locale":             func(o *keyturn.Order) *string { return &o.Customer.Locale },
		"customer.email":              func(o *keyturn.Order) *string { return &o.Customer.Email },
		"lineItems[0].operation":      func(o *keyturn.Order) *string { return (*string)(&o.LineItems[0].Operation) },
	}
	var all []orderScenario
	for field, of := range texts {
		for name, text := range badTexts {
			if field == "cartExternalContext" && name == "too long" {
				text = strings.Repeat("x", 8193)
			}
			all = append(all, orderScenario{field + " with " + name, func(o *keyturn.Order) { *of(o) = text }, field})
		}
		if strings.HasPrefix(field, "customer.") && !slices.Contains([]string{
			"customer.id", "customer.country",
			"customer.locale", "customer.email",
		}, field) {
			for _, text := range goodTexts {
				all = append(all, orderScenario{field + " " + text, func(o *keyturn.Order) { *of(o) = text }, ""})
			}
		}
	}
	runOrderScenarios(t, all)
}

func TestOrderAddresses(t *testing.T) {
	t.Parallel()
	var all []orderScenario
	for _, bad := range []string{
		"", "a", "a@b", "a@b.c\r\nBcc:x@y.test", `"x y"@b.co`, "a@[127.0.0.1]", "ü@b.co",
		strings.Repeat("l", 400) + "@b.co", "Name <a@b.co>",
	} {
		all = append(all, orderScenario{bad, func(o *keyturn.Order) { o.Customer.Email = bad }, "customer.email"})
	}
	for field, values := range map[string][]string{
		"customer.country": {"fr", "FRA", "F", "F1", "FRANCE"},
		"customer.locale":  {"f", "french!", "fr FR", "fr-", "-fr", strings.Repeat("fr-", 60)},
	} {
		for _, v := range values {
			all = append(all, orderScenario{field + " " + v, func(o *keyturn.Order) {
				*map[string]*string{"customer.country": &o.Customer.Country, "customer.locale": &o.Customer.Locale}[field] = v
			}, field})
		}
	}
	for _, good := range []string{"", "fr", "fr-FR", "en_US", "zh-Hant-TW"} {
		all = append(all, orderScenario{good, func(o *keyturn.Order) { o.Customer.Locale = good }, ""})
	}
	runOrderScenarios(t, all)
}

// Card data must never enter. A check digit alone makes no card: company numbers have one, too.
func TestOrderRefusesCardNumbers(t *testing.T) {
	t.Parallel()
	company := func(name string) func(o *keyturn.Order) {
		return func(o *keyturn.Order) { o.Customer.CompanyName = name }
	}
	last := func(name string) func(o *keyturn.Order) {
		return func(o *keyturn.Order) { o.Customer.LastName = name }
	}
	runOrderScenarios(t, []orderScenario{
		{"a card as a name", last("4111111111111111"), "customer.lastName"},
		{"with blanks", func(o *keyturn.Order) { o.Customer.Street = "card 4111 1111 1111 1111 please" }, "customer.street"},
		{"with dashes", func(o *keyturn.Order) { o.Customer.City = "3782-822463-10005" }, "customer.city"},
		{"with its month of expiry", last("4111 1111 1111 1111 12 27"), "customer.lastName"},
		{"behind a number", last("12 4111 1111 1111 1111"), "customer.lastName"},
		{"Mastercard", last("5555555555554444"), "customer.lastName"},
		{"Mastercard of the new range", last("2223003122003222"), "customer.lastName"},
		{"Diners Club", last("3056 930902 5904"), "customer.lastName"},
		{"Discover", last("6011111111111117"), "customer.lastName"},
		{"JCB", last("3530111333300000"), "customer.lastName"},
		{"UnionPay", last("6250941006528599"), "customer.lastName"},
		{"in a company's name", company("4111 1111 1111 1111"), "customer.companyName"},
		{"the check digit is wrong", last("4111111111111112"), ""},
		{"no scheme has it", last("9111 1111 1111 1110"), ""},
		{"Amex is not of sixteen digits", last("3782822463100050"), ""},
		{"a phone of as many digits as there are", func(o *keyturn.Order) { o.Customer.Phone = "378282246310005" }, ""},
		{"no phone is that long", func(o *keyturn.Order) { o.Customer.Phone = "4111111111111111" }, "customer.phone"},
		{"a company number", func(o *keyturn.Order) { o.Customer.CompanyIdentifier = "4111111111111111" }, ""},
		{"a SIRET", company("Boulangerie Dupain SIRET 732 829 320 00074"), ""},
		{"a SIRET that begins like a card", company("Orange 380 129 866 46850"), ""},
		{"a SIRET in a street", func(o *keyturn.Order) { o.Customer.Street = "RCS Paris, SIRET 38012986646850" }, ""},
		{"the same digits with nothing that says so", last("38012986646850"), "customer.lastName"},
	})
}

func TestOrderOperations(t *testing.T) {
	t.Parallel()
	const id = "0198c2d4-0000-7000-8000-000000000001"
	end := time.Date(2028, 6, 15, 0, 0, 0, 0, time.UTC)
	long := time.Date(20280, 6, 15, 0, 0, 0, 0, time.UTC)
	with := func(op, license, subscription string, expires *time.Time, field string) orderScenario {
		return orderScenario{op + " " + license + subscription, func(o *keyturn.Order) {
			l := &o.LineItems[0]
			l.Operation, l.LicenseID, l.SubscriptionID, l.ExpiresAt = keyturn.OperationName(op), license, subscription, expires
		}, field}
	}
	var all []orderScenario
	for _, op := range []string{"", "create"} {
		all = append(all, with(op, "", "", nil, ""), with(op, "", "sub-1", &end, ""),
			with(op, id, "", nil, "lineItems[0].licenseId"))
	}
	for _, op := range keyturn.ExistingOperations {
		all = append(all, with(string(op), id, "", nil, ""), with(string(op), "", "sub-1", nil, ""),
			with(string(op), "", "", nil, "lineItems[0].licenseId"),
			with(string(op), "lic-1", "", nil, "lineItems[0].licenseId"))
	}
	for _, op := range []string{"renew", "resume"} {
		all = append(all, with(op, id, "", &end, ""), with(op, id, "", &long, "lineItems[0].expiresAt"))
	}
	for _, op := range []string{"upgrade", "pause", "cancel"} {
		all = append(all, with(op, id, "", &end, "lineItems[0].expiresAt"))
	}
	for _, op := range []string{"CREATE", "delete", "suspend"} {
		all = append(all, with(op, id, "", nil, "lineItems[0].operation"))
	}
	runOrderScenarios(t, all)
}

// One answer names everything that is wrong, in the order of the request.
func TestOrderNamesEveryMistake(t *testing.T) {
	t.Parallel()
	wantFields(t, keyturn.Order{}.Check(mail.CheckAddress), "nothing", "id", "currency", "payment.provider",
		"payment.reference",
		"customer.id", "customer.email", "lineItems")
	o := goodOrder()
	o.LineItems = slices.Repeat(o.LineItems, 3)
	o.LineItems[1].Quantity, o.LineItems[2].GrossPrice = 0, "x"
	wantFields(t, o.Check(mail.CheckAddress), "two lines", "lineItems[1].quantity", "lineItems[2].grossPrice")
}

// What is accepted, PostgreSQL can store and a log can show.
func TestCleanTextOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "unicode") {
			text = rapid.StringN(0, 40, -1).Draw(t, "text")
		}
		if keyturn.CleanText(text, 0, 40) {
			require.Equal(t, strings.ToValidUTF8(text, "?"), text)
			require.NotContains(t, text, "\x00")
			require.NotContains(t, text, "\n")
		}
	})
}
