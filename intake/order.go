// Package intake reads what order systems write: it brings an order into the one form that Keyturn checks and stores.
// It stands apart from the domain, so that a shop's client does not bring the tables of the world's languages with it.
package intake

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/language"

	"keyturn.dev/keyturn"
)

// Order gives the order as it is stored: shops write the same thing in many ways, and nobody who has paid is kept
// waiting for a blank. What Order.Check refuses of it cannot be delivered, refunded or kept safely.
//
// Identifiers (order, customer, payment reference, subscription) stay as they are, because whoever sent them asks for
// them in the same form. An e-mail address keeps an international domain as it was given; package mail writes it in
// Punycode on the envelope.
func Order(o keyturn.Order) keyturn.Order {
	o.Currency = strings.ToUpper(strings.TrimSpace(o.Currency))
	o.Payment.Provider = strings.TrimSpace(o.Payment.Provider)
	o.CartExternalContext = withoutLineEnds(o.CartExternalContext)
	o.Customer = customer(o.Customer)
	o.LineItems = append([]keyturn.LineItem(nil), o.LineItems...)
	for i := range o.LineItems {
		l := &o.LineItems[i]
		l.ID, l.LicenseID = strings.TrimSpace(l.ID), strings.TrimSpace(l.LicenseID)
		l.Operation = keyturn.OperationName(strings.ToLower(strings.TrimSpace(string(l.Operation))))
		l.TrialContext = strings.ToUpper(strings.TrimSpace(l.TrialContext))
		l.GrossPrice = strings.TrimSpace(l.GrossPrice)
		if price, err := keyturn.ParseMoney(l.GrossPrice, o.Currency); err == nil {
			l.GrossPrice = price.String()
		}
	}
	return o
}

func customer(c keyturn.Customer) keyturn.Customer {
	c.Email = strings.TrimSpace(visible(c.Email, ""))
	c.Country = country(c.Country)
	c.Locale = locale(c.Locale)
	c.Street = oneLine(c.Street, ", ")
	for _, text := range []*string{
		&c.FirstName, &c.LastName, &c.CompanyName, &c.CompanyIdentifier, &c.City, &c.ZipCode, &c.Phone,
		&c.AdditionalInfo, &c.Licensee.FirstName, &c.Licensee.LastName, &c.Licensee.CompanyName, &c.Licensee.Phone,
	} {
		*text = oneLine(*text, " ")
	}
	return c
}

var (
	lineEnds  = regexp.MustCompile(`\s*,?\s*[\r\n\v\f\x{85}\x{2028}\x{2029}]+\s*`)
	innerGaps = regexp.MustCompile(`[\s\p{Z}]+`)
)

// oneLine makes a text one line: lines are joined by lineEnd, white space of any kind becomes one space, and what
// cannot be seen goes.
func oneLine(text, lineEnd string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || invisible(r) })
	text = lineEnds.ReplaceAllString(text, lineEnd)
	return strings.TrimSpace(innerGaps.ReplaceAllString(visible(text, " "), " "))
}

// visible takes out control characters, marks of direction and of byte order, and zero-width spaces, which web forms
// and phones' address books leave in texts. Joiners stay: Persian words and emoji are made with them. A replacement
// character, which is left where some program before us broke a letter, becomes a question mark. Tabs and line ends
// become gap.
func visible(text, gap string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case invisible(r):
		case r == '\t' || r == '\n' || r == '\r' || r == '\v' || r == '\f':
			out.WriteString(gap)
		case unicode.IsControl(r):
		case r == unicode.ReplacementChar:
			out.WriteByte('?')
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

func invisible(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == '\uFEFF' || r == '\u200B' || r == '\u2060'
}

// withoutLineEnds joins the lines of base64, and those of a document that somebody printed for people.
func withoutLineEnds(text string) string {
	return strings.NewReplacer("\r", "", "\n", "", "\t", "").Replace(strings.TrimSpace(text))
}

// country gives the two capitals of a country's code: fr, FRA and, as the European Union writes them, UK and EL
// are understood.
func country(text string) string {
	text = strings.ToUpper(oneLine(text, " "))
	switch text {
	case "UK":
		return "GB"
	case "EL":
		return "GR"
	}
	if region, err := language.ParseRegion(text); err == nil && len(text) == 3 && region.IsCountry() {
		return region.String()
	}
	return text
}

// locale keeps a plain language tag as it was written. Of others it keeps language, script and region: what goes
// beyond (en-US-u-mu-celsius, de_DE.UTF-8, en_GB@euro) says nothing about the language of an e-mail.
func locale(text string) string {
	text = oneLine(text, " ")
	if keyturn.ValidLocale(text) {
		return text
	}
	plain, _, _ := strings.Cut(text, ".")
	plain, _, _ = strings.Cut(plain, "@")
	if len(plain) > maxLocale {
		return text
	}
	tag, err := language.Raw.Parse(plain)
	if err != nil {
		return text
	}
	base, script, region := tag.Raw()
	out := base.String()
	if script != (language.Script{}) {
		out += "-" + script.String()
	}
	if region != (language.Region{}) {
		out += "-" + region.String()
	}
	return out
}

const maxLocale = 255
