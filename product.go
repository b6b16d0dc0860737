package keyturn

import (
	"regexp"
	"slices"
)

// OperationName is what a fulfillment does to a licence (docs/understand/partner-contract.md, Operations).
type OperationName string

// The operations of the contract.
const (
	OpCreate  OperationName = "create"
	OpLookUp  OperationName = "lookup" // no order has it: it asks whether a create was carried out
	OpRenew   OperationName = "renew"
	OpUpgrade OperationName = "upgrade"
	OpCancel  OperationName = "cancel"
	OpPause   OperationName = "pause"
	OpResume  OperationName = "resume"
)

// OrderOperations are the operations that an order line can ask for.
var OrderOperations = append([]OperationName{OpCreate}, ExistingOperations...)

// QuantityMode says how many codes a line of several units needs.
type QuantityMode string

const (
	// OnePerUnit: five units are five keys; an endpoint is called once per unit. The default.
	OnePerUnit QuantityMode = "one_per_unit"
	// OnePerLine: five units are one key.
	OnePerLine QuantityMode = "one_per_line"
	// OneCall: one call of an endpoint returns a code per unit; for pools it is the same as OnePerUnit.
	OneCall QuantityMode = "one_call"
)

// OnGiveUp says what is cancelled when a line cannot be fulfilled.
type OnGiveUp string

const (
	// CancelLine cancels and refunds only the line that failed. The default.
	CancelLine OnGiveUp = "cancel_line"
	// CancelOrder cancels and refunds every line of the order, revoking what was delivered.
	CancelOrder OnGiveUp = "cancel_order"
)

// PageKeys says whether the order page shows a product's keys.
type PageKeys string

// The choices of PageKeys.
const (
	// PageKeysOnRequest: the customer presses a button. The default.
	PageKeysOnRequest PageKeys = "onRequest"
	// PageKeysAlways: the page has them.
	PageKeysAlways PageKeys = "always"
	// PageKeysNever: they are in the e-mail alone.
	PageKeysNever PageKeys = "never"
)

// Product says how something is delivered.
type Product struct {
	ID                      string            `json:"id"`
	Name                    string            `json:"name"`
	ShortName               string            `json:"shortName,omitempty"` // {PROGRAM_SHORT}; empty: Name
	Image                   Image             `json:"image,omitzero"`      // shown on pages
	PublisherProductID      string            `json:"publisherProductId,omitempty"`
	PublisherFulfillmentID  string            `json:"publisherFulfillmentId,omitempty"`
	ExternalContext         string            `json:"externalContext,omitempty"`
	Variables               map[string]string `json:"variables,omitempty"`
	PriceFunctionParameters map[string]string `json:"priceFunctionParameters,omitempty"`
	URLToInstructions       string            `json:"urlToInstructions,omitempty"` // {URL}
	URLToDownload           string            `json:"urlToDownload,omitempty"`     // {URL_FULL}
	QuantityMode            QuantityMode      `json:"quantityMode,omitempty"`
	// the same code for several units or customers is meant
	VolumeCodes bool        `json:"volumeCodes,omitempty"`
	Sources     []Source    `json:"sources"`
	Retry       RetryPolicy `json:"retry,omitzero"`
	OnGiveUp    OnGiveUp    `json:"onGiveUp,omitempty"`
	// "refund me now" on the order page of a late line
	CustomerMayRefund bool `json:"customerMayRefund,omitempty"`
	// empty: PageKeysOnRequest
	PageKeys PageKeys `json:"pageKeys,omitempty"`
	Sell     Sell     `json:"sell,omitzero"`
	Email    Email    `json:"email,omitzero"`
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)

// ValidID says whether text can name a product, pool or integration: 1 to 64 letters, digits, `.`, `_`, `:` or `-`.
func ValidID(text string) bool { return idPattern.MatchString(text) }

// WithDefaults fills in what the merchant left out.
func (p Product) WithDefaults() Product {
	if p.QuantityMode == "" {
		p.QuantityMode = OnePerUnit
	}
	if p.OnGiveUp == "" {
		p.OnGiveUp = CancelLine
	}
	p.Sell = p.Sell.WithDefaults()
	p.Retry = p.Retry.WithDefaults()
	return p
}

// Units is how many codes a line of this quantity needs.
func (p Product) Units(quantity int) int {
	if p.QuantityMode == OnePerLine {
		return 1
	}
	return quantity
}

// MaxUnitsByMail is how many units one line may have of a product whose keys are in its e-mail alone: so many of the
// longest keys in ASCII fit into one. The order page shows any number.
const MaxUnitsByMail = 1000

// FitsMail says whether the keys of a line of so many reach their customer if no page shows them.
func (p Product) FitsMail(quantity int) bool {
	return p.PageKeys != PageKeysNever || p.Units(quantity) <= MaxUnitsByMail
}

// Check says what is wrong with a product by itself; whether its pools and integrations exist is checked where it is
// stored, and its e-mail by package mail.
func (p Product) Check() error {
	var bad Problems
	bad.Check(ValidID(p.ID), "id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	bad.Check(cleanText(p.Name, 1, 200), "name", "must be 1 to 200 printable characters")
	bad.Check(cleanText(p.ShortName, 0, 200), "shortName", "must be at most 200 printable characters")
	bad.Check(cleanText(p.PublisherProductID, 0, 200), "publisherProductId", "must be at most 200 printable characters")
	bad.Check(cleanText(p.PublisherFulfillmentID, 0, 200), "publisherFulfillmentId",
		"must be at most 200 printable characters")
	bad.Check(cleanText(p.ExternalContext, 0, 2000), "externalContext", "must be at most 2000 printable characters")
	checkMap(&bad, "variables", p.Variables)
	checkMap(&bad, "priceFunctionParameters", p.PriceFunctionParameters)
	for _, u := range []struct{ at, url string }{
		{"urlToInstructions", p.URLToInstructions},
		{"urlToDownload", p.URLToDownload},
	} {
		bad.Check(u.url == "" || isHTTPS(u.url), u.at, "must be an https:// address")
	}
	bad.Check(slices.Contains([]QuantityMode{"", OnePerUnit, OnePerLine, OneCall}, p.QuantityMode), "quantityMode",
		"must be one_per_unit, one_per_line or one_call")
	bad.Check(slices.Contains([]OnGiveUp{"", CancelLine, CancelOrder}, p.OnGiveUp), "onGiveUp",
		"must be cancel_line or cancel_order")
	bad.Check(len(p.Sources) >= 1 && len(p.Sources) <= 8, "sources", "must list 1 to 8 sources")
	for i, s := range p.Sources {
		bad.Merge("sources["+itoa(i)+"]", s.check())
	}
	bad.Check(slices.Contains([]PageKeys{"", PageKeysOnRequest, PageKeysAlways, PageKeysNever}, p.PageKeys), "pageKeys",
		"must be onRequest, always or never")
	bad.Merge("email", p.Email.check())
	bad.Merge("sell", p.Sell.check(p.Sources))
	bad.Merge("retry", p.Retry.Check())
	return bad.Err("the product is not valid")
}

func checkMap(bad *Problems, at string, m map[string]string) {
	bad.Check(len(m) <= 50, at, "must have at most 50 entries")
	for k, v := range m {
		bad.Check(cleanText(k, 1, 100) && cleanText(v, 0, 1000), at+"."+k,
			"must be printable text of at most 1000 characters")
	}
}
