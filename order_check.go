package keyturn

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Limits of one order. MaxLines is what one transaction inserts within the five seconds we promise.
const (
	MaxLines    = 10_000
	MaxQuantity = 10_000
	maxOrderID  = 100
	maxPersonal = 500 // characters of a name, a company, a street
)

var (
	// What shops number their orders with: #1001, 1001/2, RE 2026-0001. It has an address once it is percent-encoded.
	orderIDPattern = regexp.MustCompile(`^#?[A-Za-z0-9]([A-Za-z0-9._:/#+-]| [A-Za-z0-9._:/#+-])*$`)
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
	localePattern  = regexp.MustCompile(`^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$`)
)

const orderIDRule = "must be 1 to 100 letters, digits, single spaces or any of ._:/#+- " +
	"and begin with a letter or digit, or # before one"

// ValidOrderID says whether text can be the ID of an order.
func ValidOrderID(text string) bool {
	return len(text) <= maxOrderID && orderIDPattern.MatchString(text)
}

// Check says everything that is wrong with an order by itself. checkAddress is the rule for e-mail addresses
// (mail.CheckAddress); whether products exist and can be sold is checked where the order is stored.
func (o Order) Check(checkAddress func(string) error) error {
	var bad Problems
	bad.Check(ValidOrderID(o.ID), "id", "%s", orderIDRule)
	bad.Check(ValidCurrency(o.Currency), "currency", "must be an ISO 4217 currency such as EUR")
	bad.Check(ValidID(o.Payment.Provider), "payment.provider", "must name a payment provider such as sandbox")
	bad.Check(cleanText(o.Payment.Reference, 1, 200), "payment.reference", "must be 1 to 200 printable characters")
	bad.Check(len(o.CartExternalContext) <= 8192 && cleanText(o.CartExternalContext, 0, 8192), "cartExternalContext",
		"must be at most 8192 printable characters")
	o.Customer.check(&bad, checkAddress)
	bad.Check(len(o.LineItems) >= 1 && len(o.LineItems) <= MaxLines, "lineItems", "must have 1 to %d lines", MaxLines)
	seen := map[string]bool{}
	for i, l := range o.LineItems {
		at := "lineItems[" + itoa(i) + "]."
		l.check(&bad, at, o.Currency)
		bad.Check(l.ID == "" || !seen[strings.ToLower(l.ID)], at+"id", "must not be given to two lines")
		seen[strings.ToLower(l.ID)] = true
	}
	return bad.Err("the order is not valid")
}

func (c Customer) check(bad *Problems, checkAddress func(string) error) {
	bad.Check(cleanText(c.ID, 1, 200), "customer.id", "must be 1 to 200 printable characters")
	if err := checkAddress(c.Email); err != nil {
		bad.Addf("customer.email", "%s", err.Error())
	}
	if c.Licensee.Email != "" {
		if err := checkAddress(c.Licensee.Email); err != nil {
			bad.Addf("customer.licensee.email", "%s", err.Error())
		}
	}
	bad.Check(c.Country == "" || countryPattern.MatchString(c.Country), "customer.country",
		"must be an ISO 3166 code of two letters such as FR, not a name")
	bad.Check(c.Locale == "" || localePattern.MatchString(c.Locale), "customer.locale",
		"must be a language tag such as fr-FR")
	for _, f := range []struct{ name, value string }{
		{"firstName", c.FirstName},
		{"lastName", c.LastName},
		{"companyName", c.CompanyName},
		{"companyIdentifier", c.CompanyIdentifier},
		{"street", c.Street},
		{"city", c.City},
		{"zipCode", c.ZipCode},
		{"phone", c.Phone},
		{"additionalInfo", c.AdditionalInfo},
		{"licensee.firstName", c.Licensee.FirstName},
		{"licensee.lastName", c.Licensee.LastName},
		{"licensee.companyName", c.Licensee.CompanyName},
		{"licensee.phone", c.Licensee.Phone},
	} {
		bad.Check(cleanText(f.value, 0, maxPersonal), "customer."+f.name,
			"must be at most %d characters without control or direction characters", maxPersonal)
		_, last, _ := strings.Cut("."+f.name, ".licensee.")
		bad.Check(!holdsCardNumber(cmp.Or(last, f.name), f.value), "customer."+f.name,
			"looks like a payment card number, which must not be sent")
	}
}

// ValidLocale says whether text is a plain language tag such as fr-FR.
func ValidLocale(text string) bool { return localePattern.MatchString(text) }

func (l LineItem) check(bad *Problems, at, currency string) {
	if l.ID != "" {
		_, err := uuid.Parse(l.ID)
		bad.Check(err == nil && len(l.ID) == 36, at+"id", "must be a UUID")
	}
	bad.Check(ValidID(l.ProductID), at+"productId", "must name a product")
	bad.Check(l.Quantity >= 1 && l.Quantity <= MaxQuantity, at+"quantity", "must be between 1 and %d", MaxQuantity)
	if ValidCurrency(currency) {
		_, err := ParseMoney(l.GrossPrice, currency)
		if err != nil {
			bad.Addf(at+"grossPrice", "%s", err.Error())
		}
	}
	bad.Check(l.Operation == "" || slices.Contains(OrderOperations, l.Operation), at+"operation",
		"must be create, renew, upgrade, pause, resume or cancel")
	l.checkLicense(bad, at)
	bad.Check(cleanText(l.SubscriptionID, 0, 100), at+"subscriptionId", "must be at most 100 printable characters")
	bad.Check(slices.Contains([]string{"", "CREATION", "CONVERSION"}, l.TrialContext), at+"trialContext",
		"must be CREATION or CONVERSION")
}

// checkLicense checks what an operation acts on. Whether there is such a licence is checked where the order is stored.
func (l LineItem) checkLicense(bad *Problems, at string) {
	if l.LicenseID != "" {
		_, err := uuid.Parse(l.LicenseID)
		bad.Check(err == nil && len(l.LicenseID) == 36, at+"licenseId", "must be a UUID: the fulfillmentId of the create")
	}
	create := l.Operation == "" || l.Operation == OpCreate
	bad.Check(!create || l.LicenseID == "", at+"licenseId", "does not belong to a create, which makes a licence")
	bad.Check(create || !slices.Contains(OrderOperations, l.Operation) || l.LicenseID != "" || l.SubscriptionID != "",
		at+"licenseId",
		"is required for %s, or the subscriptionId that the create had", l.Operation)
	takesTerm := create || l.Operation == OpRenew || l.Operation == OpResume
	bad.Check(l.ExpiresAt == nil || takesTerm, at+"expiresAt", "belongs to create, renew and resume only")
	bad.Check(l.ExpiresAt == nil || l.ExpiresAt.Year() >= 2000 && l.ExpiresAt.Year() < 2200, at+"expiresAt",
		"must be between the years 2000 and 2200")
}
