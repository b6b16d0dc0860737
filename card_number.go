package keyturn

import (
	"regexp"
	"strings"
)

// cardRanges are the first digits of the cards that schemes issue, with the lengths of their numbers.
var cardRanges = []struct {
	scheme   string
	prefix   *regexp.Regexp
	min, max int
}{
	{"Visa", regexp.MustCompile(`^4`), 13, 19},
	{"Mastercard", regexp.MustCompile(`^(5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)`), 16, 16},
	{"American Express", regexp.MustCompile(`^3[47]`), 15, 15},
	{"Diners Club", regexp.MustCompile(`^(30[0-5]|3095|36|3[89])`), 14, 19},
	{"Discover, RuPay", regexp.MustCompile(`^(6011|64[4-9]|65|60|508)`), 16, 19},
	{"JCB", regexp.MustCompile(`^(352[89]|35[3-8])`), 16, 19},
	{"UnionPay", regexp.MustCompile(`^(62|81)`), 16, 19},
	{"Mir", regexp.MustCompile(`^220[0-4]`), 16, 19},
	{"Maestro", regexp.MustCompile(`^(50|5[6-9]|6[0-9])`), 13, 19},
}

var (
	// digitRun is a number as people write it: in one piece, or in groups.
	digitRun = regexp.MustCompile(`[0-9](?:[ -]?[0-9]){12,}`)
	// siretGroups is how France writes the number of an establishment: a company's nine digits and five of its own.
	siretGroups = regexp.MustCompile(`^[0-9]{3} ?[0-9]{3} ?[0-9]{3} [0-9]{5}$`)
	siretLabel  = regexp.MustCompile(`(?i)\b(siret|siren|rcs)\b[^0-9]*$`)
)

// holdsCardNumber says whether a field of the customer holds the number of a payment card: card data must never enter
// (threat T16). The check digit alone proves nothing, because company numbers have the same: the number must have the
// first digits and the length of a scheme's cards. A company's identifier may have any form, and a phone number up to
// fifteen digits. What follows a card number, such as its month of expiry, hides nothing.
func holdsCardNumber(field, text string) bool {
	if field == "companyIdentifier" {
		return false
	}
	for _, at := range digitRun.FindAllStringIndex(text, -1) {
		labelled := siretLabel.MatchString(text[:at[0]])
		groups := strings.FieldsFunc(text[at[0]:at[1]], func(r rune) bool { return r == ' ' || r == '-' })
		for first := range groups {
			for last := first; last < len(groups) && last < first+maxCardDigits; last++ {
				written := strings.Join(groups[first:last+1], " ")
				if isCard(written, field, labelled && first == 0) {
					return true
				}
			}
		}
	}
	return false
}

const maxCardDigits = 19

// isCard judges one number, with its groups. A SIRET may look like a card of Diners Club; its first nine digits are the
// company's own number, with a check digit of their own.
func isCard(written, field string, labelled bool) bool {
	number := strings.ReplaceAll(written, " ", "")
	switch {
	case len(number) < 13 || len(number) > maxCardDigits:
		return false
	case field == "phone" && len(number) <= 15:
		return false
	case !inCardRange(number) || !passesLuhn(number):
		return false
	}
	company := field == "companyName" || labelled || siretGroups.MatchString(written)
	return len(number) != 14 || !company || !passesLuhn(number[:9])
}

func inCardRange(number string) bool {
	for _, r := range cardRanges {
		if len(number) >= r.min && len(number) <= r.max && r.prefix.MatchString(number) {
			return true
		}
	}
	return false
}

// passesLuhn checks the check digit of cards, and of SIREN and SIRET.
func passesLuhn(number string) bool {
	sum, double := 0, false
	for i := len(number) - 1; i >= 0; i-- {
		d := int(number[i] - '0')
		if double {
			d = d*2 - d*2/10*9
		}
		sum, double = sum+d, !double
	}
	return sum%10 == 0
}
