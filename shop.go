package keyturn

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Shop is how the merchant appears on pages and in e-mails, and what the checkout page asks of customers. An
// installation has one; nothing in it is required.
type Shop struct {
	Name     string           `json:"name,omitempty"` // heads pages; empty: KEYTURN_MAIL_NAME
	Logo     Image            `json:"logo,omitzero"`
	Color    string           `json:"color,omitempty"`   // of e-mails: #rrggbb
	ReplyTo  string           `json:"replyTo,omitempty"` // where answers to e-mails go; empty: Legal.Contact
	Legal    Legal            `json:"legal,omitzero"`
	Checkout CheckoutSettings `json:"checkout,omitzero"`
}

// Legal is what the law wants customers to find.
type Legal struct {
	Terms   string `json:"terms,omitempty"`   // https
	Privacy string `json:"privacy,omitempty"` // https
	Imprint string `json:"imprint,omitempty"` // https
	Seller  string `json:"seller,omitempty"`  // who sells: name and address
	Contact string `json:"contact,omitempty"` // whom customers ask: an e-mail address, or https
}

// CheckoutSettings say what the checkout page asks.
type CheckoutSettings struct {
	Fields     CheckoutFields    `json:"fields,omitzero"`
	Withdrawal Withdrawal        `json:"withdrawal,omitempty"`
	Consent    map[string]string `json:"consent,omitempty"` // by language, in place of our own words

	OnDispute      OnDispute      `json:"onDispute,omitempty"`
	OnFraudWarning OnFraudWarning `json:"onFraudWarning,omitempty"`
}

// OnDispute says what follows when a customer disputes a payment, beside the alert.
type OnDispute string

// The choices of OnDispute.
const (
	OnDisputeAlert  OnDispute = "alert"  // nothing more until the bank decides. The default
	OnDisputeRevoke OnDispute = "revoke" // the order is cancelled, its keys revoked; a dispute that is won is refunded
)

// OnFraudWarning says what follows when a customer's bank warns of fraud, beside the alert.
type OnFraudWarning string

// The choices of OnFraudWarning.
const (
	OnFraudWarningAlert  OnFraudWarning = "alert"  // nothing more. The default
	OnFraudWarningRefund OnFraudWarning = "refund" // the order is cancelled, its keys revoked, the money given back
)

// CheckoutFields say which details the checkout page asks for, beside the e-mail address and the country.
type CheckoutFields struct {
	FirstName         FieldRule `json:"firstName,omitempty"`
	LastName          FieldRule `json:"lastName,omitempty"`
	CompanyName       FieldRule `json:"companyName,omitempty"`
	CompanyIdentifier FieldRule `json:"companyIdentifier,omitempty"`
	Street            FieldRule `json:"street,omitempty"`
	ZipCode           FieldRule `json:"zipCode,omitempty"`
	City              FieldRule `json:"city,omitempty"`
	Phone             FieldRule `json:"phone,omitempty"`
}

// FieldRule says whether the checkout page asks for a detail.
type FieldRule string

// The rules of fields.
const (
	FieldHidden   FieldRule = "hidden"
	FieldOptional FieldRule = "optional"
	FieldRequired FieldRule = "required"
)

// Withdrawal says what becomes of a consumer's right of withdrawal where the law gives one.
type Withdrawal string

// The choices of Withdrawal.
const (
	// WithdrawalWaived: the customer agrees to immediate delivery and to losing the right by it. The default.
	WithdrawalWaived Withdrawal = "waived"
	// WithdrawalOffered: the customer may withdraw for 14 days.
	WithdrawalOffered Withdrawal = "offered"
)

// PageLanguages are the languages that pages and e-mails speak; the first one is the default.
var PageLanguages = []string{"en", "fr", "de"}

