package keyturn

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Check says everything that is wrong with a link by itself, after WithDefaults. checkAddress is the rule for e-mail
// addresses; origins are those that returnUrl and cancelUrl may have, such as https://shop.example. Whether products
// exist and can be sold is checked where the link is stored.
func (l CheckoutLink) Check(now time.Time, checkAddress func(string) error, origins []string) error {
	var bad Problems
	bad.Check(cleanText(l.Reference, 0, 100), "reference", "must be at most 100 printable characters")
	bad.Check(l.OrderID == "" || ValidOrderID(l.OrderID), "orderId", "%s", orderIDRule)
	bad.Check(ValidCurrency(l.Currency), "currency", "must be an ISO 4217 currency such as EUR")
	bad.Check(ValidID(l.Provider), "provider", "must name a payment provider such as sandbox")
	bad.Check(l.Provider != PaymentNone || l.Free(), "provider",
		"must be one that takes money: none is for links of which every line and offer costs nothing")
	bad.Check(slices.Contains([]CaptureWhen{CaptureWhenObtained, CaptureWhenPossible, CaptureAtOnce}, l.Capture),
		"capture", "must be whenObtained, whenPossible or atOnce")
	bad.Check(slices.Contains([]MixedCapture{MixedChargeAll, MixedChargeReady}, l.Mixed), "mixed",
		"must be chargeAll or chargeReady")
	bad.Check(!l.ExpiresAt.Before(now.Add(linkLivesAtLeast)) && !l.ExpiresAt.After(now.Add(linkLivesAtMost)), "expiresAt",
		"must be 10 minutes to 365 days ahead")
	bad.Check(l.Locale == "" || ValidLocale(l.Locale), "locale", "must be a language tag such as de-DE")
	bad.Check(len(l.LineItems) >= 1 && len(l.LineItems) <= MaxLinkLines, "lineItems", "must have 1 to %d lines",
		MaxLinkLines)
	for i, line := range l.LineItems {
		line.check(&bad, "lineItems["+itoa(i)+"].", l.Currency)
	}
	l.checkOffers(&bad)
	l.checkCustomer(&bad, checkAddress)
	bad.Check(len(l.AdditionalData) <= MaxAdditionalData, "additionalData", "must have at most %d entries",
		MaxAdditionalData)
	for key, value := range l.AdditionalData {
		at := "additionalData." + key
		bad.Check(cleanText(key, 1, 40) && cleanText(value, 0, 500), at,
			"must be printable text of at most 500 characters under a name of at most 40")
		bad.Check(!holdsCardNumber("additionalData", value), at,
			"looks like a payment card number, which must not be sent")
	}
	checkReturn(&bad, "returnUrl", l.ReturnURL, origins)
	checkReturn(&bad, "cancelUrl", l.CancelURL, origins)
	return bad.Err("the checkout link is not valid")
}

func (l LinkLine) check(bad *Problems, at, currency string) {
	bad.Check(ValidID(l.ProductID), at+"productId", "must name a product")
	bad.Check(cleanText(l.Name, 1, 200), at+"name", "must be 1 to 200 printable characters")
	bad.Check(cleanText(l.Description, 0, 500), at+"description", "must be at most 500 printable characters")
	bad.Check(cleanText(l.SKU, 0, 40), at+"sku", "must be at most 40 printable characters")
	bad.Check(cleanText(l.ExternalContext, 0, 2000), at+"externalContext", "must be at most 2000 printable characters")
	checkMap(bad, at+"variables", l.Variables)
	checkMap(bad, at+"priceFunctionParameters", l.PriceFunctionParameters)
	q := l.Quantity
	bad.Check(q.Min >= 1 && q.Min <= q.Value && q.Value <= q.Max && q.Max <= MaxQuantity, at+"quantity",
		"must be between 1 and %d, with min ≤ value ≤ max", MaxQuantity)
	l.checkPrices(bad, at, currency)
	item := LineItem{
		Operation: l.Operation, LicenseID: l.LicenseID, SubscriptionID: l.SubscriptionID, ExpiresAt: l.ExpiresAt,
	}
	item.checkLicense(bad, at)
	bad.Check(slices.Contains(OrderOperations, l.Operation), at+"operation",
		"must be create, renew, upgrade, pause, resume or cancel")
	bad.Check(l.Operation == OpCreate || q.Fixed(), at+"quantity", "of an operation on a licence cannot be chosen")
	bad.Check(cleanText(l.SubscriptionID, 0, 100), at+"subscriptionId", "must be at most 100 printable characters")
	bad.Check(slices.Contains([]string{"", "CREATION", "CONVERSION"}, l.TrialContext), at+"trialContext",
		"must be CREATION or CONVERSION")
}

