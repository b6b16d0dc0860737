package endpoint

import (
	"bytes"
	"encoding/json"
	"strings"

	"keyturn.dev/keyturn"
)

// Data is a fulfillment request: the data context of the templates (Go names) and, marshalled, the document that
// signedFields select from (camelCase names). It is the superset of both published versions of the contract
// (docs/understand/partner-contract.md, Data context). It is frozen when the fulfillment is accepted: LicenseID,
// OperationExecutionID and RequestTimestamp stay the same over every retry.
type Data struct {
	LicenseID            string `json:"licenseId"` // UUID; the default template sends it as fulfillmentId
	Operation            string `json:"operation"`
	OperationExecutionID string `json:"operationExecutionId,omitempty"`
	// epoch milliseconds, when the request was queued
	RequestTimestamp int64    `json:"requestTimestamp,omitempty"`
	Checkout         Checkout `json:"checkout"`
	User             User     `json:"user"`
	Product          Product  `json:"product"`
	// captured by earlier operations; templates see each name also with a capital first letter
	AdditionalData map[string]List `json:"additionalData,omitempty"`
}

// Checkout is the order side of a request.
type Checkout struct {
	OrderID              string `json:"orderId"`
	LineItemID           string `json:"lineItemId"`
	SubscriptionID       string `json:"subscriptionId,omitempty"`
	CartExternalContext  string `json:"cartExternalContext,omitempty"` // opaque, as the order carried it
	TrialContext         string `json:"trialContext,omitempty"`        // CREATION or CONVERSION
	Price                Price  `json:"price"`                         // of the whole order
	StoreExternalContext string `json:"storeExternalContext,omitempty"`
	AffiliateID          string `json:"affiliateId,omitempty"`
	ResellerID           string `json:"resellerId,omitempty"`
	BillingPlanID        string `json:"billingPlanId,omitempty"`
	ProductUsageID       string `json:"productUsageId,omitempty"`
}

// User is the customer.
type User struct {
	ID                string `json:"id"`
	Email             string `json:"email"`
	Country           string `json:"country"` // ISO 3166-1 alpha-2
	Locale            string `json:"locale"`
	FirstName         string `json:"firstName,omitempty"`
	LastName          string `json:"lastName,omitempty"`
	CompanyName       string `json:"companyName,omitempty"`
	CompanyIdentifier string `json:"companyIdentifier,omitempty"`
	Street            string `json:"street,omitempty"`
	City              string `json:"city,omitempty"`
	ZipCode           string `json:"zipCode,omitempty"`
}

// Product is what was bought.
type Product struct {
	ID                     string `json:"id"`
	Name                   string `json:"name"`
	PublisherProductID     string `json:"publisherProductId,omitempty"`
	PublisherFulfillmentID string `json:"publisherFulfillmentId,omitempty"`
	LineItemID             string `json:"lineItemId,omitempty"` // the older contract has it here; give both
	ExternalContext        string `json:"externalContext,omitempty"`
	StartTimestamp         int64  `json:"startTimestamp,omitempty"`      // epoch milliseconds
	ExpirationTimestamp    int64  `json:"expirationTimestamp,omitempty"` // epoch milliseconds
	Quantity               int64  `json:"quantity,omitempty"`
	// of an operation on a licence that exists: the LicenseID of its create
	ExistingLicenseID       string            `json:"existingLicenseId,omitempty"`
	ActivationLink          string            `json:"activationLink,omitempty"`
	PriceFunctionParameters map[string]string `json:"priceFunctionParameters,omitempty"`
	Variables               map[string]string `json:"variables,omitempty"`
	Price                   Price             `json:"price"` // of the line
}

// Price is what was paid, in units of the currency (19.5), not in its minor unit.
type Price struct {
	GrossPrice      Decimal          `json:"grossPrice"`
	Currency        string           `json:"currency"` // ISO 4217
	DiscountedPrice *DiscountedPrice `json:"discountedPrice,omitempty"`
}

// DiscountedPrice is there if the customer paid less than the list price. DiscountID and DiscountCode belong to the
// product's price only.
type DiscountedPrice struct {
	DiscountedGrossPrice Decimal `json:"discountedGrossPrice"`
	DiscountedNetPrice   Decimal `json:"discountedNetPrice"`
	DiscountRate         Decimal `json:"discountRate"`
	DiscountID           string  `json:"discountId,omitempty"`
	DiscountCode         string  `json:"discountCode,omitempty"`
}

// List is the values of one name in AdditionalData. In a template a list of one prints as its element.
type List []string

// Decimal is an exact decimal such as "19.50", the form that keyturn.Money prints; "" is zero. It marshals as the
// shortest JSON number, 19.5, and reads numbers and strings.
type Decimal string

// MarshalJSON writes the shortest plain number; a text that is no decimal of at most 15 digits is an error.
func (d Decimal) MarshalJSON() ([]byte, error) {
	text, ok := d.shortest()
	if !ok {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "must be a decimal of at most 15 digits")
	}
	return []byte(text), nil
}

// UnmarshalJSON reads a number or a string that holds one.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	read := Decimal(bytes.Trim(data, `"`))
	text, ok := read.shortest()
	if !ok || !json.Valid(data) {
		return keyturn.Errorf(keyturn.KindInvalid, "must be a decimal of at most 15 digits")
	}
	*d = Decimal(text)
	return nil
}

// shortest is the decimal without needless zeros: "20.00" is "20". Fifteen digits are what a float64 holds exactly,
// which is what templates compute with.
func (d Decimal) shortest() (string, bool) {
	if d == "" {
		return "0", true
	}
	digits, negative := strings.CutPrefix(string(d), "-")
	whole, frac, hasPoint := strings.Cut(digits, ".")
	if whole == "" || hasPoint && frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return "", false
	}
	whole, frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if len(whole)+len(frac) > 15 {
		return "", false
	}
	if whole == "" {
		whole = "0"
	}
	text := whole
	if frac != "" {
		text += "." + frac
	}
	if negative && text != "0" {
		text = "-" + text
	}
	return text, true
}
