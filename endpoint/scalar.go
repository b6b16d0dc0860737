package endpoint

import (
	"cmp"
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"keyturn.dev/keyturn"
)

const (
	maxValueBytes = 4 << 10 // a code, a link, a converted or additional value
	maxFileBytes  = 1 << 20 // activationFileContent, decoded
)

var integerPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// scalarText is a scalar as text by the rules of signing (docs/understand/partner-contract.md): strings raw, numbers
// shortest and without exponent, integers with every digit, null and nothing "". It is false for arrays, objects and
// numbers with an exponent beyond all use.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return numberText(string(v))
	}
	return "", false
}

func numberText(text string) (string, bool) {
	if integerPattern.MatchString(text) {
		if text == "-0" {
			text = "0"
		}
		return text, true
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if e, err := strconv.Atoi("0" + strings.TrimLeft(exponent, "+-")); err != nil || e > 30 || len(mantissa) > 100 {
		return "", false // 1e999999999 would be a gigabyte of digits
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", false
	}
	plain := r.FloatString(130)
	return strings.TrimRight(strings.TrimRight(plain, "0"), "."), true
}

// keyText is a value that goes to the customer: a string that is a key, or an integer with every digit. "" is absent
// (missing, null, blank); false is a value that must not be delivered.
func keyText(v any, maxBytes int) (string, bool) {
	text, ok := rawText(v)
	text, err := keyturn.CleanKey(text)
	return text, ok && err == nil && len(text) <= maxBytes
}

// rawText is a value as a conversion gets it: a string as it is, or an integer with every digit. False is a value that
// is neither; nothing is "".
func rawText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return string(v), integerPattern.MatchString(string(v))
	}
	return "", false
}

// cleaned makes a partner's words safe to show: valid UTF-8, one line, nothing invisible that reorders text, at most
// limit characters.
func cleaned(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(strings.ToValidUTF8(text, "�")) {
		if unicode.IsSpace(r) {
			r = ' '
		}
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
			continue
		}
		if n++; n > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// compareNumbers orders two JSON numbers, integers exactly.
func compareNumbers(a, b string) int {
	if len(a) > 15 || len(b) > 15 {
		x, okX := new(big.Int).SetString(a, 10)
		y, okY := new(big.Int).SetString(b, 10)
		if okX && okY {
			return x.Cmp(y)
		}
	}
	x, _ := strconv.ParseFloat(a, 64) // beyond its range it is infinite, which is in order
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Compare(x, y)
}