// WithDefaults fills in what the merchant left out.
func (s Shop) WithDefaults() Shop {
	f := &s.Checkout.Fields
	for _, d := range []struct {
		rule *FieldRule
		def  FieldRule
	}{
		{&f.FirstName, FieldOptional},
		{&f.LastName, FieldOptional},
		{&f.CompanyName, FieldOptional},
		{&f.CompanyIdentifier, FieldOptional},
		{&f.Street, FieldHidden},
		{&f.ZipCode, FieldHidden},
		{&f.City, FieldHidden},
		{&f.Phone, FieldHidden},
	} {
		if *d.rule == "" {
			*d.rule = d.def
		}
	}
	if s.Checkout.Withdrawal == "" {
		s.Checkout.Withdrawal = WithdrawalWaived
	}
	return s
}

// Check says what is wrong with the settings. checkAddress is the rule for e-mail addresses (mail.CheckAddress).
func (s Shop) Check(checkAddress func(string) error) error {
	var bad Problems
	bad.Check(cleanText(s.Name, 0, 200), "name", "must be at most 200 printable characters")
	bad.Check(s.Color == "" || colorPattern.MatchString(s.Color), "color", "must be a color such as #1a4fd6")
	bad.Check(s.ReplyTo == "" || checkAddress(s.ReplyTo) == nil, "replyTo", "must be an e-mail address")
	for _, u := range []struct{ at, url string }{
		{"legal.terms", s.Legal.Terms},
		{"legal.privacy", s.Legal.Privacy},
		{"legal.imprint", s.Legal.Imprint},
	} {
		bad.Check(u.url == "" || isHTTPS(u.url), u.at, "must be an https:// address")
	}
	bad.Check(cleanText(s.Legal.Seller, 0, 500), "legal.seller", "must be at most 500 printable characters in one line")
	bad.Check(s.Legal.Contact == "" || isHTTPS(s.Legal.Contact) || checkAddress(s.Legal.Contact) == nil, "legal.contact",
		"must be an e-mail address or an https:// address")
	bad.Merge("checkout", s.Checkout.check())
	return bad.Err("the shop's settings are not valid")
}

func (c CheckoutSettings) check() error {
	var bad Problems
	f := c.Fields
	for _, r := range []struct {
		name string
		rule FieldRule
	}{
		{"firstName", f.FirstName},
		{"lastName", f.LastName},
		{"companyName", f.CompanyName},
		{"companyIdentifier", f.CompanyIdentifier},
		{"street", f.Street},
		{"zipCode", f.ZipCode},
		{"city", f.City},
		{"phone", f.Phone},
	} {
		bad.Check(slices.Contains([]FieldRule{"", FieldHidden, FieldOptional, FieldRequired}, r.rule), "fields."+r.name,
			"must be hidden, optional or required")
	}
	bad.Check(slices.Contains([]Withdrawal{"", WithdrawalWaived, WithdrawalOffered}, c.Withdrawal), "withdrawal",
		"must be waived or offered")
	for _, lang := range slices.Sorted(maps.Keys(c.Consent)) {
		bad.Check(slices.Contains(PageLanguages, lang), "consent."+lang, "must be one of the languages of the page: %s",
			strings.Join(PageLanguages, ", "))
		bad.Check(cleanText(c.Consent[lang], 1, 1000), "consent."+lang, "must be 1 to 1000 printable characters")
	}
	bad.Check(len(c.Consent) == 0 || c.Withdrawal != WithdrawalOffered, "consent",
		"is asked only where withdrawal is waived")
	bad.Check(slices.Contains([]OnDispute{"", OnDisputeAlert, OnDisputeRevoke}, c.OnDispute), "onDispute",
		"must be alert or revoke")
	bad.Check(slices.Contains([]OnFraudWarning{"", OnFraudWarningAlert, OnFraudWarningRefund}, c.OnFraudWarning),
		"onFraudWarning", "must be alert or refund")
	return bad.Err("the settings of the checkout page are not valid")
}

var colorPattern = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

// isHTTPS says whether text is an address that a page may lead to.
func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && cleanText(text, 0, 2000)
}
