package keyturn

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Limits of a checkout link.
const (
	MaxLinkLines      = 20
	MaxLinkOffers     = 5
	MaxAdditionalData = 20
	// MaxLinkPayments is how often a customer may begin to pay one link.
	MaxLinkPayments  = 5
	linkLivesAtLeast = 10 * time.Minute
	linkLivesAtMost  = 365 * 24 * time.Hour
	// LinkLives is how long a link lives that names no end.
	LinkLives = 14 * 24 * time.Hour
)

// CheckoutLink is a page that sells once, as POST /v1/checkout-links takes it. Prices are gross: tax is included.
type CheckoutLink struct {
	Reference      string            `json:"reference,omitempty"` // the caller's own; unique per token
	OrderID        string            `json:"orderId,omitempty"`   // of the order that it makes; else the link's ID
	Currency       string            `json:"currency"`
	Provider       string            `json:"provider,omitempty"`
	Capture        CaptureWhen       `json:"capture,omitempty"`
	Mixed          MixedCapture      `json:"mixed,omitempty"`
	ExpiresAt      *time.Time        `json:"expiresAt,omitempty"`
	Locale         string            `json:"locale,omitempty"` // BCP 47; empty: as the visitor's browser asks
	LineItems      []LinkLine        `json:"lineItems"`
	Offers         LinkOffers        `json:"offers,omitzero"`
	Customer       Customer          `json:"customer,omitzero"` // every field is optional, and the customer may edit it
	AdditionalData map[string]string `json:"additionalData,omitempty"`
	ReturnURL      string            `json:"returnUrl,omitempty"`
	CancelURL      string            `json:"cancelUrl,omitempty"`
}

// LinkLine is a product as a link sells it. Name and UnitPrice replace what the catalog says, the others only if they
// are there.
type LinkLine struct {
	ProductID               string            `json:"productId"`
	Name                    string            `json:"name"`
	Description             string            `json:"description,omitempty"`
	UnitPrice               string            `json:"unitPrice"`           // decimal string
	ListPrice               string            `json:"listPrice,omitempty"` // shown struck through
	Quantity                LinkQuantity      `json:"quantity,omitzero"`
	SKU                     string            `json:"sku,omitempty"`
	ExternalContext         string            `json:"externalContext,omitempty"`
	Variables               map[string]string `json:"variables,omitempty"`
	PriceFunctionParameters map[string]string `json:"priceFunctionParameters,omitempty"`
	Operation               OperationName     `json:"operation,omitempty"`
	LicenseID               string            `json:"licenseId,omitempty"`
	SubscriptionID          string            `json:"subscriptionId,omitempty"`
	TrialContext            string            `json:"trialContext,omitempty"`
	ExpiresAt               *time.Time        `json:"expiresAt,omitempty"`
}

// LinkQuantity is how many units a line sells: exactly Value, or what the customer chooses from Min to Max. The zero
// value is one unit.
type LinkQuantity struct {
	Value int `json:"value"`
	Min   int `json:"min,omitempty"`
	Max   int `json:"max,omitempty"`
}

type linkQuantity LinkQuantity // without its methods

// UnmarshalJSON reads a number, or {"value", "min", "max"}.
func (q *LinkQuantity) UnmarshalJSON(data []byte) error {
	var n int
	if json.Unmarshal(data, &n) == nil {
		if n == 0 && string(data) != "null" { // null is the same as absent, and 0 is not
			return Errorf(KindInvalid, "must be at least 1")
		}
		*q = LinkQuantity{Value: n, Min: n, Max: n}
		return nil
	}
	var v linkQuantity
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(&v); err != nil {
		return Errorf(KindInvalid, "must be a whole number, or {\"value\", \"min\", \"max\"}")
	}
	if v.Min == 0 && v.Max == 0 {
		v.Min, v.Max = v.Value, v.Value
	}
	if v.Min == 0 {
		v.Min = 1
	}
	*q = LinkQuantity(v)
	return nil
}

// MarshalJSON writes a fixed quantity as a number.
func (q LinkQuantity) MarshalJSON() ([]byte, error) {
	if q.Fixed() {
		return strconv.AppendInt(nil, int64(q.Value), 10), nil
	}
	return json.Marshal(linkQuantity(q))
}

// Fixed says that the customer cannot choose.
func (q LinkQuantity) Fixed() bool { return q.Min == q.Max }

// Allows says whether the customer may choose n units.
func (q LinkQuantity) Allows(n int) bool { return n >= q.Min && n <= q.Max }

// LinkOffers are up-sells: each replaces a line if the customer accepts it.
type LinkOffers struct {
	OnVisit []LinkOffer `json:"onVisit,omitempty"`
	OnLeave []LinkOffer `json:"onLeave,omitempty"`
}

// LinkOffer is one up-sell.
type LinkOffer struct {
	ID       string   `json:"id"`
	Replaces int      `json:"replaces"` // index of lineItems
	Headline string   `json:"headline"`
	Text     string   `json:"text,omitempty"`
	LineItem LinkLine `json:"lineItem"`
}

// All are the offers of both lists.
func (o LinkOffers) All() []LinkOffer { return slices.Concat(o.OnVisit, o.OnLeave) }