func (l LinkLine) checkPrices(bad *Problems, at, currency string) {
	if !ValidCurrency(currency) {
		return
	}
	unit, err := ParseMoney(l.UnitPrice, currency)
	if err != nil {
		bad.Addf(at+"unitPrice", "%s", err.Error())
		return
	}
	bad.Check(unit.Minor <= maxMinor/int64(max(l.Quantity.Max, 1)), at+"unitPrice", "is too much for so many units")
	if l.ListPrice == "" {
		return
	}
	list, err := ParseMoney(l.ListPrice, currency)
	if err != nil {
		bad.Addf(at+"listPrice", "%s", err.Error())
		return
	}
	bad.Check(list.Minor >= unit.Minor, at+"listPrice", "must not be below unitPrice")
}

func (l CheckoutLink) checkOffers(bad *Problems) {
	seen := map[string]bool{}
	for _, list := range []struct {
		at     string
		offers []LinkOffer
	}{{"offers.onVisit", l.Offers.OnVisit}, {"offers.onLeave", l.Offers.OnLeave}} {
		bad.Check(len(list.offers) <= MaxLinkOffers, list.at, "must have at most %d offers", MaxLinkOffers)
		for i, o := range list.offers {
			at := list.at + "[" + itoa(i) + "]."
			bad.Check(ValidID(o.ID), at+"id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
			bad.Check(!seen[o.ID], at+"id", "must not be given to two offers")
			seen[o.ID] = true
			bad.Check(o.Replaces >= 0 && o.Replaces < len(l.LineItems), at+"replaces", "must be the index of a line")
			bad.Check(cleanText(o.Headline, 1, 200), at+"headline", "must be 1 to 200 printable characters")
			bad.Check(cleanText(o.Text, 0, 1000), at+"text", "must be at most 1000 printable characters")
			o.LineItem.check(bad, at+"lineItem.", l.Currency)
		}
	}
}

// checkCustomer checks what is there: all of it is optional, and the customer fills in the rest.
func (l CheckoutLink) checkCustomer(bad *Problems, checkAddress func(string) error) {
	c := l.Customer
	if c.ID == "" {
		c.ID = "as the link"
	}
	if c.Email == "" {
		checkAddress = func(string) error { return nil }
	}
	c.check(bad, checkAddress)
}

// checkReturn checks an address that the page leads back to. It is compared as a parsed origin: an address that only
// begins like one of ours may lead anywhere.
func checkReturn(bad *Problems, at, address string, origins []string) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Host == "" || len(address) > 2000 ||
		!cleanText(address, 1, 2000) {
		bad.Addf(at, "must be an https:// address without user name or password")
		return
	}
	bad.Check(slices.ContainsFunc(origins, func(o string) bool {
		allowed, err := url.Parse(o)
		return err == nil && strings.EqualFold(allowed.Scheme, u.Scheme) && strings.EqualFold(allowed.Host, u.Host)
	}), at, "must be of an origin in KEYTURN_RETURN_ORIGINS")
}

// ValidPaymentID says whether text can be the ID of a payment.
func ValidPaymentID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }
