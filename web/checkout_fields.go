package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// checkoutField is a field of the form.
type checkoutField struct {
	name         string
	of           func(*keyturn.Customer) *string
	rule         func(keyturn.CheckoutFields) keyturn.FieldRule
	kind         string // of the input
	autocomplete string
}

var checkoutFields = []checkoutField{
	{"email", func(c *keyturn.Customer) *string { return &c.Email }, always, "email", "email"},
	{"country", func(c *keyturn.Customer) *string { return &c.Country }, always, "select", "country"},
	{
		"firstName", func(c *keyturn.Customer) *string { return &c.FirstName },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.FirstName }, "text", "given-name",
	},
	{
		"lastName", func(c *keyturn.Customer) *string { return &c.LastName },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.LastName }, "text", "family-name",
	},
	{
		"companyName", func(c *keyturn.Customer) *string { return &c.CompanyName },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.CompanyName }, "text", "organization",
	},
	{
		"companyIdentifier", func(c *keyturn.Customer) *string { return &c.CompanyIdentifier },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.CompanyIdentifier }, "text", "off",
	},
	{
		"street", func(c *keyturn.Customer) *string { return &c.Street },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.Street }, "text", "street-address",
	},
	{
		"zipCode", func(c *keyturn.Customer) *string { return &c.ZipCode },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.ZipCode }, "text", "postal-code",
	},
	{
		"city", func(c *keyturn.Customer) *string { return &c.City },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.City }, "text", "address-level2",
	},
	{
		"phone", func(c *keyturn.Customer) *string { return &c.Phone },
		func(f keyturn.CheckoutFields) keyturn.FieldRule { return f.Phone }, "tel", "tel",
	},
}

func always(keyturn.CheckoutFields) keyturn.FieldRule { return keyturn.FieldRequired }

// askedFields are the fields that the page asks for.
func askedFields(rules keyturn.CheckoutFields) (out []checkoutField) {
	for _, f := range checkoutFields {
		if f.rule(rules) != keyturn.FieldHidden {
			out = append(out, f)
		}
	}
	return out
}

// filledIn takes over what was typed. A field that is left alone keeps what is on file; one that is not asked for
// cannot be filled in.
func filledIn(c keyturn.Customer, form url.Values, rules keyturn.CheckoutFields) keyturn.Customer {
	for _, f := range askedFields(rules) {
		if typed := strings.TrimSpace(form.Get(f.name)); typed != "" {
			*f.of(&c) = typed
		}
	}
	return c
}

// wrong says what is wrong with what was filled in, by field.
func (c *checkoutWords) wrong(customer keyturn.Customer, rules keyturn.CheckoutFields) map[string]string {
	out := map[string]string{}
	for _, f := range askedFields(rules) {
		value := *f.of(&customer)
		name := values{"field": text(c.Fields[f.name])}
		switch {
		case f.name == "email":
			if mail.CheckAddress(value) != nil {
				out[f.name] = c.WrongEmail
			}
		case f.name == "country":
			if !knownCountry(value) {
				out[f.name] = c.WrongCountry
			}
		case value == "" && f.rule(rules) == keyturn.FieldRequired:
			out[f.name] = say(c.Missing, name).String()
		case !keyturn.CleanText(value, 0, 200):
			out[f.name] = say(c.WrongText, name).String()
		}
	}
	return out
}

// consumerCountries are those of the European Union, the European Economic Area and the United Kingdom, whose law gives
// consumers a right of withdrawal that ends with delivery only if they agree.
const consumerCountries = " AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE" +
	" IS LI NO GB "

// isConsumer says that the customer has a right of withdrawal.
func isConsumer(c keyturn.Customer) bool {
	return c.CompanyIdentifier == "" && strings.Contains(consumerCountries, " "+c.Country+" ")
}

// consentOf is what consumers are asked to agree to, in the page's language; nil where nothing is asked.
func consentOf(w *words, s keyturn.CheckoutSettings) *keyturn.Consent {
	if s.Withdrawal != keyturn.WithdrawalWaived {
		return nil
	}
	wording := s.Consent[w.lang]
	if wording == "" {
		wording = w.checkout.Consent
	}
	sum := sha256.Sum256([]byte(wording))
	return &keyturn.Consent{Text: wording, Version: hex.EncodeToString(sum[:8]), Locale: w.lang}
}

// fieldView is a field of the form.
type fieldView struct {
	Name, Label, Kind, Autocomplete, Value, Wrong string
	OnFile                                        string // says so; left alone, the field keeps it
	Open                                          bool   // the customer is changing what is on file
	Optional                                      bool
	Options                                       []countryView
}

type countryView struct{ Code, Name string }

// fieldViews builds the fields of the form. typed is what this browser has typed before.
func fieldViews(w *words, rules keyturn.CheckoutFields, onFile, typed keyturn.Customer, a checkoutAnswer) (
	out []fieldView,
) {
	c := &w.checkout
	for _, f := range askedFields(rules) {
		v := fieldView{
			Name: f.name, Label: c.Fields[f.name], Kind: f.kind, Autocomplete: f.autocomplete, Value: *f.of(&typed),
			Wrong: a.wrong[f.name], Optional: f.rule(rules) == keyturn.FieldOptional,
		}
		if a.form != nil {
			v.Value = a.form.Get(f.name)
		}
		if known := *f.of(&onFile); known != "" {
			v.OnFile, v.Optional = c.OnFile, false
			if f.name == "email" {
				v.OnFile = db.MaskAddress(known)
			}
			if v.Value == known {
				v.Value = ""
			}
			v.Open = v.Value != "" || v.Wrong != ""
		}
		if f.kind == "select" {
			v.Options = countriesIn(w.lang)
		}
		out = append(out, v)
	}
	return out
}