// WithDefaults fills in what the caller left out. now is the database's clock.
func (l CheckoutLink) WithDefaults(now time.Time, provider string) CheckoutLink {
	switch {
	case l.Provider != "":
	case l.Free():
		l.Provider = PaymentNone
	default:
		l.Provider = provider
	}
	if l.Capture == "" {
		l.Capture = CaptureWhenPossible
	}
	if l.Mixed == "" {
		l.Mixed = MixedChargeAll
	}
	if l.ExpiresAt == nil {
		end := now.Add(LinkLives)
		l.ExpiresAt = &end
	}
	l.LineItems = slices.Clone(l.LineItems)
	for i := range l.LineItems {
		l.LineItems[i] = l.LineItems[i].withDefaults()
	}
	l.Offers.OnVisit, l.Offers.OnLeave = slices.Clone(l.Offers.OnVisit), slices.Clone(l.Offers.OnLeave)
	for _, some := range [][]LinkOffer{l.Offers.OnVisit, l.Offers.OnLeave} {
		for i := range some {
			some[i].LineItem = some[i].LineItem.withDefaults()
		}
	}
	return l
}

func (l LinkLine) withDefaults() LinkLine {
	if l.Quantity == (LinkQuantity{}) {
		l.Quantity = LinkQuantity{1, 1, 1}
	}
	if l.Operation == "" {
		l.Operation = OpCreate
	}
	return l
}

// Free says that nothing of the link costs anything, whatever the customer chooses: nobody has to take money for it.
func (l CheckoutLink) Free() bool {
	free := func(line LinkLine) bool {
		unit, err := ParseMoney(line.UnitPrice, l.Currency)
		return err == nil && unit.Minor == 0
	}
	return !slices.ContainsFunc(l.LineItems, func(line LinkLine) bool { return !free(line) }) &&
		!slices.ContainsFunc(l.Offers.All(), func(o LinkOffer) bool { return !free(o.LineItem) })
}

// Total is the sum of the lines at their quantities, in the link's currency. It is for a link that was checked.
func (l CheckoutLink) Total() Money {
	sum := Money{Currency: l.Currency}
	for _, line := range l.LineItems {
		sum.Minor += line.Price(l.Currency, line.withDefaults().Quantity.Value).Minor
	}
	return sum
}

// Price is what so many units of the line cost. It is for a line that was checked.
func (l LinkLine) Price(currency string, quantity int) Money {
	unit, _ := ParseMoney(l.UnitPrice, currency)
	return Money{Minor: unit.Minor * int64(quantity), Currency: currency}
}

// SoldAs is what a checkout link says of a line in place of its product. It is stored with the line, and partners,
// e-mails and pages see it. The zero value replaces nothing.
type SoldAs struct {
	Name                    string            `json:"name,omitempty"`
	Description             string            `json:"description,omitempty"`
	SKU                     string            `json:"sku,omitempty"`
	UnitPrice               string            `json:"unitPrice,omitempty"`
	OfferID                 string            `json:"offerId,omitempty"` // of the offer that replaced the line
	ExternalContext         string            `json:"externalContext,omitempty"`
	Variables               map[string]string `json:"variables,omitempty"`
	PriceFunctionParameters map[string]string `json:"priceFunctionParameters,omitempty"`
	// Promised is what the product said when the link was made; absent of a line that was sold before that was noted
	Promised *Promised `json:"promised,omitempty"`
}

// Promised is what of a product a checkout link promises from when it is made: an edit of the product changes it for
// other links. How it is obtained, from which sources and how often they are tried, follows the catalog.
type Promised struct {
	QuantityMode            QuantityMode      `json:"quantityMode"`
	ExternalContext         string            `json:"externalContext,omitempty"`
	Variables               map[string]string `json:"variables,omitempty"`
	PriceFunctionParameters map[string]string `json:"priceFunctionParameters,omitempty"`
	GiveUpAfter             Duration          `json:"giveUpAfter"`
}

// Promised is what a link promises of the product.
func (p Product) Promised() Promised {
	p = p.WithDefaults()
	return Promised{
		QuantityMode: p.QuantityMode, ExternalContext: p.ExternalContext, Variables: p.Variables,
		PriceFunctionParameters: p.PriceFunctionParameters, GiveUpAfter: p.Retry.GiveUpAfter,
	}
}

// Apply is the product with what was promised of it.
func (s Promised) Apply(p Product) Product {
	p.QuantityMode, p.ExternalContext, p.Variables = s.QuantityMode, s.ExternalContext, s.Variables
	p.PriceFunctionParameters, p.Retry.GiveUpAfter = s.PriceFunctionParameters, s.GiveUpAfter
	return p
}

// Apply is the product as the line sells it.
func (s SoldAs) Apply(p Product) Product {
	if s.Promised != nil {
		p = s.Promised.Apply(p)
	}
	if s.Name != "" {
		p.Name = s.Name
	}
	if s.ExternalContext != "" {
		p.ExternalContext = s.ExternalContext
	}
	if s.Variables != nil {
		p.Variables = s.Variables
	}
	if s.PriceFunctionParameters != nil {
		p.PriceFunctionParameters = s.PriceFunctionParameters
	}
	return p
}

// SoldAs is what the line replaces of its product, of which the rest was promised.
func (l LinkLine) SoldAs(offerID string, promised Promised) *SoldAs {
	return &SoldAs{
		Promised: &promised,
		Name:     l.Name, Description: l.Description, SKU: l.SKU, UnitPrice: l.UnitPrice, OfferID: offerID,
		ExternalContext: l.ExternalContext, Variables: l.Variables, PriceFunctionParameters: l.PriceFunctionParameters,
	}
}
