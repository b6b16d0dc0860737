package testkit

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// CanaryForms are the ways in which a planted secret may stand somewhere: as it is, in a URL, in JSON, in hexadecimal
// of either case, and in base64 of a text that holds it, at each alignment and in either alphabet. A canary has at
// least eight bytes: less is found by chance.
func CanaryForms(canary string) []string {
	if len(canary) < 8 {
		panic("a canary of less than eight bytes")
	}
	quoted, _ := json.Marshal(canary)
	digits := hex.EncodeToString([]byte(canary))
	out := []string{
		canary, url.QueryEscape(canary), url.PathEscape(canary), strings.Trim(string(quoted), `"`), digits,
		strings.ToUpper(digits),
	}
	for shift := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := alphabet.EncodeToString([]byte(strings.Repeat("x", shift) + canary))
			out = append(out, strings.TrimRight(text, "=")[(shift*8+5)/6:len(text)-4])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// FindCanary returns the first form of a canary that a text holds, with what stands around it; "" if there is none.
func FindCanary(text, canary string) string {
	for _, form := range CanaryForms(canary) {
		if at := strings.Index(text, form); at >= 0 {
			return text[max(0, at-100):min(len(text), at+len(form)+60)]
		}
	}
	return ""
}
